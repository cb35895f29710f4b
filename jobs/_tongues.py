"""Which language a text is written in: by its script, and among those of the Latin script by their commonest words.

Pure and small: it tells an English text from a German one, not a German from a Swiss one. What it does not know, it
does not name.
"""

import re
from collections import Counter
from collections.abc import Mapping

from jobs._scoring import words

MIN_LETTERS, SCRIPT_SHARE = 30, 0.8
MIN_WORDS, KNOWN_SHARE, LEAD = 20, 0.2, 2.0
_SCRIPTS: Mapping[str, tuple[str, ...]] = {
    "\u0370-\u03ff": ("el",),
    "\u0400-\u04ff": ("ru", "uk", "bg", "be", "sr", "mk", "kk", "mn", "tg", "tt", "ba"),
    "\u0590-\u05ff": ("he", "yi", "iw"),
    "\u0600-\u06ff": ("ar", "fa", "ur", "ps", "sd"),
    "\u0900-\u097f": ("hi", "mr", "ne", "sa"),
    "\u0e00-\u0e7f": ("th",),
    "\uac00-\ud7a3": ("ko",),
    "\u3040-\u30ff": ("ja",),
    "\u4e00-\u9fff": ("zh", "yue", "cmn", "ja"),
}
_COMMON: Mapping[str, frozenset[str]] = {
    language: frozenset(some.split())
    for language, some in {
        "en": "the of and to a in is that it was for you he on are as with his they at be this have i not but we what",
        "de": "der die und das ist in den zu nicht ein von sie es mit ich auf dem für sich eine auch wir er im als was",
        "fr": "le la les de et des un une est que qui pas en il elle dans pour ce sur avec nous vous je au du ne plus",
        "es": "el la los las de que y en un una es por con no se su para como más del al lo pero está yo muy hay",
        "it": "il la lo gli le di che e un una è per non con sono del della si da come ma nel anche alla ho questo poi",
        "pt": "o a os as de que e um uma é não para com em do da se por mais no na foi como mas ele eu isso muito",
        "nl": "de het een en van is dat in op te niet zijn voor met die hij er aan ik om was wat maar ook naar we",
        "pl": "i w na nie się z do to że jest jak o co po ale za od czy tak był już dla są ten przez tego",
        "sv": "och i att det som en på är av för med den till inte han jag var ett om har de vi men så",
    }.items()
}


def tongue(text: str) -> tuple[str, ...]:
    """The languages that it may be in, the likeliest first; none where it is too short or nothing is clear."""
    letters = [char for char in text if char.isalpha()]
    if len(letters) < MIN_LETTERS:
        return ()
    for script, languages in _SCRIPTS.items():
        found = len(re.findall(f"[{script}]", text))
        needed = 0.1 if languages == ("ja",) else SCRIPT_SHARE
        if found >= needed * len(letters):
            return languages
    return _latin(words(text))


def _latin(found: list[str]) -> tuple[str, ...]:
    if len(found) < MIN_WORDS:
        return ()
    counted = Counter(found)
    shares = {language: sum(counted[word] for word in some) / len(found) for language, some in _COMMON.items()}
    first, second = sorted(shares, key=lambda language: shares[language], reverse=True)[:2]
    is_clear = shares[first] >= KNOWN_SHARE and shares[first] >= LEAD * shares[second]
    return (first,) if is_clear else ()
