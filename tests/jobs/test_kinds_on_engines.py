"""The kinds on the embedded engines: real recordings in, words out; texts in, believable speech out."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import av as pyav
import pytest

from jobs._captions import read_captions
from jobs.canonical_text import CanonicalText, CanonicalTextSpec
from jobs.transcription import Transcription, TranscriptionSpec
from jobs.tts import Tts, TtsSpec
from pipeline.children.lanes import Lanes
from pipeline.core.drivers import Driver, RouteConfig
from pipeline.core.kinds import KindResult
from pipeline.core.model import Asset, Media, RouteId, Sha256, Source
from pipeline.core.operations import AudioFormat, Operation, Speak, Transcribe, operation_name
from pipeline.core.sound import Chapter, Sound
from pipeline.core.wav import wrap_pcm
from pipeline.media import av
from pipeline.media.containers import examine
from pipeline.routes.hibari import open_driver as open_hibari
from pipeline.routes.pico import open_driver as open_pico
from pipeline.routes.whisper import open_driver as open_whisper
from tests.exchanges import RecordingExchange, tools
from tests.jobs.scripted import ScriptedContext

pytestmark = [pytest.mark.engines, pytest.mark.real_time]
MEDIA = Path(__file__).parents[2] / "samples" / "media"
JFK = "And so my fellow Americans ask not what your country can do for you ask what you can do for your country"


class EngineContext(ScriptedContext):
    """A JobContext on real drivers, without ledger and store."""

    def __init__(self, lanes: Lanes, scratch: Path, source: Source | None = None) -> None:
        super().__init__(scratch, source=source)
        self._lanes = lanes

    async def call(
        self, operation: Operation, *, route: str | None = None, audio_seconds: float | None = None
    ) -> Asset:
        driver = self._driver(operation)
        binding = driver.bind(operation_name(operation), None)
        assert driver.check(operation, binding) == []
        received = RecordingExchange()
        reply = await driver.perform(operation, binding, received)
        assert reply.usd == Decimal(0)
        digest = Sha256(hashlib.sha256(received.body).hexdigest())
        path = self.scratch / f"asset-{digest}"
        path.write_bytes(received.body)
        media = Media(media_type=reply.media_type, family="audio", extension="bin", demuxer="wav")
        return Asset(sha256=digest, path=str(path), size=len(received.body), media=media)

    def _driver(self, operation: Operation) -> Driver:
        if isinstance(operation, Transcribe):
            return open_whisper(route("whisper"), tools(self._lanes))
        assert isinstance(operation, Speak)
        return (
            open_hibari(route("hibari"), tools(self._lanes))
            if operation.language == "en"
            else open_pico(route("pico"), tools(self._lanes))
        )

    async def encode(
        self,
        sources: Sequence[Path],
        target: Path,
        *,
        media_type: str,
        tags: Mapping[str, str],
        chapters: Sequence[Chapter] = (),
        seconds: float = 0.0,
    ) -> Sound:
        refs, there = [self._lanes.ref(str(source)) for source in sources], self._lanes.ref(str(target))
        spec = av.encode(refs, there, media_type=media_type, tags=tags, chapters=chapters, seconds=seconds)
        return av.encode_facts(await self._lanes.run("media", spec)).sound

    async def pdf_text(self, source: Source) -> str:
        result = await self._lanes.run("media", av.pdf_text(self._lanes.ref(source.path)))
        return av.pdf_facts(result).text

    async def read_asset(self, asset: Asset, *, max_bytes: int) -> bytes:
        return Path(asset.path).read_bytes()[:max_bytes]

    async def read_source(self, *, max_bytes: int) -> bytes:
        assert self.source is not None
        return Path(self.source.path).read_bytes()[:max_bytes]


def route(name: str) -> RouteConfig:
    return RouteConfig(id=RouteId(name), driver=name, width=1)


def recording(path: Path) -> Source:
    with path.open("rb") as file:
        found = examine(file, os.fstat(file.fileno()).st_size)
    assert found.ok, found.reason
    assert found.media is not None
    digest = Sha256(hashlib.sha256(path.read_bytes()).hexdigest())
    return Source(
        path=str(path),
        size=path.stat().st_size,
        sha256=digest,
        media=found.media,
        seconds=found.seconds,
        tracks=found.streams,
    )


@pytest.fixture(scope="module")
def lanes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lanes]:
    base = tmp_path_factory.getbasetemp()
    staging = tmp_path_factory.mktemp("staging")
    opened = Lanes(
        roots={"media": str(MEDIA), "tmp": str(base)},
        staging=str(staging),
        engine_workers=1,
        media_workers=1,
        memory_mb=2500,
    )
    yield opened
    opened.close()


async def transcribed(lanes: Lanes, scratch: Path, path: Path, spec: TranscriptionSpec) -> KindResult:
    source = recording(path)
    assert Transcription().check(spec, source) == []
    return await Transcription().run(spec, EngineContext(lanes, scratch, source))


async def test_a_real_recording_becomes_text_and_subtitles(lanes: Lanes, tmp_path: Path) -> None:
    spec = TranscriptionSpec(formats=("txt", "srt", "vtt", "json", "tsv"), reference=JFK)
    result = await transcribed(lanes, tmp_path, MEDIA / "jfk.wav", spec)
    text, shown = (draft.content.decode() for draft in result.drafts[:2] if draft.content is not None)
    assert result.verdict == "done"
    assert float(result.facts["word_error_rate"]) < 0.15
    assert "country" in text
    assert all(0 <= cue.start < cue.end <= 11.1 for cue in read_captions(shown))


async def test_silence_is_empty(lanes: Lanes, tmp_path: Path) -> None:
    path = tmp_path / "silence.wav"
    path.write_bytes(wrap_pcm(bytes(16_000 * 2 * 5), rate=16_000, channels=1))
    result = await transcribed(lanes, tmp_path, path, TranscriptionSpec())
    assert (result.verdict, result.drafts) == ("empty", ())


TEXTS = {
    "prose": "It was the best of times, it was the worst of times, it was the age of wisdom. " * 8,
    "numbers": "In 1998 we paid $3,450.75 for 12 chairs. Call me at 555-0199 or +44 20 7946 0958.",
    "terms": "Visit https://example.com/path?query=1 for details. NASA, the FBI and the WHO met at 9:45 a.m.",
    "german": "Der Kaffee kostet 3,50 Euro, und das Brot ist nicht mehr zu haben. Wir kommen am 3. Mai mit dem Zug.",
    "french": "Les enfants jouent dans le jardin avec le chien de la voisine, et le chat est sur le toit.",
    "spanish": "El perro de mi vecina corre por el jardín todas las mañanas, y los niños no lo ven.",
    "italian": "Il cane della mia vicina corre nel giardino ogni mattina, e la gatta è sul tetto con un uccello.",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
async def test_real_speech_has_a_length_that_fits_its_text(lanes: Lanes, tmp_path: Path, text: str) -> None:
    result = await Tts().run(TtsSpec(text=text), EngineContext(lanes, tmp_path))
    assert (result.verdict, result.reason) == ("done", "")
    assert result.audio_seconds > 3


@pytest.mark.parametrize("wanted", ["mp3", "opus", "flac", "m4a"])
async def test_speech_is_encoded_whole_in_every_format(lanes: Lanes, tmp_path: Path, wanted: AudioFormat) -> None:
    result = await Tts().run(TtsSpec(text="Good morning, good people.", format=wanted), EngineContext(lanes, tmp_path))
    (draft,) = result.drafts
    assert draft.path is not None
    made = recording(draft.path)
    assert made.seconds == pytest.approx(result.audio_seconds, abs=0.2)


async def test_what_was_spoken_in_parts_is_heard_again_as_one_text(lanes: Lanes, tmp_path: Path) -> None:
    text = "The quick brown fox jumps over the lazy dog.\n\nThe harbour is quiet this morning."
    spoken = await Tts().run(TtsSpec(text=text), EngineContext(lanes, tmp_path))
    assert spoken.drafts[0].path is not None
    source = recording(spoken.drafts[0].path)
    heard = await CanonicalText().run(CanonicalTextSpec(), EngineContext(lanes, tmp_path, source))
    words = (heard.drafts[0].content or b"").decode().lower()
    assert all(word in words for word in ("brown fox", "lazy dog", "quiet", "morning"))


BOOK = "# Two tales\n\n## The harbour\n\nThe boats were out early.\n\n## The hill\n\nNobody had climbed it before.\n"
CUES = """1
00:00:00,500 --> 00:00:02,500
Good morning, everybody.

2
00:00:03,000 --> 00:00:04,200
This one has a little too much to say.
"""


def text_file(tmp_path: Path, name: str, body: str, media_type: str) -> Source:
    path = tmp_path / name
    path.write_text(body)
    media = Media(media_type=media_type, family="text", extension=name.rpartition(".")[2])
    return Source(path=str(path), size=path.stat().st_size, sha256=Sha256("0" * 64), media=media)


async def test_a_book_is_spoken_with_chapters_to_its_loudness_and_read_back(lanes: Lanes, tmp_path: Path) -> None:
    source = text_file(tmp_path, "tales.md", BOOK, "text/markdown")
    spec = TtsSpec(chapters="m4b", language="en", loudness=-16.0, verify=True)
    result = await Tts().run(spec, EngineContext(lanes, tmp_path, source))
    assert (result.verdict, result.facts["chapters"]) == ("done", "2")
    assert float(result.facts["loudness_lufs"]) == pytest.approx(-16.0, abs=1.0)
    assert float(result.facts["round_trip_wer"]) < 0.3
    with pyav.open(str(result.drafts[0].path)) as book:
        assert [mark["metadata"]["title"] for mark in book.chapters()] == ["The harbour", "The hill"]


async def test_subtitles_are_spoken_to_their_timing(lanes: Lanes, tmp_path: Path) -> None:
    source = text_file(tmp_path, "a.srt", CUES, "application/x-subrip")
    result = await Tts().run(TtsSpec(timing="cues", language="en"), EngineContext(lanes, tmp_path, source))
    assert result.drafts[0].path is not None
    assert examine_path(result.drafts[0].path) == pytest.approx(4.2, abs=0.01)
    assert int(result.facts["cues_sped_up"]) >= 1
    assert (result.verdict == "suspect") == (result.facts["cues_cut"] != "0")


def examine_path(path: Path) -> float | None:
    with path.open("rb") as file:
        return examine(file, path.stat().st_size).seconds


async def test_german_speech_is_read_back(lanes: Lanes, tmp_path: Path) -> None:
    text = "Es war einmal ein König, der hatte drei Söhne, davon waren zwei klug, aber der dritte sprach nicht viel."
    result = await Tts().run(TtsSpec(text=text, verify=True), EngineContext(lanes, tmp_path))
    assert (result.verdict, result.facts["language"]) == ("done", "de")
    assert float(result.facts["round_trip_wer"]) < 0.4
