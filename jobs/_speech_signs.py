"""Is speech to be believed? Each part against its text, with what to look at where it is not.

Promises: numbers, places and reasons only, never a word of the text. Bounds are from measurement on both embedded
voices, 21 passages in five languages at half, usual and double speed: 4.5 to 24.4 letters a second, at most 34 % of
silence and 1.6 s of it at once, 3 clipped samples in a million.
"""

from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from jobs._sentences import spoken_size
from jobs._speaking import Reel
from jobs._text import clock
from pipeline.core.sound import Sound

# Letters (see `spoken_size`) a second at speed 1. Outside of these bounds a voice has swallowed or invented something.
SLOWEST_LETTERS_PER_S = 4.0
FASTEST_LETTERS_PER_S = 25.0
FULLY_HEEDED_SPEED = 2.0  # the English engine speaks hardly faster than this, whatever is asked
JUDGED_LETTERS = 20
SILENT_PEAK = 0.01
MOST_SILENCE = 0.6
LONGEST_SILENCE_S = 5.0
MOST_CLIPPED = 0.001


class Part(Struct, frozen=True, kw_only=True):
    """One take as it lies in a product: `seconds` from its first to its last sound, `at_s` where it begins there,
    `letters` by `spoken_size`, `sound` how it came.

    `file` is the number of the product where there are several, else 0.
    """

    letters: int
    sound: Sound
    seconds: float
    at_s: float
    file: int = 0


class Stretch(Struct, frozen=True, kw_only=True):
    """A reel, where it begins in its product, and the number of that product where there are several, else 0."""

    reel: Reel
    at_s: float
    file: int = 0


def parts_of(stretches: Sequence[Stretch]) -> Iterator[Part]:
    for stretch in stretches:
        for take, piece in zip(stretch.reel.takes, stretch.reel.pieces, strict=True):
            assert piece.sound is not None  # a reel knows how its takes came
            at = stretch.at_s + piece.at_s
            letters = spoken_size(take.chunk.text)
            yield Part(letters=letters, sound=piece.sound, seconds=piece.seconds, at_s=at, file=stretch.file)


def doubt(parts: Sequence[Part], speed: float) -> str:
    """The reasons not to trust the recording, or nothing. Judged part by part, so one lost sentence is noticed."""
    reasons = []
    for what, is_odd in _SIGNS:
        odd = [part for part in parts if is_odd(part, speed)]
        if odd:
            reasons.append(f"{len(odd)} of {len(parts)} parts are {what}; listen at {place_of(odd[0])}")
            parts = [part for part in parts if part not in odd] if what == "silent" else parts
    return "; ".join(reasons)


def place_of(part: Part) -> str:
    return f"{f'file {part.file}, ' if part.file else ''}{clock(part.at_s)}"


def _is_silent(part: Part, speed: float) -> bool:
    return part.sound.peak < SILENT_PEAK


def _is_implausible(part: Part, speed: float) -> bool:
    pace = part.letters / max(part.seconds, 0.001)
    is_slow = pace < SLOWEST_LETTERS_PER_S * min(speed, FULLY_HEEDED_SPEED)
    return part.letters >= JUDGED_LETTERS and (is_slow or pace > FASTEST_LETTERS_PER_S * speed)


def _is_mostly_silence(part: Part, speed: float) -> bool:
    sound = part.sound
    if part.letters < JUDGED_LETTERS:
        return False
    return sound.silence > MOST_SILENCE or sound.longest_silence_s * min(speed, 1.0) > LONGEST_SILENCE_S


def _is_clipped(part: Part, speed: float) -> bool:
    return part.sound.clipped > MOST_CLIPPED


_SIGNS: tuple[tuple[str, Callable[[Part, float], bool]], ...] = (
    ("silent", _is_silent),
    ("too short or too long for their text", _is_implausible),
    ("mostly silence or silent for long", _is_mostly_silence),
    ("clipped", _is_clipped),
)


def figures(parts: Sequence[Part], sounds: Sequence[Sound]) -> dict[str, str]:
    """What was measured: of the parts as they came, and of the products as they are."""
    letters = sum(part.letters for part in parts)
    spoken = sum(part.seconds for part in parts)
    came = [part.sound for part in parts]
    seconds = sum(sound.seconds for sound in sounds)
    return {
        "parts": str(len(parts)),
        "seconds": f"{seconds:.2f}",
        "letters_per_second": f"{letters / max(spoken, 0.001):.1f}",
        "silence_share": f"{sum(sound.silence * sound.seconds for sound in sounds) / max(seconds, 0.001):.3f}",
        "longest_silence_s": f"{max(sound.longest_silence_s for sound in came):.2f}",
        "clipped_share": f"{max(sound.clipped for sound in (*came, *sounds)):.6f}",
        "peak": f"{max(sound.peak for sound in sounds):.3f}",
        **_loudness(sounds),
    }


def _loudness(sounds: Sequence[Sound]) -> dict[str, str]:
    known = [sound.lufs for sound in sounds if sound.lufs is not None]
    if not known:
        return {}
    low, high = f"{min(known):.1f}", f"{max(known):.1f}"
    return {"loudness_lufs": low if low == high else f"{low} to {high}"}
