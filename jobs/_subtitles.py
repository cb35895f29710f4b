"""Cues from a transcript, and the files made of them: srt, vtt, tsv.

Promises for any transcript, however odd its times: a cue has one or two lines of at most 42 columns (a wide East Asian
character counts two), lasts at least `SHORTEST_MS`, never overlaps and never goes back; no word is lost or reordered.
Lines break where the script allows it. Never changes the words, and never reads subtitles (`_captions` does).
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise

import msgspec
from msgspec import Struct

from jobs._text import clusters, is_unspaced, tidy
from pipeline.core.operations import Segment, Transcript

MAX_COLUMNS = 42
MAX_LINES = 2
MAX_CUE_S = 7.0
PAUSE_S = 0.8
READABLE_MS = 800
SHORTEST_MS = 100
_NO_END_MS = 1 << 62
COMMA_BONUS = 10  # columns of unevenness that a line break after punctuation is worth

_SENTENCE_END = re.compile("[.!?…。！？؟।][\"'»”’)\\]」』）]*$")
_CLAUSE_END = re.compile("[,;:.!?…–—、，；：。！？؟،।][\"'»”’)\\]」』）]*$")
_NEVER_FIRST = frozenset(
    "、。，．・：；？！）］｝」』】〉》〕ーぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮ々…‥”’%)]},.:;?!»"
)
_NEVER_LAST = frozenset("（［｛「『【〈《〔“‘([{«¿¡")


class Cue(Struct, frozen=True, kw_only=True):
    start_ms: int
    end_ms: int
    lines: tuple[str, ...]
    speaker: str | None = None


class _Token(Struct, frozen=True, kw_only=True):
    """The smallest stretch that a line may hold; `has_space` says whether a space stands before it."""

    text: str
    start: float
    end: float
    has_space: bool


def cues(transcript: Transcript, *, has_labels: bool = False) -> list[Cue]:
    """`has_labels` writes who speaks before the first words of each; without, only the cue says so."""
    groups: list[list[_Token]] = []
    speakers: list[str | None] = []
    before = None
    for segment in transcript.segments:
        tokens = _tokens(segment)
        if has_labels and segment.speaker not in (None, before):
            tokens = _labelled(tokens, segment.speaker or "")
        found = list(_groups(tokens))
        groups += found
        speakers += [segment.speaker] * len(found)
        before = segment.speaker
    return [
        Cue(start_ms=start, end_ms=end, lines=_lines(group), speaker=speaker)
        for group, speaker, (start, end) in zip(groups, speakers, _times(groups, transcript.seconds), strict=True)
    ]


def _labelled(tokens: list[_Token], speaker: str) -> list[_Token]:
    if not tokens:
        return []
    first, *rest = tokens
    label = _Token(text=tidy(f"{speaker}:"), start=first.start, end=first.start, has_space=False)
    return [*_cut(label), msgspec.structs.replace(first, has_space=True), *rest]


def srt(shown: Iterable[Cue]) -> str:
    blocks = (
        f"{number}\n{_clock(cue.start_ms, ',')} --> {_clock(cue.end_ms, ',')}\n{_srt_text(cue)}\n"
        for number, cue in enumerate(shown, start=1)
    )
    return "\n".join(blocks)


def vtt(shown: Iterable[Cue]) -> str:
    blocks = (f"{_clock(cue.start_ms, '.')} --> {_clock(cue.end_ms, '.')}\n{_vtt_text(cue)}\n" for cue in shown)
    return "\n".join(["WEBVTT\n", *blocks])


def tsv(transcript: Transcript) -> str:
    """One row a segment: start and end in milliseconds, then the text."""
    groups = [
        [_Token(text=tidy(part.text), start=part.start, end=part.end, has_space=False)]
        for part in transcript.segments
        if tidy(part.text)
    ]
    times = _times(groups, transcript.seconds)
    rows = (f"{start}\t{end}\t{group[0].text}\n" for group, (start, end) in zip(groups, times, strict=True))
    return "".join(["start\tend\ttext\n", *rows])


def _clock(ms: int, mark: str) -> str:
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{mark}{ms:03}"


def _srt_text(cue: Cue) -> str:
    """SRT has no escapes, so an arrow that would read as a timing line becomes a single character."""
    return "\n".join(line.replace("-->", "→") for line in cue.lines)


def _vtt_text(cue: Cue) -> str:
    text = "\n".join(map(_escaped, cue.lines))
    return f"<v {_escaped(tidy(cue.speaker))}>{text}" if cue.speaker else text


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


# Tokens: where a line may break, and when each stretch is spoken.


def _tokens(segment: Segment) -> list[_Token]:
    text = tidy(segment.text)
    words = _engine_words(text, segment)
    if words is None:
        words = _spread(_breakable(text), segment.start, segment.end)
    return [part for word in _glued(words) for part in _cut(word)]


def _engine_words(text: str, segment: Segment) -> list[_Token] | None:
    """The engine's own words with the spaces of the text; None when they do not spell that text."""
    tokens, at = [], 0
    for word in segment.words:
        part = tidy(word.text)
        begin = at + 1 if text[at : at + 1] == " " else at
        if not text.startswith(part, begin):
            return None
        if part:
            tokens.append(_Token(text=part, start=word.start, end=word.end, has_space=begin > at))
            at = begin + len(part)
    return tokens if at == len(text) else None


def _breakable(text: str) -> list[tuple[str, bool]]:
    """Words, and the single characters of scripts that write no spaces, each with whether a space is before it."""
    parts = []
    for word in text.split():
        for number, part in enumerate(_runs(word)):
            parts.append((part, number == 0))
    return parts


def _runs(word: str) -> list[str]:
    runs: list[str] = []
    for cluster in clusters(word):
        if runs and not is_unspaced(cluster) and not is_unspaced(runs[-1]):
            runs[-1] += cluster
        else:
            runs.append(cluster)
    return runs


def _spread(parts: Sequence[tuple[str, bool]], start: float, end: float) -> list[_Token]:
    """Times for parts of a text whose own times are not known: in proportion to their columns."""
    marks = list(accumulate((columns(text) for text, _ in parts), initial=0))
    second = (end - start) / (marks[-1] or 1)
    return [
        _Token(text=text, start=start + left * second, end=start + right * second, has_space=has_space)
        for (text, has_space), (left, right) in zip(parts, pairwise(marks), strict=True)
    ]


def _glued(tokens: Iterable[_Token]) -> list[_Token]:
    """Join tokens between which no line may break: punctuation to its word, syllables of one spaced word."""
    glued: list[_Token] = []
    for token in tokens:
        if glued and not token.has_space and not _may_break(glued[-1].text, token.text):
            left = glued.pop()
            token = _Token(text=left.text + token.text, start=left.start, end=token.end, has_space=left.has_space)
        glued.append(token)
    return glued


def _may_break(left: str, right: str) -> bool:
    if right[0] in _NEVER_FIRST or left[-1] in _NEVER_LAST:
        return False
    return is_unspaced(left[-1]) or is_unspaced(right[0])


def _cut(token: _Token) -> list[_Token]:
    """A token that no line can hold, in pieces that one can."""
    if columns(token.text) <= MAX_COLUMNS:
        return [token]
    pieces = [""]
    for cluster in clusters(token.text):
        for part in [cluster] if columns(cluster) <= MAX_COLUMNS else cluster:
            if columns(pieces[-1] + part) > MAX_COLUMNS:
                pieces.append("")
            pieces[-1] += part
    parts = [(piece, number == 0 and token.has_space) for number, piece in enumerate(pieces)]
    return _spread(parts, token.start, token.end)


# Groups: which tokens are shown together, and on which lines.


def columns(text: str) -> int:
    if text.isascii():
        return len(text)
    return len(text) + sum(unicodedata.east_asian_width(char) in "WF" for char in text)


def _groups(tokens: Iterable[_Token]) -> Iterator[list[_Token]]:
    """Stretches between pauses and sentence ends; one that is too much for a cue is halved until it is not."""
    stretch: list[_Token] = []
    for token in tokens:
        if stretch and _is_complete(stretch, token):
            yield from _halved(stretch)
            stretch = []
        stretch.append(token)
    if stretch:
        yield from _halved(stretch)


def _is_complete(stretch: Sequence[_Token], following: _Token) -> bool:
    last = stretch[-1]
    if following.start - last.end >= PAUSE_S:
        return True
    return _SENTENCE_END.search(last.text) is not None and _marks(stretch)[-1] >= MAX_COLUMNS // 2


def _halved(stretch: list[_Token]) -> Iterator[list[_Token]]:
    """Near the middle, at the end of a clause if there is one: a cue of one last word reads badly."""
    is_short = stretch[-1].end - stretch[0].start <= MAX_CUE_S
    if len(stretch) == 1 or (is_short and _break_at(stretch) is not None):
        yield stretch
        return
    marks = _marks(stretch)
    clause_bonus = marks[-1] / 3
    at = min(
        range(1, len(stretch)),
        key=lambda at: abs(2 * marks[at] - marks[-1]) - clause_bonus * _ends_clause(stretch[at - 1]),
    )
    yield from _halved(stretch[:at])
    yield from _halved(stretch[at:])


def _marks(tokens: Sequence[_Token]) -> list[int]:
    """Columns up to each token; the last is the width of all."""
    widths = (columns(token.text) + token.has_space for token in tokens)
    return list(accumulate(widths, initial=-tokens[0].has_space))


def _ends_clause(token: _Token) -> bool:
    return _CLAUSE_END.search(token.text) is not None


def _break_at(group: Sequence[_Token]) -> int | None:
    """The number of tokens on the first line so that all fit: the most even break, punctuation preferred."""
    marks = _marks(group)
    if marks[-1] <= MAX_COLUMNS:
        return len(group)
    choices = []
    for at, token in enumerate(group[1:], start=1):
        left, right = marks[at], marks[-1] - marks[at] - token.has_space
        if max(left, right) <= MAX_COLUMNS:
            choices.append((abs(left - right) - COMMA_BONUS * _ends_clause(group[at - 1]), at))
    return min(choices)[1] if choices else None


def _lines(group: Sequence[_Token]) -> tuple[str, ...]:
    at = _break_at(group) or len(group)
    return tuple(_text(part) for part in (group[:at], group[at:]) if part)


def _text(tokens: Iterable[_Token]) -> str:
    return "".join(f" {token.text}" if token.has_space else token.text for token in tokens).strip()


# Times: forward only, with room for the eye.


def _times(groups: Sequence[Sequence[_Token]], clip_s: float) -> Iterator[tuple[int, int]]:
    clip_ms = _ms(clip_s) or _NO_END_MS
    starts = [min(_ms(group[0].start), clip_ms) for group in groups]
    free_ms = 0
    for group, wanted, following in zip(groups, starts, [*starts, clip_ms][1:], strict=True):
        start = max(wanted, free_ms)
        room = following if following > start else clip_ms
        end = max(min(_ms(group[-1].end), clip_ms), start + READABLE_MS)
        free_ms = max(min(end, room), start + SHORTEST_MS)
        yield start, free_ms


def _ms(seconds: float) -> int:
    return round(max(seconds, 0.0) * 1000)
