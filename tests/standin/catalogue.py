"""The models of the stand-in: what each takes, what it is said to cost, and what it then really costs.

A dated picture of the real catalogue, shortened, with its nasty corners kept. Pictures and films have tables of
their own.
"""

from decimal import Decimal
from typing import Literal

from msgspec import Struct

from tests.standin.catalogue_images import IMAGES
from tests.standin.catalogue_videos import VIDEOS
from tests.standin.nouns import names


class SpeechModel(Struct, frozen=True, kw_only=True):
    """`listed` is the price in the catalogue, `billed` the dearer one of whoever answers; both per `unit`."""

    id: str
    maker: str
    listed: str
    billed: Decimal
    voices: tuple[str, ...] | None = None
    needs_voice: bool = False
    formats: tuple[str, ...] = ("mp3", "pcm")
    rate: int = 24_000
    unit: Literal["character", "byte", "token"] = "character"
    completion: str = "0"
    context: int | None = 4096
    max_chars: int | None = 15_000


class Transcriber(Struct, frozen=True, kw_only=True):
    """`per_second` is what a second costs; a price `listed` per token or per hour says so nowhere."""

    id: str
    listed: str
    per_second: Decimal
    is_verbose: bool = True
    leads_with_space: bool = False
    rounds_up: bool = False
    tells_language: bool = True
    counts_tokens: bool = False
    completion: str = "0"


class ChatModel(Struct, frozen=True, kw_only=True):
    """Prices are USD per token."""

    id: str
    prompt: str
    completion: str
    inputs: tuple[str, ...] = ("text",)
    outputs: tuple[str, ...] = ("text",)
    context: int = 128_000
    max_out: int = 16_384
    parameters: tuple[str, ...] = ("max_tokens", "temperature", "response_format", "structured_outputs", "seed", "stop")
    must_reason: bool = False
    efforts: tuple[str, ...] = ()


KOKORO = names(
    "af_alloy af_aoede af_bella af_heart af_jessica af_kore af_nicole af_nova af_river af_sarah af_sky am_adam am_echo"
    " am_eric am_fenrir am_liam am_michael am_onyx am_puck am_santa bf_alice bf_emma bf_isabella bf_lily bm_daniel"
    " bm_fable bm_george bm_lewis ef_dora em_alex em_santa ff_siwis hf_alpha hf_beta hm_omega hm_psi if_sara im_nicola"
    " jf_alpha jf_gongitsune jf_nezumi jf_tebukuro jm_kumo pf_dora pm_alex pm_santa zf_xiaobei zf_xiaoni zf_xiaoxiao"
    " zf_xiaoyi zm_yunjian zm_yunxi zm_yunxia zm_yunyang"
)
GEMINI = names(
    "Zephyr Puck Charon Kore Fenrir Leda Orus Aoede Callirrhoe Autonoe Enceladus Iapetus Umbriel Algieba Despina"
    " Erinome Algenib Rasalgethi Laomedeia Achernar Alnilam Schedar Gacrux Pulcherrima Achird Zubenelgenubi"
    " Vindemiatrix Sadachbia Sadaltager Sulafat"
)

_SPEECH = (
    SpeechModel(
        id="hexgrad/kokoro-82m",
        maker="Kokoro",
        listed="0.00000062",
        billed=Decimal("0.000004"),
        voices=KOKORO,
        needs_voice=True,
    ),
    SpeechModel(
        id="google/gemini-3.8-flash-tts",
        maker="Gemini",
        listed="0.0000005",
        completion="0.000009",
        billed=Decimal("0.000012"),
        voices=GEMINI,
        formats=("pcm",),
        unit="token",
        context=32_768,
    ),
    SpeechModel(
        id="mistralai/voxtral-mini-tts-2603",
        maker="Mistral",
        listed="0.000016",
        billed=Decimal("0.000016"),
        voices=("en_paul_neutral", "en_paul_happy", "gb_oliver_neutral", "gb_jane_neutral"),
        needs_voice=True,
    ),
    SpeechModel(
        id="x-ai/grok-voice-tts-1.0",
        maker="xAI",
        listed="0.000015",
        billed=Decimal("0.000015"),
        voices=("eve", "ara", "rex", "sal", "leo"),
        context=15_000,
    ),
    SpeechModel(
        id="microsoft/mai-voice-2.1",
        maker="Microsoft",
        listed="0.000022",
        billed=Decimal("0.000022"),
        voices=("en-US-Harper:MAI-Voice-2.1", "en-GB-Emily:MAI-Voice-2.1"),
        needs_voice=True,
    ),
    SpeechModel(
        id="fish-audio/s2.1-pro",
        maker="Fish",
        listed="0.000015",
        billed=Decimal("0.000015"),
        rate=44_100,
        unit="byte",
        context=0,
    ),
    SpeechModel(
        id="fish-audio/s2.1-pro-free:free", maker="Fish", listed="0", billed=Decimal(0), rate=44_100, unit="byte"
    ),
    SpeechModel(
        id="bytedance-seed/seed-audio-1-0",
        maker="Seed",
        listed="0",
        completion="0.0025",
        billed=Decimal("0.0002"),
        voices=(),
        context=None,
        max_chars=3000,
    ),
)
SPEECH = {model.id: model for model in _SPEECH}

_TRANSCRIBERS = (
    Transcriber(id="openai/whisper-1", listed="0.0001", per_second=Decimal("0.0001"), leads_with_space=True),
    Transcriber(
        id="openai/whisper-large-v3-turbo",
        listed="0.00000333",
        per_second=Decimal("0.00001111"),
        leads_with_space=True,
    ),
    Transcriber(
        id="openai/gpt-4o-transcribe",
        listed="0.0000025",
        completion="0.00001",
        per_second=Decimal("0.0001"),
        is_verbose=False,
        counts_tokens=True,
    ),
    Transcriber(
        id="openai/gpt-4o-mini-transcribe",
        listed="0.00000125",
        completion="0.000005",
        per_second=Decimal("0.00005"),
        is_verbose=False,
        counts_tokens=True,
    ),
    Transcriber(id="deepgram/nova-3", listed="0.0000716667", per_second=Decimal("0.0000716667"), tells_language=False),
    Transcriber(id="microsoft/mai-transcribe-2", listed="0.1", per_second=Decimal("0.1") / 3600, rounds_up=True),
    Transcriber(id="x-ai/grok-stt-1.0", listed="0.0000277778", per_second=Decimal("0.0000277778")),
    Transcriber(id="google/chirp-3", listed="0.00026667", per_second=Decimal("0.00026667"), is_verbose=False),
)
TRANSCRIBERS = {model.id: model for model in _TRANSCRIBERS}

_CHAT = (
    ChatModel(
        id="openai/gpt-5.4-mini",
        prompt="0.00000025",
        completion="0.000002",
        inputs=("text", "image", "file"),
        context=400_000,
    ),
    ChatModel(id="anthropic/claude-sonnet-4", prompt="0.000003", completion="0.000015", inputs=("text", "image")),
    ChatModel(
        id="google/gemini-2.5-pro",
        prompt="0.00000125",
        completion="0.00001",
        inputs=("text", "image", "audio", "file"),
        must_reason=True,
        efforts=("low", "medium", "high"),
        context=1_048_576,
    ),
    ChatModel(
        id="google/gemini-2.5-flash",
        prompt="0.0000003",
        completion="0.0000025",
        inputs=("text", "image", "audio", "video", "file"),
        efforts=("none", "minimal", "low", "medium", "high", "xhigh"),
    ),
    ChatModel(
        id="deepseek/deepseek-v4",
        prompt="0.0000002",
        completion="0.0000008",
        efforts=("none", "low", "medium", "high", "xhigh"),
        parameters=("max_tokens", "temperature", "reasoning"),
    ),
    ChatModel(id="liquid/lfm-2.5-2.6b:free", prompt="0", completion="0", parameters=("max_tokens", "temperature")),
    ChatModel(id="openrouter/auto", prompt="-1", completion="-1"),
    ChatModel(
        id="google/gemini-3.1-flash-image-preview",
        prompt="0.0000003",
        completion="0.0000025",
        inputs=("text", "image"),
        outputs=("image", "text"),
    ),
)
CHAT = {model.id: model for model in _CHAT}


def is_known(model: str) -> bool:
    """Is it a model of any kind?"""
    return any(model in table for table in (SPEECH, TRANSCRIBERS, CHAT, IMAGES, VIDEOS))
