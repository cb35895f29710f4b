"""The page of the kind `tts` tells the bounds that the code has."""

from jobs._cues import MAX_TEMPO
from jobs._listening import JUDGED_WORDS, MOST_WER
from jobs._speaking import MOST_EVENING_DB
from jobs._speech_signs import (
    FASTEST_LETTERS_PER_S,
    JUDGED_LETTERS,
    LONGEST_SILENCE_S,
    MOST_CLIPPED,
    MOST_SILENCE,
    SLOWEST_LETTERS_PER_S,
)
from pipeline.core.portions import DEFAULT_PORTION
from tests import pages


def test_the_page_tells_the_bounds() -> None:
    said = " ".join(pages.section("docs/manifest.md", "`tts`").split())
    for sentence in (
        f"A part has at most {DEFAULT_PORTION.max_chars} characters",
        f"a part of {JUDGED_LETTERS} letters or more is spoken slower than {SLOWEST_LETTERS_PER_S:g}",
        f"or faster than {FASTEST_LETTERS_PER_S:g} letters a second",
        f"silent for more than {100 * MOST_SILENCE:g} % of its time or for {LONGEST_SILENCE_S:g} seconds at once",
        f"more than {100 * MOST_CLIPPED:g} % of its samples",
        f"by at most {MOST_EVENING_DB:g} dB",
        f"by at most {MAX_TEMPO:g} times",
        f"when of {JUDGED_WORDS} words or more, read back, over {100 * MOST_WER:g} % are others",
    ):
        assert sentence in said
