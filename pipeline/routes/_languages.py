"""Languages as transcription servers name them: a code, or an English name in any case.

Owns one table. Promises a BCP 47 primary tag or None; an unknown name is never guessed at.
"""

import re

_NAMES = """en english|zh chinese|de german|es spanish|ru russian|ko korean|fr french|ja japanese|pt portuguese
tr turkish|pl polish|ca catalan|nl dutch|ar arabic|sv swedish|it italian|id indonesian|hi hindi|fi finnish|vi vietnamese
he hebrew
uk ukrainian|el greek|ms malay|cs czech|ro romanian|da danish|hu hungarian|ta tamil|no norwegian|th thai|ur urdu
hr croatian|bg bulgarian|lt lithuanian|la latin|mi maori|ml malayalam|cy welsh|sk slovak|te telugu|fa persian|lv latvian
bn bengali|sr serbian|az azerbaijani|sl slovenian|kn kannada|et estonian|mk macedonian|br breton|eu basque|is icelandic
hy armenian|ne nepali|mn mongolian|bs bosnian|kk kazakh|sq albanian|sw swahili|gl galician|mr marathi|pa punjabi
si sinhala|km khmer|sn shona|yo yoruba|so somali|af afrikaans|oc occitan|ka georgian|be belarusian|tg tajik|sd sindhi
gu gujarati|am amharic|yi yiddish|lo lao|uz uzbek|fo faroese|ht haitian creole|ps pashto|tk turkmen|nn nynorsk
mt maltese|sa sanskrit|lb luxembourgish|my myanmar|bo tibetan|tl tagalog|mg malagasy|as assamese|tt tatar|haw hawaiian
ln lingala|ha hausa|ba bashkir|jv javanese|su sundanese|yue cantonese|my burmese|nl flemish|ca valencian|es castilian
zh mandarin|pa panjabi|ps pushto|ro moldavian|si sinhalese|lb letzeburgesch"""
_BY_NAME = {
    name: code for code, _, name in (row.strip().partition(" ") for row in _NAMES.replace("\n", "|").split("|"))
}
_TAG = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8}){0,3}")


def tag_of(named: str | None) -> str | None:
    """The tag for what a server calls the language: `english`, `EN` and `en-US` are all known."""
    if named is None:
        return None
    word = named.strip().lower().replace("_", "-")
    if word in _BY_NAME:
        return _BY_NAME[word]
    return word if _TAG.fullmatch(word) and len(word.partition("-")[0]) <= 3 else None


def two_letters(tag: str) -> str:
    """The primary part of a tag, which is all that the transcription servers take."""
    return tag.replace("_", "-").partition("-")[0].lower()
