"""`/audio/speech`, the same on both dialects: what is sent, and how the sound that comes back becomes a whole file.

Promises that headerless samples leave as a WAV with the announced rate and channels, that a WAV whose writer left its
sizes open leaves with true ones, and that nothing is collected in memory. Never decodes and never resamples.
"""

import io
import os
import re
from collections.abc import Mapping
from typing import BinaryIO

from msgspec import Struct

from pipeline.children.lanes import Lanes
from pipeline.core.drivers import Exchange
from pipeline.core.errors import ContractError, InputError
from pipeline.core.limits import Meter
from pipeline.core.model import Refusal
from pipeline.core.operations import AudioFormat, Speak
from pipeline.core.portions import estimated_tokens
from pipeline.core.wav import wav_header
from pipeline.media.containers import check_pcm, could_be, recognise
from pipeline.media.wav import read_layout
from pipeline.routes import _local
from pipeline.routes._body import JsonTree
from pipeline.routes._languages import two_letters
from pipeline.routes._open_wav import close_sizes
from pipeline.routes._stream import Stream
from pipeline.routes._voices import SpeechModel, voice_language

MEDIA_TYPES: Mapping[str, str] = {
    "pcm": "audio/wav",
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "flac": "audio/flac",
}
_WHOLE = frozenset(MEDIA_TYPES.values()) - {"audio/wav"}
_WIRE: Mapping[AudioFormat, tuple[str, ...]] = {
    "wav": ("pcm", "wav"),
    "mp3": ("mp3",),
    "opus": ("opus",),
    "flac": ("flac",),
    "m4a": (),
}
DECODED = ("flac", "mp3", "opus")
SAMPLE_BYTES = 2
ASSUMED_RATE, ASSUMED_CHANNELS = 24_000, 1
MIN_RATE, MAX_RATE, MAX_CHANNELS = 8_000, 192_000, 8
MAX_SOUND_BYTES = 1_000_000_000
HEAD_BYTES = 4096
SMALL_BYTES = 1_000_000
"""Answers up to here wait for their end in memory, longer ones on disk."""
CHARS_PER_S = 10.0  # slow speech, for estimates
_HALVES, _CONTROLS = re.compile("[\ud800-\udfff]"), re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")


class Sound(Struct, frozen=True, kw_only=True):
    """What came back: its type, its seconds where they were counted, and what the receipt may tell."""

    media_type: str
    seconds: float | None = None
    facts: dict[str, str] = {}


def wire_format(wanted: AudioFormat, speech: SpeechModel) -> str | None:
    """What to ask the server for, None where nothing that it makes will do.

    A model without samples answers a wish for wav in the best that it has, under its true name; the job decodes it.
    """
    own = next((form for form in speech.formats if form in _WIRE[wanted]), None)
    if own is not None or wanted != "wav":
        return own
    return next((form for form in DECODED if form in speech.formats), None)


def request(ask: Speak, model: str, speech: SpeechModel) -> dict[str, JsonTree]:
    """The JSON of the request. A pace of 1 is left out: some servers refuse the field itself."""
    voice = voice_of(ask, model, speech)
    return {
        "model": model,
        "input": ask.text,
        **({"voice": voice} if voice else {}),
        "response_format": wire_format(ask.format, speech),
        **({"speed": ask.speed} if ask.speed != 1.0 else {}),
    }


def voice_of(ask: Speak, model: str, speech: SpeechModel) -> str | None:
    """The voice that is named, else the model's usual one, else its first one of the text's language."""
    if ask.voice is not None or speech.voice is None:
        return ask.voice
    wanted = two_letters(ask.language)
    fitting = (name for name in (speech.voice, *(speech.voices or ())) if voice_language(model, name) in (None, wanted))
    return next(fitting, speech.voice)


def refusals(ask: Speak, model: str, speech: SpeechModel) -> list[Refusal]:
    """Everything against this request that can be told without sending it."""
    return [
        *_text_refusals(ask.text, speech),
        *_voice_refusals(ask, model, speech),
        *_format_refusals(ask.format, model, speech),
        *_speed_refusals(ask.speed, speech),
    ]


def _text_refusals(text: str, speech: SpeechModel) -> list[Refusal]:
    reasons = unsendable(text)
    if not text.strip():
        reasons.append(Refusal(code="text-unsupported", message="the text is blank", hint="give it text to speak"))
    counts = ((len(text), speech.max_chars, "characters"), (estimated_tokens(text), speech.max_tokens, "tokens"))
    for count, most, unit in counts:
        if most is not None and count > most:
            message = f"{count} {unit}, and the model takes {most}"
            reasons.append(Refusal(code="limit-chars", message=message, hint="split the text at a sentence"))
    return reasons


def unsendable(text: str) -> list[Refusal]:
    """Characters that no JSON carries to a server unharmed."""
    if not text.isascii() and _HALVES.search(text):
        message, hint = "the text has half a character in it", "repair its encoding"
        return [Refusal(code="text-unsupported", message=message, hint=hint)]
    if _CONTROLS.search(text):
        message, hint = "the text has control characters in it", "take them out"
        return [Refusal(code="text-unsupported", message=message, hint=hint)]
    return []


def _voice_refusals(ask: Speak, model: str, speech: SpeechModel) -> list[Refusal]:
    voice = voice_of(ask, model, speech)
    if voice is None:
        message, hint = f"{model} needs a voice", f"name one; see: mediaspool voices {model}"
        return [Refusal(code="voice-unknown", message=message, hint=hint)] if speech.needs_voice else []
    if speech.voices and voice not in speech.voices:
        hint = f"voices: {', '.join(speech.voices[:12])}{' ...' if len(speech.voices) > 12 else ''}"
        return [Refusal(code="voice-unknown", message=f"{model} has no voice {voice!r}", hint=hint)]
    spoken = voice_language(model, voice)
    if spoken is not None and spoken != two_letters(ask.language):
        message = f"voice {voice} speaks {spoken}, not {ask.language}"
        return [Refusal(code="language-unsupported", message=message, hint="name a voice of that language")]
    return []


def _format_refusals(wanted: AudioFormat, model: str, speech: SpeechModel) -> list[Refusal]:
    if wire_format(wanted, speech) is not None:
        return []
    makes = ", ".join(speech.formats)
    hint = "ask for wav; the job encodes it" if {"pcm", "wav"} & set(speech.formats) else f"ask for {makes}"
    return [Refusal(code="operation-unsupported", message=f"{model} makes {makes}, not {wanted}", hint=hint)]


def _speed_refusals(speed: float, speech: SpeechModel) -> list[Refusal]:
    if speech.min_speed <= speed <= speech.max_speed:
        return []
    hint = f"give a speed from {speech.min_speed:g} to {speech.max_speed:g}"
    return [Refusal(code="operation-unsupported", message=f"a speed of {speed:g} is not taken", hint=hint)]


async def receive(stream: Stream, form: str, *, lanes: Lanes, exchange: Exchange, max_bytes: int | None) -> Sound:
    """Hand the sound over: as it comes where it is whole in itself; else its end is awaited, to say how long it is.

    Many a server makes one format whatever it is asked for: what is told by its head goes under its true name.
    """
    asked, found = MEDIA_TYPES[form], recognise(await stream.peek(HEAD_BYTES))
    kind = asked if found is None or could_be(asked, found) else found.media_type
    if form != "pcm" and kind != "audio/wav" and (form != "wav" or kind in _WHOLE):
        while chunk := await stream.receive_some():
            await exchange.write(chunk)
        return Sound(media_type=kind)
    meter = Meter(min(max_bytes or MAX_SOUND_BYTES, MAX_SOUND_BYTES), unit="bytes of sound")
    start = await _first(stream, meter)
    if len(start) < SMALL_BYTES:
        body = io.BytesIO(start)
        sound, header = _judged(body, stream, form)
        await exchange.write(header + body.getvalue())
        return sound
    with _local.scratch(lanes, ".sound") as ref:
        path = lanes.path(ref)
        await _spool(stream, path, start, meter)
        sound, header = _judged_file(path, stream, form)
        await exchange.write(header)
        await _local.hand_over(exchange, path)
    return sound


async def _first(stream: Stream, meter: Meter) -> bytes:
    """All of a small answer, else its first bytes."""
    start = bytearray()
    while len(start) < SMALL_BYTES and (chunk := await stream.receive_some()):
        meter.add(len(chunk))
        start += chunk
    if not start:
        raise ContractError("the answer is empty", code="reply-empty", hint="mediaspool retry")
    return bytes(start)


async def _spool(stream: Stream, path: str, start: bytes, meter: Meter) -> None:
    """What has come and what comes, counted, into a file."""
    async with _local.gathering(path, "xb") as write:
        await write(start)
        while chunk := await stream.receive_some():
            meter.add(len(chunk))
            await write(chunk)


def _judged_file(path: str, stream: Stream, form: str) -> tuple[Sound, bytes]:
    with open(path, "r+b") as file:
        return _judged(file, stream, form)


def _judged(file: BinaryIO, stream: Stream, form: str) -> tuple[Sound, bytes]:
    """What a whole answer is, its open sizes closed, and the header that it lacks."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(HEAD_BYTES)
    found = recognise(head, size=size)
    if found is not None and found.media_type == "audio/wav":
        return _repaired(file, size), b""
    if form == "wav":
        kind = found.media_type if found else "nothing known"
        raise ContractError(f"the answer is {kind}, not audio/wav", code="reply-type")
    return _wrapped(stream, size, head)


def _repaired(file: BinaryIO, size: int) -> Sound:
    try:
        mended = close_sizes(file, size)
        layout = read_layout(file, file.seek(0, os.SEEK_END))
    except InputError as error:
        raise ContractError(f"the answer is damaged: {error.message}") from error
    facts = {"wav_rate": str(layout.rate), **({"wav_sizes": "repaired"} if mended else {})}
    return Sound(media_type="audio/wav", seconds=layout.seconds, facts=facts)


def _wrapped(stream: Stream, size: int, head: bytes) -> tuple[Sound, bytes]:
    """What raw samples are, and the header to put in front of them."""
    rate, channels, assumed = _announced(stream)
    reason = check_pcm(size, sample_width=SAMPLE_BYTES, channels=channels, head=head)
    if reason is not None:
        raise ContractError(f"the answer is not raw samples: {reason}", code="reply-damaged")
    facts = {"pcm_rate": str(rate), "pcm_channels": str(channels), **({"pcm_assumed": assumed} if assumed else {})}
    sound = Sound(media_type="audio/wav", seconds=size / (SAMPLE_BYTES * channels * rate), facts=facts)
    return sound, wav_header(size, rate=rate, channels=channels)


def _announced(stream: Stream) -> tuple[int, int, str]:
    """Rate and channels by the Content-Type, and the names of those that had to be assumed."""
    told = stream.media_type.parameters
    rate = _count(told.get("rate"), ASSUMED_RATE, low=MIN_RATE, high=MAX_RATE, what="a rate")
    channels = _count(told.get("channels"), ASSUMED_CHANNELS, low=1, high=MAX_CHANNELS, what="channels")
    return rate, channels, " ".join(name for name in ("rate", "channels") if name not in told)


def _count(told: str | None, default: int, *, low: int, high: int, what: str) -> int:
    if told is None:
        return default
    digits = told.strip().strip('"')
    if not digits.isascii() or not digits.isdigit() or not low <= int(digits[:9]) <= high:
        raise ContractError(f"the answer announces {what} of {digits[:20]!r}", code="reply-damaged")
    return int(digits)
