"""Reading srt and vtt: what is said in them, without numbers, times, settings, notes, styles and tags.

Promises: every line of every cue, in order, with its times; nothing that a player would not show. Lines that a rolling
caption repeats are read once. InputError when a file has no cue at all. Never writes subtitles (`_subtitles` does).
"""

import html
import re
from collections.abc import Iterator

from msgspec import Struct

from jobs._text import Spoken, canonical, join_words
from pipeline.core.errors import InputError

_CLOCK = r"(?:(\d{1,5}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_TIMING = re.compile(rf"\s*{_CLOCK}[ \t]*-->[ \t]*{_CLOCK}(?:[ \t].*)?")
_INLINE_TIME = re.compile(r"<\d[\d:.]{3,20}>")
_TAG = re.compile(r"</?[a-zA-Z][^<>\n]{0,300}>|<\d[\d:.]{3,20}>|\{\\[^{}\n]{0,300}\}")
_DIGITS = re.compile(r"\s*\d+\s*")


class _Shown(Struct, frozen=True, kw_only=True):
    start: float
    end: float
    lines: tuple[str, ...]


def read_captions(text: str) -> list[Spoken]:
    text = canonical(text)
    is_vtt = text.startswith("WEBVTT")
    shown = list(_vtt(text) if is_vtt else _srt(text))
    if not shown:
        raise InputError("no cue with its times was found", code="input-damaged", hint="check that it is srt or vtt")
    if _INLINE_TIME.search(text):
        shown = _unrolled(shown)
    return [Spoken(start=cue.start, end=cue.end, text=_joined(cue.lines)) for cue in shown]


def _srt(text: str) -> Iterator[_Shown]:
    """A cue reaches to the next timing line: files with blank lines inside a cue are common."""
    lines = text.split("\n")
    timings = [(number, match) for number, line in enumerate(lines) if (match := _TIMING.fullmatch(line))]
    ends = [*(number for number, _ in timings), len(lines)][1:]
    for (number, match), end in zip(timings, ends, strict=True):
        last = end - 1 if end < len(lines) and _DIGITS.fullmatch(lines[end - 1]) else end
        yield _shown(match, [_TAG.sub("", line) for line in lines[number + 1 : last]])


def _vtt(text: str) -> Iterator[_Shown]:
    """A cue is a block between blank lines with its timing line first or second; every other block is not shown."""
    for block in text.split("\n\n"):
        lines = block.split("\n")
        for number, line in enumerate(lines[:2]):
            match = _TIMING.fullmatch(line)
            if match is not None:
                yield _shown(match, [html.unescape(_TAG.sub("", line)) for line in lines[number + 1 :]])
                break


def _shown(timing: re.Match[str], lines: list[str]) -> _Shown:
    fields = [group or "0" for group in timing.groups()]
    plain = (line.strip() for line in lines)
    return _Shown(start=_seconds(fields[:4]), end=_seconds(fields[4:]), lines=tuple(line for line in plain if line))


def _seconds(fields: list[str]) -> float:
    hours, minutes, seconds, millis = (int(field) for field in [*fields[:3], fields[3].ljust(3, "0")])
    return hours * 3600 + minutes * 60 + seconds + millis / 1000


def _unrolled(shown: list[_Shown]) -> list[_Shown]:
    """Rolling captions show the last line again above the new one; a file with times inside its lines is one."""
    before: tuple[str, ...] = ()
    plain = []
    for cue in shown:
        plain.append(_Shown(start=cue.start, end=cue.end, lines=_new_lines(cue.lines, before)))
        before = cue.lines
    return plain


def _new_lines(lines: tuple[str, ...], before: tuple[str, ...]) -> tuple[str, ...]:
    for count in range(min(len(lines), len(before)), 0, -1):
        if lines[:count] == before[-count:]:
            return lines[count:]
    return lines


def _joined(lines: tuple[str, ...]) -> str:
    text = ""
    for line in lines:
        text = join_words(text, line)
    return text
