"""Is a transcript to be believed: word errors against a reference, and signs of a failed transcription.

Promises: numbers and reasons only, never a word of the text. A doubt makes a job `suspect`, it never removes words: a
real speaker may repeat himself. Phrase lists are not used, they miss every language but one.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence

from jobs._text import UNSPACED, is_unspaced
from pipeline.core.operations import Transcript

MAX_SCORED_WORDS = 20_000
UNHEARD_S = 3.0
LONGEST_LOOP_WORDS = 30
LOOP_MIN_REPEATS = 5
LOOP_MIN_WORDS = 10
FASTEST_CHARS_PER_S = 35.0
FAST_MIN_CHARS = 100
COVERED_MIN_S = 30.0
COVERED_SHARE = 0.4

_WORD = re.compile(f"[{UNSPACED}]|[^\\W_{UNSPACED}]+(?:['’][^\\W_{UNSPACED}]+)*")


def words(text: str) -> list[str]:
    """Words for comparison: case and punctuation do not count; an unspaced script is compared by character."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return [word for word in _WORD.findall(folded) if any(char.isalnum() for char in word)]


def word_error_rate(reference: str, text: str) -> float | None:
    """None when there is nothing to compare with, or more than can be compared at once."""
    wanted, found = words(reference), words(text)
    if not wanted or max(len(wanted), len(found)) > MAX_SCORED_WORDS:
        return None
    return edit_distance(wanted, found) / len(wanted)


def edit_distance(wanted: Sequence[str], found: Sequence[str]) -> int:
    """Levenshtein's distance by Myers's bit vectors as Hyyrö wrote them: one row is one integer operation."""
    if not wanted:
        return len(found)
    full, last = (1 << len(wanted)) - 1, 1 << (len(wanted) - 1)
    places: dict[str, int] = {}
    for place, word in enumerate(wanted):
        places[word] = places.get(word, 0) | 1 << place
    plus, minus, distance = full, 0, len(wanted)
    for word in found:
        equal = places.get(word, 0)
        across = (((equal & plus) + plus) ^ plus) | equal
        up, down = minus | ~(across | plus), plus & across
        distance += bool(up & last) - bool(down & last)
        up, equal = (up << 1) | 1, equal | minus
        plus, minus = ((down << 1) | ~(equal | up)) & full, up & equal & full
    return distance


def doubt(transcript: Transcript, text: str) -> str:
    """The first reason not to trust this transcript, or nothing."""
    return next((reason for sign in _SIGNS if (reason := sign(transcript, text))), "")


def _unheard(transcript: Transcript, text: str) -> str:
    heard = transcript.speech_seconds or 0.0
    if text or heard < UNHEARD_S:
        return ""
    return f"voice activity found {heard:.1f} s of speech, but the engine wrote no word"


def _uncovered(transcript: Transcript, text: str) -> str:
    heard = transcript.speech_seconds or 0.0
    covered = sum(max(part.end - part.start, 0.0) for part in transcript.segments)
    if not text or heard < COVERED_MIN_S or covered >= COVERED_SHARE * heard:
        return ""
    return f"voice activity found {heard:.0f} s of speech, but the text covers only {covered:.0f} s"


def _looping(transcript: Transcript, text: str) -> str:
    spoken = words(text)
    for period in range(1, LONGEST_LOOP_WORDS + 1):
        run = _longest_run(spoken, period)
        if run + period >= max(LOOP_MIN_WORDS, LOOP_MIN_REPEATS * period):
            return f"the text repeats {period} word{'s' if period > 1 else ''} {run // period + 1} times in a row"
    return ""


def _longest_run(spoken: Sequence[str], period: int) -> int:
    longest = run = 0
    for before, word in zip(spoken, spoken[period:], strict=False):
        run = run + 1 if before == word else 0
        longest = max(longest, run)
    return longest


def _hasty(transcript: Transcript, text: str) -> str:
    seconds = transcript.speech_seconds or transcript.seconds
    size = sum(3 if is_unspaced(char) else 1 for char in text)
    if size < FAST_MIN_CHARS or size <= FASTEST_CHARS_PER_S * seconds:
        return ""
    return f"{size} characters in {seconds:.1f} s of speech are more than anybody says"


_SIGNS: tuple[Callable[[Transcript, str], str], ...] = (_unheard, _uncovered, _looping, _hasty)
