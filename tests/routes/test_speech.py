"""The speech routes: who speaks which language, what is refused, and what Whisper hears of it."""

import re
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.children.lanes import Lanes
from pipeline.core.drivers import Driver
from pipeline.core.errors import InputError
from pipeline.core.kinds import decode_transcript
from pipeline.core.model import Sha256
from pipeline.core.operations import MediaRef, Speak, Transcribe
from pipeline.routes import _speech, hibari, pico, whisper
from tests.exchanges import RecordingExchange, tools
from tests.routes.conftest import WAV, route, say

pytestmark = [pytest.mark.engines, pytest.mark.real_time]


def codes(driver: Driver, operation: Speak) -> list[str]:
    return [reason.code for reason in driver.check(operation, driver.bind("speak", None))]


@pytest.mark.parametrize(
    ("language", "by_hibari", "by_pico"),
    [
        ("en", True, False),
        ("en-US", True, False),
        ("en_us", True, False),
        ("en-GB", False, True),
        ("de", False, True),
        ("de-AT", False, True),
        ("fr-FR", False, True),
        ("es", False, True),
        ("it", False, True),
        ("en-AU", False, False),
        ("nl", False, False),
        ("ja", False, False),
        ("auto", False, False),
        ("", False, False),
    ],
)
def test_a_language_is_spoken_by_the_voice_that_knows_it(
    lanes: Lanes, language: str, by_hibari: bool, by_pico: bool
) -> None:
    operation = say("Hallo.", language)
    assert (codes(hibari.open_driver(route("hibari"), tools(lanes)), operation) == []) == by_hibari
    assert (codes(pico.open_driver(route("pico"), tools(lanes)), operation) == []) == by_pico


@pytest.mark.parametrize(
    ("text", "is_spoken"),
    [
        ("Hello there, naïve café.", True),
        ("It costs €5 or 42 %.", True),
        ("5 µm and Ω.", True),
        ("Party 🎉 time", True),
        ("ﬁne, ｆｕｌｌ width", True),
        ("", False),
        ("...", False),
        ("🎉", False),
        ("你好", False),
        ("Hello 你好 world", False),
        ("Привет", False),
        ("said Ελλάδα", False),
        ("half \ud800 character", False),
    ],
)
def test_english_text_is_spoken_whole_or_refused(lanes: Lanes, text: str, is_spoken: bool) -> None:
    expected = [] if is_spoken else ["text-unsupported"]
    assert codes(hibari.open_driver(route("hibari"), tools(lanes)), say(text)) == expected


def test_pico_refuses_a_lone_greek_letter_too(lanes: Lanes) -> None:
    assert codes(pico.open_driver(route("pico"), tools(lanes)), say("Das Ω", "de")) == ["text-unsupported"]


def test_reasons_are_told_all_at_once(lanes: Lanes) -> None:
    operation = Speak(text="你好", language="en", voice="emma", speed=9.0, format="mp3")
    assert codes(hibari.open_driver(route("hibari"), tools(lanes)), operation) == [
        "voice-unknown",
        "operation-unsupported",
        "operation-unsupported",
        "text-unsupported",
    ]


def test_a_voice_of_another_language_is_refused(lanes: Lanes) -> None:
    driver = pico.open_driver(route("pico"), tools(lanes))
    assert codes(driver, say("Guten Tag", "de", voice="fr-FR")) == ["voice-unknown"]
    assert codes(driver, say("Guten Tag", "de", voice="de-DE")) == []


@given(text=st.text(alphabet=st.sampled_from("ab .,;!?\n"), max_size=300), size=st.integers(5, 60))
def test_pieces_keep_every_word_in_order_and_never_exceed_their_size(text: str, size: int) -> None:
    pieces = list(_speech.pieces(text, size))
    assert all(len(piece) <= size and re.search(r"\w", piece) for piece in pieces)
    assert re.findall(r"\w", "".join(pieces)) == re.findall(r"\w", text)


def test_a_piece_ends_at_a_sentence_where_it_can() -> None:
    text = "One two three. Four five, six seven eight nine. Ten"
    assert list(_speech.pieces(text, 20)) == ["One two three.", "Four five,", "six seven eight", "nine. Ten"]


async def spoken(driver: Driver, operation: Speak) -> bytes:
    exchange = RecordingExchange()
    reply = await driver.perform(operation, driver.bind("speak", None), exchange)
    riff, size, rate, data = struct.unpack_from("<4sI16xI12xI", exchange.body)
    assert (riff, size, data) == (b"RIFF", len(exchange.body) - 8, len(exchange.body) - 44)
    assert reply.seconds == pytest.approx(data / 2 / rate)
    return exchange.body


@pytest.mark.parametrize(
    ("language", "text", "words"),
    [
        ("en", "The harbour is closed this evening.", ("closed", "evening")),
        ("en-GB", "The station is closed this evening.", ("station", "closed", "evening")),
        ("de", "Der Bahnhof ist heute Abend geschlossen.", ("heute", "abend", "geschlossen")),
        ("fr", "La gare est fermée ce soir.", ("gare", "soir")),
        ("es", "La casa está cerrada esta noche.", ("casa", "noche")),
        ("it", "La casa è chiusa questa sera.", ("casa", "sera")),
    ],
)
async def test_what_is_spoken_is_heard_again(
    lanes: Lanes, tmp_path_factory: pytest.TempPathFactory, language: str, text: str, words: tuple[str, ...]
) -> None:
    driver: Driver = hibari.open_driver(route("hibari"), tools(lanes))
    if language != "en":
        driver = pico.open_driver(route("pico"), tools(lanes))
    body = await spoken(driver, say(text, language))
    path = lanes.path(lanes.scratch(".wav"))
    with open(path, "wb") as file:
        file.write(body)
    audio = MediaRef(sha256=Sha256("0"), path=path, size=len(body), media=WAV)
    listener, exchange = whisper.open_driver(route("whisper"), tools(lanes)), RecordingExchange()
    await listener.perform(Transcribe(audio=audio), listener.bind("transcribe", None), exchange)
    transcript = decode_transcript(exchange.body)
    heard = " ".join(segment.text for segment in transcript.segments).lower()
    assert [word for word in words if word not in heard] == [], heard
    assert transcript.language == language[:2]


async def test_long_text_is_spoken_in_pieces_and_joined(lanes: Lanes) -> None:
    sentence = "Guten Morgen, liebe Freunde. "
    driver = pico.open_driver(route("pico"), tools(lanes))
    short, long = [len(await spoken(driver, say(sentence * times, "de"))) for times in (5, 40)]
    assert 6 < (long - 44) / (short - 44) < 9


async def test_the_same_text_gives_the_same_bytes(lanes: Lanes) -> None:
    for driver, language in (
        (hibari.open_driver(route("hibari"), tools(lanes)), "en"),
        (pico.open_driver(route("pico"), tools(lanes)), "de"),
    ):
        assert await spoken(driver, say("Anna, Berlin.", language)) == await spoken(
            driver, say("Anna, Berlin.", language)
        )


async def test_text_that_yields_no_samples_is_an_input_error_and_not_silence(lanes: Lanes) -> None:
    driver, exchange = hibari.open_driver(route("hibari"), tools(lanes)), RecordingExchange()
    with pytest.raises(InputError) as refused:
        await driver.perform(say("你好"), driver.bind("speak", None), exchange)
    assert refused.value.code == "text-unsupported"
    assert exchange.body == b""
