"""The signs of a failed transcription, each as a figure, and the bounds beyond which a transcript is not believed.

Promises: numbers, times and languages only, never a word of the text; a doubt makes a job `suspect`, removing nothing,
since a real speaker may repeat himself. No sign looks for certain phrases. The bounds are measured: docs/judging.md.
"""

import bisect
import zlib
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from jobs._scoring import words
from jobs._text import clock, is_unspaced
from jobs._tongues import tongue
from pipeline.core.operations import Segment, Span, Transcript

UNHEARD_S = 3.0
PAUSE_S, LONGEST_HOLE_S = 1.0, 6.0  # shorter than a pause is no hole
COVERED_MIN_S, COVERED_SHARE = 30.0, 0.6
LONGEST_LOOP_WORDS, LOOP_MIN_REPEATS, LOOP_MIN_WORDS = 30, 5, 10
PACKED_BYTES, PACKED_RATIO = 600, 4.0
FASTEST_WPM, FAST_MIN_WORDS = 450.0, 20
CHARS_A_WORD = 2  # of scripts without spaces
OFF_SPEECH_WORDS, OFF_SPEECH_SHARE = 5, 0.2
OFF_SPEECH_S = 1.0
OTHER_SHARE, OTHER_MIN_S, MINOR_SHARE = 0.8, 5.0, 0.1


class Judged(Struct, frozen=True, kw_only=True):
    """The figures for a receipt, and the reason for doubt: what is odd and where to look. Empty: none."""

    facts: dict[str, str]
    doubt: str = ""


class Sign(Struct, frozen=True, kw_only=True):
    name: str
    figure: str
    doubt: str = ""


def judge(transcript: Transcript, text: str, *, asked: str | None = None) -> Judged:
    """Every sign that can be seen; the first doubt is told."""
    cues = sorted([*_cues(transcript.segments), *transcript.gaps], key=lambda cue: cue.end)
    signs = [sign for made in (_presence(transcript, text), *_in_text(transcript, text, cues, asked)) for sign in made]
    facts = {sign.name: sign.figure for sign in signs}
    return Judged(facts=facts, doubt=next((sign.doubt for sign in signs if sign.doubt), ""))


def _in_text(transcript: Transcript, text: str, cues: Sequence[Span], asked: str | None) -> Iterable[Iterator[Sign]]:
    if not text:
        return ()
    return (
        _coverage(transcript, cues),
        _off_speech(transcript),
        _pace(transcript, text),
        _loops(transcript),
        _packing(transcript),
        _languages(transcript, text, asked),
    )


def _presence(transcript: Transcript, text: str) -> Iterator[Sign]:
    heard = transcript.speech_seconds or 0.0
    if not text and heard >= UNHEARD_S:
        where = _places(transcript.speech or ())
        told = f"voice activity found {heard:.1f} s of speech{where}, but the engine wrote no word"
        yield Sign(name="unheard_s", figure=f"{heard:.1f}", doubt=told)


def _coverage(transcript: Transcript, cues: Sequence[Span]) -> Iterator[Sign]:
    """How much of the speech has text, and the longest stretch of it that has none."""
    if transcript.speech is None:
        return
    holes = [hole for hole in _holes(transcript.speech, cues) if _length(hole) >= PAUSE_S]
    longest = max(holes, key=_length, default=Span(start=0.0, end=0.0))
    heard = sum(map(_length, transcript.speech))
    covered = 1.0 - sum(map(_length, holes)) / heard if heard else 1.0
    few = heard >= COVERED_MIN_S and covered < COVERED_SHARE
    yield Sign(
        name="covered",
        figure=f"{covered:.2f}",
        doubt=f"only {covered:.0%} of the speech has text; listen to {_place(longest)}" if few else "",
    )
    is_long = _length(longest) > LONGEST_HOLE_S
    at_end = bool(cues) and longest.start >= max(cue.end for cue in cues)
    what = "the text ends before the speech does" if at_end else "a stretch of speech has no text"
    yield Sign(
        name="longest_hole_s",
        figure=f"{_length(longest):.1f}",
        doubt=f"{what}: listen to {_place(longest)}" if is_long else "",
    )


def _off_speech(transcript: Transcript) -> Iterator[Sign]:
    """Words at least a second away from everything that voice activity took for speech."""
    if transcript.speech is None:
        return
    off = [segment for segment in transcript.segments if not _touches(segment, transcript.speech)]
    count, every = (sum(len(words(segment.text)) for segment in some) for some in (off, transcript.segments))
    is_much = count >= OFF_SPEECH_WORDS and count > OFF_SPEECH_SHARE * every
    is_all = count > 0 and count == every
    told = f"{count} words stand where voice activity hears nobody{_places(off)}"
    yield Sign(name="words_off_speech", figure=str(count), doubt=told if is_much or is_all else "")


def _pace(transcript: Transcript, text: str) -> Iterator[Sign]:
    seconds = transcript.speech_seconds or transcript.seconds
    if seconds <= 0:
        return
    count = _spoken_words(text)
    pace = count / seconds * 60
    is_fast = count >= FAST_MIN_WORDS and pace > FASTEST_WPM
    told = f"{pace:.0f} words a minute are more than anybody says in {seconds:.1f} s of speech"
    yield Sign(name="words_per_minute", figure=f"{pace:.0f}", doubt=told if is_fast else "")


def _spoken_words(text: str) -> int:
    every = words(text)
    characters = sum(len(word) == 1 and is_unspaced(word) for word in every)
    return len(every) - characters + characters // CHARS_A_WORD


def _loops(transcript: Transcript) -> Iterator[Sign]:
    """The longest stretch of words that is one phrase again and again."""
    spoken, homes = _placed_words(transcript)
    times, period = 1, 0
    doubt = ""
    for length in range(1, min(LONGEST_LOOP_WORDS, len(spoken) // 2) + 1):  # a longer one cannot stand there twice
        run, end = _longest_run(spoken, length)
        if run // length + 1 > times:
            times, period = run // length + 1, length
        if not doubt and run + length >= max(LOOP_MIN_WORDS, LOOP_MIN_REPEATS * length):
            place = Span(start=homes[max(end - run - length + 1, 0)].start, end=homes[end].end)
            doubt = f"{length} word{'s' * (length > 1)} {run // length + 1} times in a row: listen to {_place(place)}"
    yield Sign(name="repeats", figure=f"{times} x {period}" if period else "1", doubt=doubt)


def _placed_words(transcript: Transcript) -> tuple[list[str], list[Segment]]:
    """The words of all segments, and the segment that each stands in."""
    spoken: list[str] = []
    homes: list[Segment] = []
    for segment in transcript.segments:
        found = words(segment.text)
        spoken += found
        homes += [segment] * len(found)
    return spoken, homes


def _longest_run(spoken: Sequence[str], period: int) -> tuple[int, int]:
    """How many words in a row are what stood `period` words before, and where the last of them is."""
    longest = run = at = 0
    for place, (before, word) in enumerate(zip(spoken, spoken[period:], strict=False), start=period):
        run = run + 1 if before == word else 0
        if run > longest:
            longest, at = run, place
    return longest, at


def _packing(transcript: Transcript) -> Iterator[Sign]:
    """How well the most monotonous few minutes of text compress."""
    worst, where = 0.0, Span(start=0.0, end=0.0)
    block: list[Segment] = []
    for segment in transcript.segments:
        block.append(segment)
        body = " ".join(part.text for part in block).encode()
        if len(body) >= PACKED_BYTES:
            ratio = len(body) / len(zlib.compress(body))
            if ratio > worst:
                worst, where = ratio, Span(start=block[0].start, end=block[-1].end)
            block = []
    if worst:
        told = f"the text says the same again and again: listen to {_place(where)}"
        yield Sign(name="compression_ratio", figure=f"{worst:.2f}", doubt=told if worst > PACKED_RATIO else "")


def _languages(transcript: Transcript, text: str, asked: str | None) -> Iterator[Sign]:
    """The language that was asked for or detected, against what the engine heard and what the text is in."""
    wanted = _primary(asked or transcript.language or "")
    heard = {_primary(language): seconds for language, seconds in (transcript.languages or {}).items()}
    other = max(heard, key=lambda language: heard[language], default="")
    is_other = asked is not None and other != wanted and heard.get(other, 0.0) > OTHER_SHARE * sum(heard.values())
    if heard:
        told = f"{wanted} was asked for, but {other} is spoken" if is_other and heard[other] >= OTHER_MIN_S else ""
        yield Sign(name="spoken_language", figure=other, doubt=told)
    written = tongue(text)
    if written:
        known = {wanted, *(one for one, seconds in heard.items() if seconds > MINOR_SHARE * sum(heard.values()))}
        is_foreign = bool(wanted) and known.isdisjoint(written)
        told = f"the text is in {written[0]}, not in {wanted}" if is_foreign else ""
        yield Sign(name="text_language", figure=written[0], doubt=told)


def _primary(tag: str) -> str:
    return tag.partition("-")[0].lower()


def _cues(segments: Sequence[Segment]) -> Iterator[Span]:
    for segment in segments:
        yield from (Span(start=word.start, end=word.end) for word in segment.words)
        if not segment.words:
            yield Span(start=segment.start, end=segment.end)


def _holes(speech: Sequence[Span], cues: Sequence[Span]) -> Iterator[Span]:
    """What is left of the speech without the cues; both are in order."""
    ends = [cue.end for cue in cues]
    for span in speech:
        at = span.start
        for cue in cues[bisect.bisect_right(ends, span.start) :]:
            if cue.start >= span.end:
                break
            if cue.start > at:
                yield Span(start=at, end=cue.start)
            at = max(at, cue.end)
        if at < span.end:
            yield Span(start=at, end=span.end)


def _touches(segment: Segment, speech: Sequence[Span]) -> bool:
    return any(segment.start < span.end + OFF_SPEECH_S and segment.end > span.start - OFF_SPEECH_S for span in speech)


def _length(span: Span) -> float:
    return span.end - span.start


def _places(spans: Sequence[Span | Segment]) -> str:
    """The first and longest of them, for the ear."""
    if not spans:
        return ""
    longest = max(spans, key=lambda span: span.end - span.start)
    return f" (listen to {_place(Span(start=longest.start, end=longest.end))})"


def _place(span: Span) -> str:
    return f"{clock(span.start)} to {clock(span.end)}"
