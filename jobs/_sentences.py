"""Text for a voice: plain sentences, cut into chunks that an engine takes in one call, and which language they are in.

Promises: no letter is lost or reordered by chunking; no chunk is more than its portion, in characters and in tokens; a
chunk ends at a paragraph or a sentence where there is one, else at a clause, a space, a whole character. Never
translates, never spells out.
"""

import functools
import re
from collections import Counter
from collections.abc import Iterator

from msgspec import Struct

from jobs._text import clusters, is_boundary, is_unspaced, join_lines, join_words
from pipeline.core.portions import Portion

PARAGRAPH_PAUSE_S = 0.6
SENTENCE_PAUSE_S = 0.3
CLAUSE_PAUSE_S = 0.08
DEFAULT_LANGUAGE = "en"
UNDETERMINED = "und"
GUESS_CHARS = 10_000
GUESS_MIN_WORDS = 2
GUESS_LEAD = 1.5
KNOWN_CHARS = 4096

_CLOSERS = "[\"'»”’)\\]」』）】〉》〕]*"
# Marks that need a space behind them, and marks that end a sentence wherever they stand: of Chinese and Japanese,
# Arabic and Urdu, Hindi and its neighbours, Armenian, Ethiopic, Burmese, Khmer, Tibetan.
_SPACED_ENDS, _SURE_ENDS = ".!?…‽", "。！？｡؟۔।॥։።፧፨။។៕།"
_SENTENCE_END = re.compile(f"[{_SPACED_ENDS}]+{_CLOSERS}(?=\\s|$)|[{_SURE_ENDS}]+{_CLOSERS}")
_CLAUSE_END = re.compile(f"[,;:–—،؛፣፤၊]+{_CLOSERS}(?=\\s)|[、，；：]+{_CLOSERS}")
_GAP = re.compile(r"\s+")
_NEXT_CHAR = re.compile(r"\s*(\S)")
_WORD = re.compile(r"[^\W\d_]+")
_ADDRESS_SIGNS = frozenset("/@=&\\")  # the single letters around them are nobody's little words
_LAST_WORD = re.compile(r"([^\s(\"'“„«]+)\.$")
_ABBREVIATION_WORDS = (
    "mr mrs ms dr prof st mt sr jr vs etc no fig vol approx inc ltd dept gen col capt sgt rev hon e.g i.e a.m p.m "
    "z.b d.h u.a bzw usw ca nr str hr fr abs bd evtl ggf inkl vgl "
    "mme mlle av art cf p.ex sra dra ud uds ej pág sig sig.ra dott ecc"
)
_ABBREVIATIONS = frozenset(_ABBREVIATION_WORDS.split())
_INITIALS = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")
_LATIN_LETTER = re.compile("[A-Za-z\u00aa-\u024f\u1e00-\u1eff]")

_FUNCTION_WORDS = {
    "en": "the and of to in is that it for was with his her are you this not have they from what which will a",
    "de": "der die und das ist nicht ein eine einen mit den von zu auf sich dem für ich es wir sie im auch wird",
    "fr": "le la les et des est une un dans que pour qui pas sur au avec du ce il elle nous vous sont cette",
    "es": "el la los las que y en un una es por con para del se no su lo como más pero este está muy",
    "it": "il la che di e un una per non con del sono è gli nel della i lo si da come anche questo le",
    "nl": "de het een en van ik te dat niet zijn op voor met die er aan maar ook naar wordt is",
    "pt": "o a os as que e em um uma é por com para do da se não no na ao mais dos como isto está",
    "sv": "och att det som en på är av för med den till inte har om ett jag men så var",
    "pl": "i w na z że się nie to do jest jak po ale za od przez co są dla już",
}
_LANGUAGES_OF = {
    word: tuple(language for language, words in _FUNCTION_WORDS.items() if word in words.split())
    for words in _FUNCTION_WORDS.values()
    for word in words.split()
}

_MD_LINK = re.compile(r"!?\[([^\[\]\n]{0,1000})\]\([^()\n]{0,2000}(?:\([^()\n]{0,200}\)[^()\n]{0,200})?\)")
_MD_LINE_START = re.compile(r"^[ \t]{0,12}(?:#{1,6}[ \t]+|(?:>[ \t]?)+|[-*+][ \t]+)", re.MULTILINE)
_MD_FENCE_OR_RULE = re.compile(r"^[ \t]*(?:`{3,}.*|~{3,}.*|[-*_=](?:[ \t]*[-*_=]){2,}[ \t]*)$", re.MULTILINE)
_MD_PAIR = re.compile(r"\*\*|__|~~|`+")
_MD_EMPHASIS = re.compile(r"(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w)")
_MD_TAG = re.compile(r"</?[a-zA-Z][^<>\n]{0,300}>|<!--[^<>]{0,2000}-->")


class Chunk(Struct, frozen=True, kw_only=True):
    """What one call speaks, and the pause before it."""

    text: str
    pause_s: float


def speech_chunks(text: str, portion: Portion) -> list[Chunk]:
    """Of canonical text. Every chunk is held by `portion`, unless one character that a reader sees is not."""
    chunks: list[Chunk] = []
    for paragraph in _paragraphs(text):
        pause = PARAGRAPH_PAUSE_S
        for part in _packed(sentences(paragraph), portion):
            for number, piece in enumerate(_shortened(part, portion)):
                chunks.append(Chunk(text=piece, pause_s=CLAUSE_PAUSE_S if number else pause))
            pause = SENTENCE_PAUSE_S
    return chunks


def _paragraphs(text: str) -> Iterator[str]:
    """Of canonical text. Blank lines part paragraphs; a single line break is only where somebody's screen ended."""
    for block in text.split("\n\n"):
        paragraph = join_lines([" ".join(line.split()) for line in block.splitlines()])
        if paragraph:
            yield paragraph


def sentences(paragraph: str) -> list[str]:
    found, start = [], 0
    for match in _SENTENCE_END.finditer(paragraph):
        if _ends_sentence(paragraph, match, start):
            found.append(paragraph[start : match.end()].strip())
            start = match.end()
    found.append(paragraph[start:].strip())
    return [sentence for sentence in found if sentence]


def _ends_sentence(paragraph: str, match: re.Match[str], start: int) -> bool:
    """A full stop after initials, a number or an abbreviation ends nothing, nor does any mark before a small letter."""
    if not is_boundary(paragraph, match.end()):
        return False
    if match.group()[0] not in _SPACED_ENDS:
        return True
    following = _NEXT_CHAR.match(paragraph, match.end())
    if following is not None and following.group(1).islower():
        return False
    if match.group()[0] != "." or match.group().startswith(".."):
        return True
    word = _LAST_WORD.search(paragraph[max(start, match.start() - 40) : match.start() + 1])
    return word is None or not _is_abbreviated(word.group(1).casefold())


def _is_abbreviated(word: str) -> bool:
    if word in _ABBREVIATIONS or _INITIALS.fullmatch(word):
        return True
    return (len(word) == 1 and word.isalpha()) or (len(word) <= 2 and word.isdigit())


def _packed(parts: list[str], portion: Portion) -> list[str]:
    packed: list[str] = []
    for part in parts:
        joined = join_words(packed[-1], part) if packed else part
        if packed and portion.holds(joined):
            packed[-1] = joined
        else:
            packed.append(part)
    return packed


def _shortened(sentence: str, portion: Portion) -> Iterator[str]:
    while not portion.holds(sentence):
        at = _cut_at(sentence, portion)
        yield sentence[:at].rstrip()
        sentence = sentence[at:].lstrip()
    if sentence:
        yield sentence


def _cut_at(sentence: str, portion: Portion) -> int:
    """Behind the last clause or space that leaves a fair part before it, else behind the last whole character."""
    most = len(portion.head(sentence))
    window = sentence[: most + 1]
    for pattern in (_CLAUSE_END, _GAP):
        ends = [match.end() for match in pattern.finditer(window) if most // 3 < match.end() <= most]
        whole = [end for end in ends if is_boundary(sentence, end)]
        if whole:
            return whole[-1]
    return len("".join(clusters(window)[:-1])) or most


def plain_markdown(text: str) -> str:
    """What a reader would say aloud: no marks for headings, lists, emphasis, links, fences and rules."""
    text = _MD_FENCE_OR_RULE.sub("", text)
    text = _MD_LINK.sub(r"\1", _MD_TAG.sub("", text))
    text = _MD_LINE_START.sub("", text)
    return _MD_EMPHASIS.sub("", _MD_PAIR.sub("", text))


def has_words(text: str) -> bool:
    return any(char.isalnum() for char in text)


def guess_language(text: str) -> str:
    """The language whose little words clearly lead; English when none does; `und` for other scripts than Latin.

    Meant to stop a German text from being spoken by English rules, not to tell languages apart in general.
    """
    sample = text[:GUESS_CHARS]
    if not sample.isascii():
        letters = "".join(filter(str.isalpha, sample))
        if 2 * len(_LATIN_LETTER.findall(letters)) < len(letters):
            return UNDETERMINED
    told = " ".join(word for word in sample.casefold().split() if _ADDRESS_SIGNS.isdisjoint(word))
    votes = Counter(language for word in _WORD.findall(told) for language in _LANGUAGES_OF.get(word, ()))
    ranked = [*votes.most_common(2), ("", 0), ("", 0)]
    (best, count), (_, runner_up) = ranked[0], ranked[1]
    if count < GUESS_MIN_WORDS or count < GUESS_LEAD * runner_up:
        return DEFAULT_LANGUAGE
    return best


def spoken_size(text: str) -> int:
    """Letters that a voice has to say: a digit or a sign counts as four, a character of an unspaced script as three."""
    return sum(count * _letters_of(char) for char, count in Counter(text).items())


@functools.lru_cache(KNOWN_CHARS)
def _letters_of(char: str) -> int:
    if char.isalpha():
        return 3 if is_unspaced(char) else 1
    return 4 if char.isdigit() or char in "%&$€£+=@#" else 0
