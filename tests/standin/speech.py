"""Text to speech in both dialects: checks in the order of the real services, then beeps as long as the text.

OpenRouter speaks mp3 or headerless PCM and tells no price; what it cost is in `/generation` later, and dearer than the
catalogue says. An OpenAI-compatible server speaks six formats and mp3 unless told otherwise.
"""

from decimal import Decimal

from tests.standin import sound
from tests.standin.catalogue import SPEECH, SpeechModel, is_known
from tests.standin.gate import need_fields, need_key, need_model
from tests.standin.nouns import Answer, Asked, Fields, Refused, names, number_of, text_of
from tests.standin.problems import no_such_model, openai_problem, refuse, retired, zod
from tests.standin.world import Generation, World

GONE = "openai/gpt-4o-mini-tts-2025-12-15"
HIDDEN_POLLS = 2
OPENAI_MODELS = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts", "gpt-4o-mini-tts-2025-12-15")
OPENAI_VOICES = names("alloy ash ballad coral echo fable onyx nova sage shimmer verse marin cedar")
OPENAI_FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")
OPENAI_CHARACTERS = 4096
ODD_RATES = {"pcm-44100": 44_100, "mp3-44100": 44_100}


def openrouter(asked: Asked, world: World) -> Answer:
    fields = need_fields(asked)
    _schema(fields)
    need_key(asked)
    model = _model(asked)
    text, wanted = str(fields["input"]), text_of(fields, "response_format") or "pcm"
    _against_model(asked, model, fields, wanted)
    number = world.new_id("gen-tts")
    usd = model.billed * (len(text.encode()) if model.unit == "byte" else len(text))
    world.remember_cost(
        Generation(
            id=number,
            api_type="tts",
            model=model.id,
            usd=str(usd),
            hidden=int(number_of(asked.variations.get("generation-late", {}), "polls", HIDDEN_POLLS)),
            extra={"tokens_prompt": len(text)},
        )
    )
    answer = _mp3(asked, text, model) if wanted == "mp3" else _pcm(asked, text, model)
    return _billed(answer, number, usd)


def openai(asked: Asked, world: World) -> Answer:
    need_key(asked)
    fields = need_fields(asked)
    model = need_model(asked)
    if model not in OPENAI_MODELS:
        raise no_such_model(asked, model)
    text, wanted = text_of(fields, "input"), text_of(fields, "response_format") or "mp3"
    if not text or len(text) > OPENAI_CHARACTERS:
        raise Refused(openai_problem(400, "Invalid 'input': string of 1 to 4096 characters expected.", param="input"))
    if text_of(fields, "voice") not in OPENAI_VOICES:
        message = f"Invalid value for 'voice'. Supported values are: {', '.join(OPENAI_VOICES)}."
        raise Refused(openai_problem(400, message, param="voice", code="invalid_value"))
    if wanted not in OPENAI_FORMATS:
        message = f"Invalid value: '{wanted}'. Supported values are: {', '.join(OPENAI_FORMATS)}."
        raise Refused(openai_problem(400, message, param="response_format", code="invalid_value"))
    usd = Decimal("0.000015") * len(text)
    return _billed(_in_format(asked, text, wanted), world.new_id("req"), usd, id_header="x-request-id")


def _billed(answer: Answer, number: str, usd: Decimal, *, id_header: str = "X-Generation-Id") -> Answer:
    return Answer(
        media_type=answer.media_type,
        body=answer.body,
        chunk=max(1, len(answer.body) // 5),
        headers=((id_header, number),),
        usd=usd,
    )


def _schema(fields: Fields) -> None:
    """Runs before the key is looked at."""
    text, voice, wanted = (fields.get(name) for name in ("input", "voice", "response_format"))
    if not isinstance(text, str) or not text.strip():
        raise Refused(zod("input"))
    if not isinstance(fields.get("model"), str):
        raise Refused(zod("model"))
    if "voice" in fields and (not isinstance(voice, str) or not voice):
        raise Refused(zod("voice", message="Too small: expected string to have >=1 characters"))
    if wanted not in (None, "mp3", "pcm"):
        raise Refused(zod("response_format", message='Invalid option: expected one of "mp3"|"pcm"'))


def _model(asked: Asked) -> SpeechModel:
    model = need_model(asked)
    if model == GONE:
        raise retired(asked, model)
    if model not in SPEECH:
        if is_known(model):
            raise refuse(asked, 400, f"Model {model} does not support speech output.")
        raise no_such_model(asked, model)
    return SPEECH[model]


def _against_model(asked: Asked, model: SpeechModel, fields: Fields, wanted: str) -> None:
    voice, text = text_of(fields, "voice"), str(fields["input"])
    if wanted not in model.formats:
        raise refuse(
            asked, 400, f'{model.maker} TTS only supports response_format="{model.formats[0]}". Got "{wanted}".'
        )
    if voice is None and model.needs_voice:
        raise refuse(asked, 400, "An explicit voice is required for this TTS provider.")
    if voice is not None and model.voices and voice not in model.voices:
        raise refuse(asked, 400, f"Voice {voice} is not available for {model.id}.")
    if model.max_chars is not None and len(text) > model.max_chars:
        raise refuse(asked, 400, f"Input is too long: {len(text)} characters.", error_type="string_too_long")
    if "speed" in fields and not 0.25 <= number_of(fields, "speed", 0) <= 4:
        raise refuse(asked, 400, "speed must be between 0.25 and 4")


def _pcm(asked: Asked, text: str, model: SpeechModel) -> Answer:
    rate = ODD_RATES.get(next(iter(asked.variations), ""), model.rate)
    kind = "audio/pcm" if asked.plays("pcm-no-rate") else f"audio/pcm;rate={rate};channels=1"
    return Answer(media_type=kind, body=sound.beeps(sound.seconds_for(text), rate))


def _mp3(asked: Asked, text: str, model: SpeechModel) -> Answer:
    rate = ODD_RATES.get(next(iter(asked.variations), ""), model.rate)
    body = sound.encoded(
        "mp3",
        sound.seconds_for(text),
        rate=rate,
        bit_rate=128_000 if rate > 24_000 else 32_000,
        is_tagged=asked.plays("mp3-id3"),
    )
    return Answer(media_type="audio/mpeg", body=body)


def _in_format(asked: Asked, text: str, wanted: str) -> Answer:
    seconds = sound.seconds_for(text)
    if wanted in ("wav", "pcm"):
        pcm = sound.beeps(seconds, 24_000)
        if wanted == "wav":
            body = sound.wav(pcm, 24_000, has_placeholder=asked.plays("wav-placeholder"))
            return Answer(media_type="audio/wav", body=body)
        return Answer(media_type="application/octet-stream" if asked.plays("pcm-no-rate") else "audio/pcm", body=pcm)
    _, _, media_type = sound.ENCODINGS[wanted]
    return Answer(media_type=media_type, body=sound.encoded(wanted, seconds))
