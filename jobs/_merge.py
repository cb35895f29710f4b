"""Transcripts of parts -> the transcript of the whole: true times, nothing twice, nothing lost at a seam.

Where two parts have sound in common, their words are aligned and the seam lies between two words that both have heard,
as near to the middle as possible: what an edge has garbled is then on the side that is left out. Never changes a word.
Pure.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

import msgspec
from msgspec import Struct

from jobs._cuts import Stretch
from jobs._scoring import words as plain_words
from jobs._text import UNSPACED
from pipeline.core.operations import Segment, Span, Transcript

ASIDE_S = 1.5  # the same word has two times at most so far apart; a second "no" is another one
FASTEST_WORDS_PER_S = 6.0
SURE_WORDS = 2  # in a row, before a text without times may be joined by them
_TOKEN = re.compile(f"[{UNSPACED}]|[^\\s{UNSPACED}]+")


class Piece(Struct, frozen=True, kw_only=True):
    """One part and what was heard in it; None where nobody knows."""

    stretch: Stretch
    transcript: Transcript | None


class Joined(Struct, frozen=True, kw_only=True):
    """`unsure` counts the seams at which no common words were found."""

    segments: tuple[Segment, ...]
    unsure: int


class _Token(Struct, frozen=True, kw_only=True):
    """A word where it stands: in which segment, between which characters of its text, at what time.

    `word` is its number among the engine's words of the segment; None where those do not spell the text.
    """

    segment: int
    text: str
    left: int
    right: int
    start: float
    end: float
    word: int | None = None


def join(pieces: Sequence[Piece], *, first_s: float, has_times: bool) -> Joined:
    """The segments of all parts in one order, on the clock of the recording.

    `has_times` False: the route tells no times, so those of a part are all that its words have.
    """
    made: list[Segment] = []
    last: list[Segment] = []
    unsure = 0
    before: Stretch | None = None
    for piece in pieces:
        new = _on_the_clock(piece, first_s)
        if before is not None and piece.transcript is not None and piece.stretch.start < before.end:
            common = Span(start=first_s + piece.stretch.start, end=first_s + before.end)
            last, new, is_sure = _seam(last, new, common, has_times=has_times)
            unsure += not is_sure
        made += last
        last, before = new, piece.stretch if piece.transcript is not None else None
    return Joined(segments=tuple(_forward([*made, *last])), unsure=unsure)


def _on_the_clock(piece: Piece, first_s: float) -> list[Segment]:
    heard = piece.transcript
    return [] if heard is None else [moved(segment, first_s + piece.stretch.start) for segment in heard.segments]


def moved(segment: Segment, by_s: float) -> Segment:
    words = tuple(
        msgspec.structs.replace(word, start=round(word.start + by_s, 3), end=round(word.end + by_s, 3))
        for word in segment.words
    )
    start, end = round(segment.start + by_s, 3), round(segment.end + by_s, 3)
    return msgspec.structs.replace(segment, start=start, end=end, words=words)


def interleaved(sides: Iterable[Sequence[Segment]]) -> tuple[Segment, ...]:
    """What several people said at once, by the time at which each began."""
    return tuple(sorted((segment for side in sides for segment in side), key=lambda segment: segment.start))


def gaps(pieces: Iterable[Piece], *, first_s: float) -> tuple[Span, ...]:
    """Where nobody knows what was said; neighbours are one gap."""
    found: list[Span] = []
    for piece in pieces:
        if piece.transcript is not None:
            continue
        span = Span(start=round(first_s + piece.stretch.begins, 3), end=round(first_s + piece.stretch.ends, 3))
        if found and found[-1].end == span.start:
            span = Span(start=found.pop().start, end=span.end)
        found.append(span)
    return tuple(found)


def language_of(pieces: Iterable[Piece]) -> tuple[str | None, float | None]:
    """The language in which most was written, and how sure the part was that has most of it."""
    size: dict[str, int] = {}
    sure: dict[str, tuple[int, float]] = {}
    for heard in (piece.transcript for piece in pieces):
        if heard is not None and heard.language is not None:
            mine = sum(len(segment.text) for segment in heard.segments)
            size[heard.language] = size.get(heard.language, 0) + mine
            if heard.language_probability is not None:
                found = (mine, heard.language_probability)
                sure[heard.language] = max(sure.get(heard.language, found), found)
    most = max(size, key=lambda language: size[language], default=None)
    return most, sure[most][1] if most in sure else None


def languages_of(pieces: Iterable[Piece]) -> dict[str, float] | None:
    """Seconds of speech in each language, where the route tells them."""
    told = [
        piece.transcript.languages for piece in pieces if piece.transcript and piece.transcript.languages is not None
    ]
    seconds: dict[str, float] = {}
    for language, mine in (item for each in told for item in each.items()):
        seconds[language] = round(seconds.get(language, 0.0) + mine, 3)
    return seconds if told else None


# The seam: the last words of the one part beside the first words of the next.


def _seam(
    left: list[Segment], right: list[Segment], common: Span, *, has_times: bool
) -> tuple[list[Segment], list[Segment], bool]:
    many = max(int((common.end - common.start) * FASTEST_WORDS_PER_S), SURE_WORDS)
    if has_times:
        tail = [token for token in _tokens(left) if token.end > common.start - ASIDE_S]
        head = [token for token in _tokens(right) if token.start < common.end + ASIDE_S]
        pairs = _aligned(tail, head)
    else:
        tail, head = list(_tokens(left))[-many:], list(_tokens(right))[:many]
        pairs = _longest_run(tail, head)
    if not tail or not head:
        return left, right, True
    if pairs:
        middle = (common.start + common.end) / 2
        at = min(pairs, key=lambda pair: abs(tail[pair[0]].end - middle)) if has_times else pairs[len(pairs) // 2]
        return _up_to(left, tail[at[0]]), _after(right, head[at[1]]), True
    if not has_times:
        return left, right, False  # rather twice than lost
    return *_parted(left, right, (common.start + common.end) / 2), False


def _aligned(tail: Sequence[_Token], head: Sequence[_Token]) -> list[tuple[int, int]]:
    """Pairs of the same word at about the same time, in order: as many as can be, and of those the closest in time."""
    rows, columns = len(tail), len(head)
    best = [[0.0] * (columns + 1) for _ in range(rows + 1)]
    for row in reversed(range(rows)):
        for column in reversed(range(columns)):
            match = _likeness(tail[row], head[column])
            best[row][column] = max(
                best[row + 1][column],
                best[row][column + 1],
                best[row + 1][column + 1] + match if match else 0.0,
            )
    pairs, row, column = [], 0, 0
    while row < rows and column < columns:
        match = _likeness(tail[row], head[column])
        if match and best[row][column] == best[row + 1][column + 1] + match:
            pairs.append((row, column))
            row, column = row + 1, column + 1
        elif best[row][column] == best[row + 1][column]:
            row += 1
        else:
            column += 1
    return pairs


def _likeness(one: _Token, other: _Token) -> float:
    """0 for another word or another time; else 1, less a little for each difference in time."""
    aside = abs(one.start - other.start)
    if aside > ASIDE_S or not _plain(one) or _plain(one) != _plain(other):
        return 0.0
    return 1.0 - aside / (100 * ASIDE_S)


def _longest_run(tail: Sequence[_Token], head: Sequence[_Token]) -> list[tuple[int, int]]:
    """The longest row of words that both have; of equals the latest in the one and the earliest in the other."""
    ones, others = [_plain(token) for token in tail], [_plain(token) for token in head]
    best: tuple[int, int, int] = (0, 0, 0)
    before = [0] * (len(others) + 1)
    for row, one in enumerate(ones):
        now = [0] * (len(others) + 1)
        for column, other in enumerate(others):
            if one and one == other:
                now[column + 1] = before[column] + 1
                best = max(best, (now[column + 1], row, -column))
        before = now
    size, row, column = best[0], best[1], -best[2]
    if size < SURE_WORDS:
        return []
    return [(row - size + 1 + step, column - size + 1 + step) for step in range(size)]


def _parted(left: list[Segment], right: list[Segment], at: float) -> tuple[list[Segment], list[Segment]]:
    """Each word to the side on which its middle lies."""
    before = [token for token in _tokens(left) if (token.start + token.end) / 2 < at]
    after = [token for token in _tokens(right) if (token.start + token.end) / 2 < at]
    return _up_to(left, before[-1]) if before else [], _after(right, after[-1]) if after else right


def _plain(token: _Token) -> str:
    return "".join(plain_words(token.text))


# Tokens and what is left of a segment before or after one.


def _tokens(segments: Sequence[Segment]) -> Iterator[_Token]:
    for number, segment in enumerate(segments):
        yield from _engine_tokens(number, segment) or _text_tokens(number, segment)


def _engine_tokens(number: int, segment: Segment) -> list[_Token]:
    """The engine's own words; none where they do not spell the text."""
    tokens, at = [], 0
    for place, word in enumerate(segment.words):
        text = word.text.strip()
        left = segment.text.find(text, at)
        if left < 0 or segment.text[at:left].strip():
            return []
        at = left + len(text)
        token = _Token(segment=number, text=text, left=left, right=at, start=word.start, end=word.end, word=place)
        tokens.append(token)
    return tokens if not segment.text[at:].strip() else []


def _text_tokens(number: int, segment: Segment) -> list[_Token]:
    """Words of the text, spread over the time of the segment."""
    second = (segment.end - segment.start) / (len(segment.text) or 1)
    return [
        _Token(
            segment=number,
            text=match.group(),
            left=match.start(),
            right=match.end(),
            start=segment.start + match.start() * second,
            end=segment.start + match.end() * second,
        )
        for match in _TOKEN.finditer(segment.text)
    ]


def _up_to(segments: list[Segment], last: _Token) -> list[Segment]:
    cut = segments[last.segment]
    if not cut.text[last.right :].strip():
        return segments[: last.segment + 1]
    words = () if last.word is None else cut.words[: last.word + 1]
    text = cut.text[: last.right].rstrip()
    return [*segments[: last.segment], msgspec.structs.replace(cut, text=text, end=last.end, words=words)]


def _after(segments: list[Segment], last: _Token) -> list[Segment]:
    cut, rest = segments[last.segment], segments[last.segment + 1 :]
    text = cut.text[last.right :].lstrip()
    if not text:
        return rest
    words = () if last.word is None else cut.words[last.word + 1 :]
    start = words[0].start if words else last.end
    return [msgspec.structs.replace(cut, text=text, start=start, words=words), *rest]


def _forward(segments: Iterable[Segment]) -> Iterator[Segment]:
    """Times never go back: two parts may have heard the same moment a little differently."""
    at = 0.0
    for segment in segments:
        words = []
        start = at = max(segment.start, at)
        for word in segment.words:
            at = max(word.start, at)
            words.append(msgspec.structs.replace(word, start=at, end=max(word.end, at)))
        yield msgspec.structs.replace(segment, start=start, end=max(segment.end, start), words=tuple(words))
