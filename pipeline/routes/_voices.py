"""What each speech model takes, as far as it is known without asking: voices, formats, lengths, pace.

A dated snapshot for what no catalogue tells. A catalogue's list of voices wins over the one here; for a model that is
in neither, nothing is refused that the server could know better.
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import msgspec
from msgspec import Struct

from pipeline.core.errors import ConfigError
from pipeline.core.portions import Portion

MAX_CHARS = 4096
PART_CHARS = 1000
"""What a part of a longer text carries where the model could take more: some break off after one to three minutes of
speech without a word, and 1000 characters are little more than one.
"""
BOUNDS = ("speak_chars", "speak_tokens")
LEAST_BOUND = 50
_KOKORO = """af_alloy af_aoede af_bella af_heart af_jessica af_kore af_nicole af_nova af_river af_sarah af_sky am_adam
am_echo am_eric am_fenrir am_liam am_michael am_onyx am_puck am_santa bf_alice bf_emma bf_isabella bf_lily bm_daniel
bm_fable bm_george bm_lewis ef_dora em_alex em_santa ff_siwis hf_alpha hf_beta hm_omega hm_psi if_sara im_nicola
jf_alpha jf_gongitsune jf_nezumi jf_tebukuro jm_kumo pf_dora pm_alex pm_santa zf_xiaobei zf_xiaoni zf_xiaoxiao zf_xiaoyi
zm_yunjian zm_yunxi zm_yunxia zm_yunyang"""
_GEMINI = """Zephyr Puck Charon Kore Fenrir Leda Orus Aoede Callirrhoe Autonoe Enceladus Iapetus Umbriel Algieba Despina
Erinome Algenib Rasalgethi Laomedeia Achernar Alnilam Schedar Gacrux Pulcherrima Achird Zubenelgenubi Vindemiatrix
Sadachbia Sadaltager Sulafat"""
_OPENAI = "alloy ash ballad coral echo fable onyx nova sage shimmer verse marin cedar"
_OPENAI_FIRST = "alloy ash coral echo fable onyx nova sage shimmer"
_KOKORO_LANGUAGES = {
    "a": "en", "b": "en", "e": "es", "f": "fr", "h": "hi", "i": "it", "j": "ja", "p": "pt", "z": "zh"
}  # fmt: skip


class SpeechModel(Struct, frozen=True, kw_only=True):
    """`voices` None: not known here. `formats` are the answers it can give, best first. `voice` is the one to name
    where a job names none; `needs_voice` models have no default of their own. Beyond `max_chars` and `max_tokens`
    the model refuses; `part_chars` is how long a part of a longer text should be.
    """

    voices: tuple[str, ...] | None = None
    formats: tuple[str, ...] = ("pcm", "mp3")
    voice: str | None = None
    needs_voice: bool = True
    max_chars: int = MAX_CHARS
    max_tokens: int | None = None
    part_chars: int = PART_CHARS
    min_speed: float = 0.25
    max_speed: float = 4.0


_UNKNOWN = SpeechModel(needs_voice=False)
_OPENROUTER: tuple[tuple[str, SpeechModel], ...] = (
    ("hexgrad/kokoro*", SpeechModel(voices=tuple(_KOKORO.split()), voice="af_alloy", max_tokens=4096)),
    ("google/gemini-*tts*", SpeechModel(voices=tuple(_GEMINI.split()), voice="Kore", formats=("pcm",), part_chars=800)),
    ("mistralai/voxtral*tts*", SpeechModel(formats=("mp3",), max_tokens=4096)),
    ("x-ai/grok-voice*", SpeechModel(voices=("eve", "ara", "rex", "sal", "leo"), voice="eve", formats=("mp3", "pcm"))),
    ("microsoft/mai-voice*", SpeechModel(min_speed=0.5, max_speed=2.0, voice="en-US-Harper:MAI-Voice-2.1")),
    ("fish-audio/*", SpeechModel(needs_voice=False)),
    ("bytedance-seed/seed-audio*", SpeechModel(needs_voice=False, max_chars=3000, min_speed=0.5, max_speed=2.0)),
    ("openai/*", SpeechModel(voices=tuple(_OPENAI.split()), voice="alloy", max_tokens=2000)),
)
_ALL_FORMATS = ("wav", "pcm", "mp3", "opus", "flac", "aac")
_OPENAI_DIALECT: tuple[tuple[str, SpeechModel], ...] = (
    ("tts-1*", SpeechModel(voices=tuple(_OPENAI_FIRST.split()), voice="alloy", formats=_ALL_FORMATS)),
    (
        "gpt-*-tts*",
        SpeechModel(voices=tuple(_OPENAI.split()), voice="alloy", formats=_ALL_FORMATS, max_tokens=2000),
    ),
    ("*kokoro*", SpeechModel(voice="af_alloy", formats=_ALL_FORMATS)),
)
_UNKNOWN_COMPATIBLE = SpeechModel(voice="alloy", formats=_ALL_FORMATS)


def openrouter_speech(model: str) -> SpeechModel:
    return _row(_OPENROUTER, model) or _UNKNOWN


def openai_speech(model: str) -> SpeechModel:
    return _row(_OPENAI_DIALECT, model) or _UNKNOWN_COMPATIBLE


def bounded(speech: SpeechModel, model: str, options: Mapping[str, str]) -> SpeechModel:
    """With the limits that the settings name instead: `speak_chars`, `speak_tokens`, for one model or for all."""
    chars, tokens = (_told(options, name, model) for name in BOUNDS)
    if chars is not None:
        speech = msgspec.structs.replace(speech, max_chars=chars, part_chars=chars)
    return speech if tokens is None else msgspec.structs.replace(speech, max_tokens=tokens)


def _told(options: Mapping[str, str], name: str, model: str) -> int | None:
    told = options.get(f"{name}.{model}", options.get(name))
    if told is None:
        return None
    if not told.isascii() or not told.isdigit() or int(told[:9]) < LEAST_BOUND:
        hint = f'write a whole number from {LEAST_BOUND}, such as "1000"'
        raise ConfigError(f"the option {name} is {told[:20]!r}", hint=hint)
    return int(told[:9])


def portion(speech: SpeechModel) -> Portion:
    """What one call should carry: a part, never more than the model takes."""
    return Portion(max_chars=min(speech.part_chars, speech.max_chars), max_tokens=speech.max_tokens)


def is_known(model: str) -> bool:
    return _row(_OPENROUTER[:-1], model) is not None


def voice_language(model: str, voice: str) -> str | None:
    """The language that a voice speaks, where its name says so."""
    if fnmatchcase(model, "*kokoro*") and len(voice) > 3 and voice[2] == "_":
        return _KOKORO_LANGUAGES.get(voice[0])
    if fnmatchcase(model, "microsoft/mai-voice*") and voice[:2].islower() and voice[2:3] == "-":
        return voice[:2]
    return None


def _row(rows: Sequence[tuple[str, SpeechModel]], model: str) -> SpeechModel | None:
    name = model.partition(":")[0].lower()
    return next((row for pattern, row in rows if fnmatchcase(name, pattern)), None)
