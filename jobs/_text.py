"""Text as a value: decoding of text inputs, the canonical rules, and how spoken pieces flow into paragraphs.

Promises: `canonical` depends on its argument only and is idempotent; `decode_text` never guesses an encoding and says
at which byte a file stops being text. Every rule here is described in docs/canonical-text.md; a change to one of them
raises the profile version in jobs/canonical_text.py. Never reads a file, never puts text into an error message.
"""

import codecs
import functools
import json
import re
import unicodedata
from collections.abc import Iterable
from itertools import accumulate, groupby, pairwise

import msgspec
from msgspec import Struct

from pipeline.core.errors import InputError, LimitExceeded
from pipeline.core.operations import Segment, Span, Transcript

PARAGRAPH_PAUSE_S = 2.0
MARK_S = 5.0
_ZERO_WIDTH_JOINER = "\u200d"
MAX_MARKS = 30  # the bound of Unicode's stream-safe format: more marks on one letter are never language
_ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

_LINE_BREAK = re.compile("\r\n|[\r\v\f\x85\u2028]")
_PARAGRAPH_BREAK = "\u2029"
_SPACE = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_DROPPED = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"  # control characters that are no line break and no tab
    "\u00ad\ufeff"  # soft hyphen, byte order mark
    "\u202a-\u202e\u2066-\u206f"  # direction overrides and isolates: they show other text than the bytes say
    "\ufdd0-\ufdef\ufffe\uffff]"  # noncharacters
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_BLANK_LINES = re.compile("\n{3,}")
_PERHAPS_TOO_MANY_MARKS = re.compile(f"[\u0300-\U0001efff]{{{MAX_MARKS + 1}}}")  # spares Latin text the slow class

_JSON_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
_JSON_STRUCTURE = re.compile(r"[\[\]{},]")
_JSON_DEPTH = {"[": 1, "{": 1, "]": -1, "}": -1, ",": 0}
_JSON_ESCAPES = re.compile(r"(?:\\u[0-9a-fA-F]{4})+|\\.")
_JSON_KEPT_ESCAPED = re.compile('[\x00-\x1f"\\\\\x7f-\x9f\u2028\u2029]')
_JSON_KEPT_RAW = re.compile("[\x7f-\x9f\u2028\u2029]")
JSON_INDENT = 2

UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
)
_UNSPACED_CHAR = re.compile(f"[{UNSPACED}]")


class Spoken(Struct, frozen=True, kw_only=True):
    """A stretch of speech or one cue: seconds from the start, and its text on one line."""

    start: float
    end: float
    text: str


def decode_text(body: bytes) -> str:
    """UTF-8, or UTF-16 with its byte order mark; InputError with the byte offset for anything else."""
    for bom, encoding in _ENCODINGS:
        if body.startswith(bom):
            return _decode(body, encoding, skip=len(bom))
    return _decode(body, "utf-8", skip=0)


def _decode(body: bytes, encoding: str, *, skip: int) -> str:
    try:
        text = body[skip:].decode(encoding)
    except UnicodeDecodeError as error:
        raise _not_text(encoding, skip + error.start) from error
    nul = text.find("\0")
    if nul >= 0:
        raise _not_text(encoding, skip + len(text[:nul].encode(encoding)))
    return text


def _not_text(encoding: str, offset: int) -> InputError:
    return InputError(
        f"not {encoding.upper()} text: the byte at offset {offset} does not belong in it",
        code="input-damaged",
        hint="save the file as UTF-8, or as UTF-16 with a byte order mark",
    )


def canonical(text: str) -> str:
    """The one form of a text: see docs/canonical-text.md. Empty, or ends with exactly one newline."""
    text = _LINE_BREAK.sub("\n", text).replace(_PARAGRAPH_BREAK, "\n\n")
    text = _DROPPED.sub("", text)
    text = _SURROGATE.sub("\ufffd", text)
    text = _compose(_SPACE.sub(" ", text))
    text = "\n".join(line.rstrip(" \t") for line in text.split("\n"))
    text = _BLANK_LINES.sub("\n\n", text).strip("\n")
    return f"{text}\n" if text else ""


def _compose(text: str) -> str:
    """NFC. Runs of marks are cut first: composing them takes quadratic time (20 s for 200,000 marks)."""
    if text.isascii():
        return text
    if _PERHAPS_TOO_MANY_MARKS.search(text):
        text = _too_many_marks().sub(r"\1", text)
    return unicodedata.normalize("NFC", text)


@functools.cache
def _too_many_marks() -> re.Pattern[str]:
    """Built when first needed, since `re` has no class for combining marks; all of them lie below U+1F000."""
    marks = "".join(chr(code) for code in range(0x300, 0x1F000) if unicodedata.combining(chr(code)))
    return re.compile(f"([{marks}]{{{MAX_MARKS}}})[{marks}]+")


def tidy(text: str) -> str:
    """`canonical` on one line: every run of white space is one space."""
    return " ".join(canonical(text).split())


def clusters(text: str) -> list[str]:
    """Letters with all that hangs on them: a cut between two of these breaks no character that a reader sees."""
    found: list[str] = []
    for char in text:
        if found and _hangs_on(char, found[-1]):
            found[-1] += char
        else:
            found.append(char)
    return found


def _hangs_on(char: str, before: str) -> bool:
    if char == _ZERO_WIDTH_JOINER or before.endswith(_ZERO_WIDTH_JOINER):
        return True
    if _is_flag_half(char):
        return len(before) == 1 and _is_flag_half(before)
    is_skin_tone = "\U0001f3fb" <= char <= "\U0001f3ff"
    return is_skin_tone or unicodedata.category(char) in ("Mn", "Me", "Mc") or "\U000e0020" <= char <= "\U000e007f"


def is_boundary(text: str, at: int) -> bool:
    """May `text` be cut at `at` without breaking a character that a reader sees? Looks at the few letters before."""
    if at <= 0 or at >= len(text):
        return True
    before = clusters(text[max(0, at - 2 * MAX_MARKS) : at])[-1]
    return not _hangs_on(text[at], before)


def _is_flag_half(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def layout_json(text: str, *, max_chars: int | None) -> str:
    """JSON with one item a line and readable characters; numbers, order and repeated keys stay as they are written."""
    skeleton = _JSON_STRING.sub("", text)
    marks = _JSON_STRUCTURE.findall(skeleton)
    indentation = JSON_INDENT * sum(accumulate(_JSON_DEPTH[mark] for mark in marks))
    if max_chars is not None and len(text) + indentation > max_chars:
        raise LimitExceeded(
            f"laid out, the JSON would have more than {max_chars} characters",
            code="limit-chars",
            hint="raise max_chars or split the file",
        )
    try:
        laid_out = msgspec.json.format(text, indent=JSON_INDENT)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InputError(
            "the file is not valid JSON", code="input-damaged", hint="check it with a JSON tool"
        ) from error
    return _JSON_KEPT_RAW.sub(_escaped, _JSON_ESCAPES.sub(_readable, laid_out))


def _readable(match: re.Match[str]) -> str:
    """An escape as the character it means, where that character may stand in a JSON string and on one line."""
    escape = match.group()
    if escape == r"\/":
        return "/"
    if not escape.startswith(r"\u"):
        return escape
    return _JSON_KEPT_ESCAPED.sub(_escaped, str(json.loads(f'"{escape}"')))


def _escaped(match: re.Match[str]) -> str:
    return json.dumps(match.group())[1:-1]


def is_unspaced(text: str) -> bool:
    """Does this begin with a character of a script that puts no spaces between words?"""
    return _UNSPACED_CHAR.match(text) is not None


def join_words(left: str, right: str) -> str:
    """Two stretches of one text, with a space between unless both sides are of a script that writes none."""
    if not left or not right:
        return left or right
    return f"{left}{right}" if is_unspaced(left[-1]) and is_unspaced(right[0]) else f"{left} {right}"


def flow(pieces: Iterable[Spoken]) -> str:
    """Speech as paragraphs: pieces join on one line, a pause of `PARAGRAPH_PAUSE_S` begins a new one."""
    paragraphs: list[list[str]] = []
    last_end = 0.0
    for piece in pieces:
        text = tidy(piece.text)
        if not text:
            continue
        if not paragraphs or piece.start - last_end >= PARAGRAPH_PAUSE_S:
            paragraphs.append([])
        paragraphs[-1].append(text)
        last_end = max(last_end, piece.end)
    return canonical("\n\n".join(join_lines(parts) for parts in paragraphs))


def join_lines(parts: Iterable[str]) -> str:
    """`join_words` over many parts without building the line anew for each."""
    told = [part for part in parts if part]
    line = told[:1]
    for left, right in pairwise(told):
        line.append(join_words(left[-1], right)[1:])
    return "".join(line)


def transcript_text(transcript: Transcript) -> str:
    """What was said, as canonical text; empty when nothing was."""
    return flow(Spoken(start=part.start, end=part.end, text=part.text) for part in transcript.segments)


def with_marks(transcript: Transcript) -> Transcript:
    """With a segment of a few seconds where nobody knows what was said, so that no reader takes a gap for silence."""
    marks = [
        Segment(start=gap.start, end=min(gap.end, gap.start + MARK_S), text=gap_mark(gap)) for gap in transcript.gaps
    ]
    if not marks:
        return transcript
    segments = sorted([*transcript.segments, *marks], key=lambda segment: segment.start)
    return msgspec.structs.replace(transcript, segments=tuple(segments))


def gap_mark(gap: Span) -> str:
    return f"[not transcribed: {clock(gap.start)} to {clock(gap.end)}]"


def shown_text(transcript: Transcript, *, has_names: bool = True) -> str:
    """`transcript_text` as it is shown to a reader: who speaks where that is known, and where something is missing."""
    marks = {gap_mark(gap) for gap in transcript.gaps}

    def voice(segment: Segment) -> str:
        return segment.text if segment.text in marks else (segment.speaker if has_names else None) or ""

    paragraphs = []
    for name, segments in groupby(with_marks(transcript).segments, key=voice):
        said = flow(Spoken(start=part.start, end=part.end, text=part.text) for part in segments)
        paragraphs.append(f"{name}: {said}" if said and name and name not in marks else said)
    return canonical("\n\n".join(paragraph.strip("\n") for paragraph in paragraphs if paragraph))


def clock(seconds: float) -> str:
    """As a player shows it: `1:02:03`."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
