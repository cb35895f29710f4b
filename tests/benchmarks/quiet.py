"""(9) Words that the embedded engine makes up where nobody speaks: silence, noise, hum, ambience, music and a drone.

Counted beside the bare engine as it is usually called, voice activity detection on, on the same sounds.
"""

from faster_whisper import WhisperModel

from pipeline.children import weights
from pipeline.children.whisper_model import listen, loaded
from tests.benchmarks.table import Row
from tests.sounds import Samples, drone, quiet_sounds

LENGTHS_S = (2.0, 8.0, 30.0, 60.0)


def measure() -> list[Row]:
    sounds = [sound for seconds in LENGTHS_S for sound in (*quiet_sounds(seconds).values(), drone(seconds))]
    bare = WhisperModel("base", device="cpu", compute_type="int8", files=weights.load(weights.WHISPER["base"]))
    theirs = [bare_words(bare, sound) for sound in sounds]
    ours = [our_words(sound) for sound in sounds]
    minutes = sum(map(len, sounds)) / 16_000 / 60
    return [
        Row(
            name=f"(9) invented words in {len(sounds)} sounds, {minutes:.0f} min",
            figure=f"{sum(ours)} in {sum(map(bool, ours))} sounds",
            beside=f"bare engine {sum(theirs)} in {sum(map(bool, theirs))}",
            target="0",
            is_met=sum(ours) == 0,
        )
    ]


def bare_words(model: WhisperModel, sound: Samples) -> int:
    segments, _ = model.transcribe(
        sound, vad_filter=True, temperature=0.0, condition_on_previous_text=False, beam_size=5, word_timestamps=True
    )
    return sum(len(segment.text.split()) for segment in segments)


def our_words(sound: Samples) -> int:
    heard = listen(loaded("base"), sound, language=None, words=True)
    return sum(len(segment.text.split()) for segment in heard.segments)
