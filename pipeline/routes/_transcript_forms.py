"""What transcription servers answer, as one Transcript: json, verbose_json, diarized_json, srt, vtt and text.

Promises times in order, inside the recording and never backwards, whatever the server wrote; what had to be mended is
counted, so that a route may refuse it instead. A missing or foreign `text` is a contract error, an empty one is not.
"""

import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec import Struct

from pipeline.core.errors import ContractError
from pipeline.core.operations import Segment, Transcript, Word
from pipeline.routes._languages import tag_of

JSON_FORMS = frozenset({"json", "verbose_json", "diarized_json"})
FORMS = ("verbose_json", "diarized_json", "srt", "vtt", "json", "text")
"""Every form that is read, the one that tells most first."""
TIMED = frozenset({"verbose_json", "diarized_json", "srt", "vtt"})
SLACK_S = 1.0  # what a server's times may pass the end of the recording by before that is news
FAR_BEYOND = 20.0  # as often as the recording is long; a server that only invents ends less far behind it
UNITS = (1e3, 1e9)
LEAST_OF_IT = 0.1  # so much of a recording is heard, or the unit is none
MOST_OF_IT = 0.8
MAX_SEGMENTS = 200_000
MAX_SPEAKER_CHARS = 40

_TIME = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{2})[.,](\d{1,3})"
_CUE = re.compile(rf"^[ \t]*{_TIME}[ \t]*-->[ \t]*{_TIME}[^\n]*\n(.*?)(?=\n[ \t]*\n|\Z)", re.S | re.M)
_MARKUP = re.compile(r"<[^>\n]{0,200}>|\{\\[^}\n]{0,50}\}")


class Asked(Struct, frozen=True, kw_only=True):
    """What a transcript must say beside the words: how long the recording is as far as known, and who was asked."""

    seconds: float | None
    language: str | None
    engine: str
    model: str


class Heard(Struct, frozen=True, kw_only=True):
    """A transcript, how many of its times were mended, and how many speakers the server told apart."""

    transcript: Transcript
    mended: int = 0
    speakers: int = 0
    billed_seconds: float | None = None


def from_json(body: Mapping[str, object], asked: Asked) -> Heard:
    """Of `json`, `verbose_json` or `diarized_json`: whatever of it is there."""
    text = body.get("text")
    if not isinstance(text, str):
        kind = "missing" if "text" not in body else type(text).__name__
        raise ContractError(f"the text of the answer is {kind}, so there is no transcript", hint="mediaspool retry")
    usage = body.get("usage")
    billed = number(usage.get("seconds")) if isinstance(usage, Mapping) else None
    mender = _Mender(_seconds(number(body.get("duration")), billed, asked))
    rows = _in_seconds(_rows(body.get("segments")), asked.seconds)
    segments = mender.segments(rows) if _is_told_whole(text, rows) else ()
    mender.mended += bool(rows and not segments)
    spoken = _with_words(text, segments, mender.words(_in_seconds(_rows(body.get("words")), asked.seconds)))
    language = body.get("language")
    return Heard(
        transcript=_transcript(text, spoken, asked, mender.seconds, language if isinstance(language, str) else None),
        mended=mender.mended,
        speakers=len({str(row["speaker"]) for row in rows if row.get("speaker") is not None}),
        billed_seconds=billed,
    )


def from_subtitles(body: str, asked: Asked) -> Heard:
    """Of SubRip or WebVTT. A body without a cue is an empty transcript only where it has no words either."""
    plain = body.replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff")
    rows: list[Mapping[str, object]] = [_cue(match) for match in _CUE.finditer(plain)]
    rest = re.sub(r"\AWEBVTT[^\n]*", "", plain).strip()
    if not rows and rest:
        raise ContractError("the answer is not subtitles", code="reply-type", hint="name another response format")
    mender = _Mender(_seconds(None, None, asked))
    segments = mender.segments(rows)
    text = " ".join(segment.text for segment in segments)
    return Heard(transcript=_transcript(text, segments, asked, mender.seconds, None), mended=mender.mended)


def from_text(body: str, asked: Asked) -> Heard:
    seconds = _seconds(None, None, asked)
    return Heard(transcript=_transcript(body.lstrip("\ufeff"), (), asked, seconds, None))


def number(value: object) -> float | None:
    """A finite number, also where an old server writes it as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def _transcript(
    text: str, segments: tuple[Segment, ...], asked: Asked, seconds: float, language: str | None
) -> Transcript:
    whole = text.strip()
    if whole and not segments:
        segments = (Segment(start=0.0, end=max(seconds, 0.001), text=whole),)
    return Transcript(
        schema=1,
        language=tag_of(language) or tag_of(asked.language),
        language_probability=None,
        seconds=seconds,
        speech_seconds=None,
        segments=segments if whole else (),
        engine=asked.engine,
        model=asked.model,
    )


def _seconds(told: float | None, billed: float | None, asked: Asked) -> float:
    """Our own measure first: a server may bill whole seconds, or say nothing."""
    for seconds in (asked.seconds, told, billed):
        if seconds is not None and seconds > 0:
            return seconds
    return 0.0


def _rows(value: object) -> Sequence[Mapping[str, object]]:
    if not isinstance(value, list):
        return ()
    if len(value) > MAX_SEGMENTS:
        raise ContractError(f"the answer has {len(value)} pieces", hint="split the recording")
    return [row for row in value if isinstance(row, Mapping)]


def _in_seconds(rows: Sequence[Mapping[str, object]], seconds: float | None) -> Sequence[Mapping[str, object]]:
    """Some servers count in milli- or nanoseconds: most of it ends behind the recording, and in that unit inside."""
    ends = sorted(end for row in rows if (end := number(row.get("end"))) is not None)
    longest = (seconds or 0.0) + SLACK_S
    if not ends or not seconds or ends[-1] <= FAR_BEYOND * longest or ends[len(ends) // 2] <= longest:
        return rows
    unit = next((unit for unit in UNITS if LEAST_OF_IT * seconds <= ends[-1] / unit <= longest), 1)
    return [{**row, **{key: at / unit for key in ("start", "end") if (at := number(row.get(key)))}} for row in rows]


def _is_told_whole(text: str, rows: Sequence[Mapping[str, object]]) -> bool:
    """Are the words of the text, but for a few, those of its pieces? Else the text alone is to be believed."""
    spoken = "".join(told for row in rows if isinstance(told := row.get("text"), str))
    return _letters(spoken) >= MOST_OF_IT * _letters(text)


def _letters(text: str) -> int:
    return sum(map(str.isalnum, text))


def _cue(match: re.Match[str]) -> Mapping[str, object]:
    times = match.groups()
    text = " ".join(_MARKUP.sub("", match[9]).split())
    return {"start": _clock(times[0:4]), "end": _clock(times[4:8]), "text": text}


def _clock(parts: Sequence[str | None]) -> float:
    hours, minutes, seconds, fraction = (part or "0" for part in parts)
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds) + int(fraction.ljust(3, "0")) / 1000


def _speaker(row: Mapping[str, object]) -> str | None:
    """Whatever the server calls a voice, short and on one line."""
    told = row.get("speaker_label", row.get("speaker"))
    name = " ".join(str(told).split())[:MAX_SPEAKER_CHARS] if isinstance(told, str | int) else ""
    return name or None


class _Mender:
    """Reads timed rows and puts right what cannot be: counts each row that it had to touch."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.mended = 0

    def segments(self, rows: Sequence[Mapping[str, object]]) -> tuple[Segment, ...]:
        made: list[Segment] = []
        for row in self._in_order(rows):
            text = row.get("text")
            if not isinstance(text, str) or not text.strip():
                continue
            start, end = self._times(row, after=made[-1].end if made else 0.0)
            probability, silence = number(row.get("avg_logprob")), number(row.get("no_speech_prob"))
            made.append(
                Segment(
                    start=start,
                    end=end,
                    text=text.strip(),
                    avg_logprob=probability,
                    no_speech_prob=silence,
                    speaker=_speaker(row),
                )
            )
        return tuple(made)

    def words(self, rows: Sequence[Mapping[str, object]]) -> tuple[Word, ...]:
        made: list[Word] = []
        for row in self._in_order(rows):
            text = row.get("word", row.get("text"))
            if not isinstance(text, str) or not text.strip() or row.get("type") == "audio_event":
                continue
            start, end = self._times(row, after=made[-1].start if made else 0.0)
            sure = number(row.get("confidence"))
            made.append(Word(start=start, end=end, text=text.strip(), probability=sure))
        return tuple(made)

    def _in_order(self, rows: Sequence[Mapping[str, object]]) -> Sequence[Mapping[str, object]]:
        starts = [number(row.get("start")) or 0.0 for row in rows]
        self.mended += sum(later < earlier for earlier, later in itertools.pairwise(starts))
        return [row for _, row in sorted(zip(starts, rows, strict=True), key=lambda pair: pair[0])]

    def _times(self, row: Mapping[str, object], *, after: float) -> tuple[float, float]:
        """Start and end inside the recording, the end not before the start, the start not before `after`."""
        told_start, told_end = number(row.get("start")), number(row.get("end"))
        limit = self.seconds or math.inf
        start = min(max(told_start if told_start is not None else after, after, 0.0), limit)
        end = min(max(told_end if told_end is not None else start, start), limit)
        is_odd = told_start is None or told_end is None or told_end < told_start or told_start < after - SLACK_S
        self.mended += is_odd or told_end is None or told_end > limit + SLACK_S
        return start, end


def _with_words(text: str, segments: tuple[Segment, ...], words: tuple[Word, ...]) -> tuple[Segment, ...]:
    """Each word to the segment that holds its middle, or the last that began before it; none is lost."""
    if not words:
        return segments
    if not segments:
        end = max(word.end for word in words)
        return (Segment(start=words[0].start, end=end, text=text.strip(), words=words),)
    kept: list[list[Word]] = [[] for _ in segments]
    at = 0
    for word in words:
        middle = (word.start + word.end) / 2
        while at + 1 < len(segments) and segments[at + 1].start <= middle:
            at += 1
        kept[at].append(word)
    return tuple(
        msgspec.structs.replace(segment, words=tuple(mine)) for segment, mine in zip(segments, kept, strict=True)
    )


TEXT_FORMS: Mapping[str, Callable[[str, Asked], Heard]] = {
    "srt": from_subtitles,
    "vtt": from_subtitles,
    "text": from_text,
}
