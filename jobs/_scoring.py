"""How far a text is from what was really said, in words and in characters.

Promises: both texts are compared as normalised copies, and neither is changed; numbers only, never a word of them.
"""

import re
import unicodedata

from jobs._text import UNSPACED

MAX_SCORED_WORDS, MAX_SCORED_CHARS = 20_000, 50_000  # 0.3 and 0.6 s of work, which nothing else can interrupt

_WORD = re.compile(f"[{UNSPACED}]|[^\\W_{UNSPACED}]+(?:['’][^\\W_{UNSPACED}]+)*")


def words(text: str) -> list[str]:
    """Words for comparison: case and punctuation do not count; an unspaced script is compared by character."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return [word for word in _WORD.findall(folded) if word[0].isalnum()]  # a lone sign of an unspaced script is none


def word_error_rate(reference: str, text: str) -> float | None:
    """None when there is nothing to compare with, or more than can be compared at once."""
    wanted, found = words(reference), words(text)
    if not wanted or max(len(wanted), len(found)) > MAX_SCORED_WORDS:
        return None
    import jiwer  # a tenth of a second that a run without a reference does not pay

    return float(jiwer.wer(" ".join(wanted), " ".join(found)))


def character_error_rate(reference: str, text: str) -> float | None:
    """As for words; spaces do not count either."""
    wanted, found = "".join(words(reference)), "".join(words(text))
    if not wanted or max(len(wanted), len(found)) > MAX_SCORED_CHARS:
        return None
    import jiwer

    return float(jiwer.cer(wanted, found))
