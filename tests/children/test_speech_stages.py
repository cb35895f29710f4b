"""The speech stages: sound for text, the same for the same text, and an error where there is nothing to speak."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from pipeline.children.lanes import Lanes
from pipeline.children.speech_work import SpeakFacts, SpeakParams
from pipeline.children.stage import StageLimits, StageResult, StageSpec

pytestmark = [pytest.mark.engines, pytest.mark.real_time]
HIBARI, PICO = "hibari_stage:speak", "pico_stage:speak"


class Desk:
    """Speaks in real children, as the routes do: hibari in a warm one, pico in a fresh one per call."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self.target = lanes.scratch(".pcm")

    def spoken(
        self, stage: str, text: str, voice: str, *, speed: float = 1.0, max_bytes: int | None = None
    ) -> StageResult:
        spec = StageSpec(
            stage=stage,
            output=self.target,
            params=msgspec.Raw(msgspec.json.encode(SpeakParams(text=text, voice=voice, speed=speed))),
            limits=StageLimits(max_output_bytes=max_bytes),
        )
        return self._lanes.submit("once" if stage == PICO else "engine", spec).result(timeout=60)

    def pcm(self) -> bytes:
        return Path(self._lanes.path(self.target)).read_bytes()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    staging = str(tmp_path_factory.mktemp("staging"))
    lanes = Lanes(roots={}, staging=staging, engine_workers=1, media_workers=1, memory_mb=1500)
    yield Desk(lanes)
    lanes.close()


def facts_of(result: StageResult) -> SpeakFacts:
    assert result.code is None, result
    return msgspec.json.decode(result.facts, type=SpeakFacts)


@pytest.mark.parametrize(
    ("stage", "voice", "text"),
    [
        (HIBARI, "heart", "The harbour is closed this evening."),
        (PICO, "de-DE", "Der Hafen ist heute Abend geschlossen."),
        (PICO, "fr-FR", "Le port est fermé ce soir."),
        (PICO, "es-ES", "El puerto está cerrado esta noche."),
        (PICO, "it-IT", "Il porto è chiuso questa sera."),
        (PICO, "en-GB", "The harbour is closed this evening."),
    ],
)
def test_a_sentence_becomes_seconds_of_sound_that_never_clips(desk: Desk, stage: str, voice: str, text: str) -> None:
    facts = facts_of(desk.spoken(stage, text, voice))
    samples = np.frombuffer(desk.pcm(), dtype="<i2")
    assert facts.samples == len(samples)
    assert 1.0 < facts.samples / facts.rate < 5.0
    assert 0.2 < facts.peak < 0.96
    assert np.abs(samples.astype(int)).max() / 32768 == pytest.approx(facts.peak, abs=0.001)


@pytest.mark.parametrize(("stage", "voice"), [(HIBARI, "heart"), (PICO, "de-DE")])
def test_the_same_text_gives_the_same_bytes(desk: Desk, stage: str, voice: str) -> None:
    bodies = set()
    for _ in range(2):
        facts_of(desk.spoken(stage, "Hallo, hello.", voice))
        bodies.add(desk.pcm())
    assert len(bodies) == 1


@pytest.mark.parametrize(("stage", "voice"), [(HIBARI, "heart"), (PICO, "de-DE")])
@pytest.mark.parametrize("text", ["", "  \n", "😀", "你好"])
def test_text_of_which_nothing_is_spoken_is_an_error(desk: Desk, stage: str, voice: str, text: str) -> None:
    assert desk.spoken(stage, text, voice).code == "text-unsupported"


def test_pico_is_not_fooled_by_markup_in_the_text(desk: Desk) -> None:
    """The engine knows tags that change its pace, or play a file."""
    plain = facts_of(desk.spoken(PICO, "Guten Morgen", "de-DE")).samples
    tagged = facts_of(desk.spoken(PICO, "<speed level='500'>Guten Morgen</speed>", "de-DE")).samples
    assert tagged > plain


def test_a_faster_voice_takes_less_time(desk: Desk) -> None:
    for stage, voice in ((HIBARI, "heart"), (PICO, "de-DE")):
        slow, fast = (facts_of(desk.spoken(stage, "Hallo Anna", voice, speed=s)).samples for s in (1.0, 2.0))
        assert fast < 0.75 * slow


def test_pico_takes_at_most_its_share_of_text(desk: Desk) -> None:
    assert desk.spoken(PICO, "Wort " * 101, "de-DE").code == "engine-failed"


def test_a_voice_that_is_not_packaged_is_never_fetched(desk: Desk) -> None:
    assert desk.spoken(HIBARI, "Hello", "emma").code == "voice-unknown"
    assert desk.spoken(PICO, "Hello", "en-US").code == "engine-failed"


def test_invariant_13_speech_stops_at_its_byte_cap(desk: Desk) -> None:
    assert desk.spoken(HIBARI, "A longer sentence than that.", "heart", max_bytes=1000).code == "limit-bytes"
    assert len(desk.pcm()) <= 1000
