"""The kind `tts`."""

import wave
from pathlib import Path
from typing import get_args

import msgspec
import pytest
import trio

from jobs.tts import MAX_CHARS, Tts, TtsSpec
from pipeline.core.errors import (
    ContractError,
    InputError,
    LimitExceeded,
    MediaspoolError,
    Stopped,
    Unavailable,
    UnsupportedOperation,
)
from pipeline.core.kinds import Answered, KindResult
from pipeline.core.model import Limits
from pipeline.core.operations import AudioFormat, Operation, Speak
from pipeline.core.portions import DEFAULT_PORTION, Portion
from pipeline.core.wav import wrap_pcm
from tests.jobs.scripted import RATE, ScriptedContext, fitting_speech, source, speaking, speech, tone

KIND = Tts()
LONG = "\n\n".join(" ".join(f"Sentence number {number} of a longer text." for number in range(30)) for _ in range(2))


def context(tmp_path: Path, **options: object) -> ScriptedContext:
    return ScriptedContext(tmp_path, **{"answer": speaking, **options})  # type: ignore[arg-type]


def spoken_texts(ctx: ScriptedContext) -> list[str]:
    return [call.text for call in ctx.calls if isinstance(call, Speak)]


async def said(tmp_path: Path, text: str, answer: bytes) -> KindResult:
    return await KIND.run(TtsSpec(text=text), context(tmp_path, answer=lambda operation: answer))


async def test_a_text_becomes_one_wav(tmp_path: Path) -> None:
    result = await KIND.run(TtsSpec(text="Good morning, everybody in the house."), context(tmp_path))
    (draft,) = result.drafts
    assert (result.verdict, draft.name, draft.media_type) == ("done", "wav", "audio/wav")
    assert draft.path is not None
    with wave.open(str(draft.path)) as reader:
        assert reader.getnframes() / reader.getframerate() == pytest.approx(result.audio_seconds)


async def test_long_text_is_spoken_in_parts_that_lose_nothing(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    result = await KIND.run(TtsSpec(text=LONG), ctx)
    parts = spoken_texts(ctx)
    assert len(parts) > 2
    assert max(map(len, parts)) <= DEFAULT_PORTION.max_chars
    assert " ".join(parts).split() == LONG.split()
    assert result.facts["parts"] == str(len(parts))


async def test_a_text_is_cut_to_what_one_call_of_the_route_may_carry(tmp_path: Path) -> None:
    portion = Portion(max_chars=90, max_tokens=20)
    ctx = context(tmp_path, portion=portion)
    await KIND.run(TtsSpec(text=LONG), ctx)
    assert all(portion.holds(text) for text in spoken_texts(ctx))
    assert KIND.divided(TtsSpec(text=LONG), None, portion, None) == tuple(ctx.calls)


def test_admission_sees_every_call_that_will_be_made() -> None:
    announced = KIND.operations(TtsSpec(text=LONG, voice="heart", speed=1.5), None)
    assert len(announced) > 2
    assert {(part.voice, part.speed, part.language) for part in announced if isinstance(part, Speak)} == {
        ("heart", 1.5, "en")
    }


@pytest.mark.parametrize(
    ("wanted", "media_type"),
    [("mp3", "audio/mpeg"), ("opus", "audio/ogg"), ("flac", "audio/flac"), ("m4a", "audio/mp4")],
)
async def test_other_formats_are_encoded_in_the_scratch_folder(
    tmp_path: Path, wanted: AudioFormat, media_type: str
) -> None:
    ctx = context(tmp_path)
    result = await KIND.run(TtsSpec(text="Good morning.", format=wanted), ctx)
    assert ctx.encodings == [(media_type, {"language": "en"})]
    assert result.drafts[0].path is not None
    assert result.drafts[0].path.read_bytes().startswith(media_type.encode() + b"RIFF")
    assert KIND.products(TtsSpec(format=wanted)) == (wanted,)


def test_the_pipeline_asks_engines_for_wav_whatever_the_user_wants() -> None:
    for wanted in get_args(AudioFormat):
        (operation,) = KIND.operations(TtsSpec(text="Hello.", format=wanted), None)
        assert isinstance(operation, Speak)
        assert operation.format == "wav"


@pytest.mark.parametrize(
    ("media_type", "body", "wanted"),
    [
        ("text/plain", "\ufeffOne\r\ntwo.\r\n".encode(), ["One two."]),
        ("text/markdown", b"# A *title*\n\nAnd [text](http://x.y).\n", ["A title", "And text."]),
        ("application/x-subrip", b"1\n00:00:01,000 --> 00:00:02,000\n<i>Hello</i>\nyou.\n", ["Hello you."]),
        ("text/vtt", b"WEBVTT\n\n00:01.000 --> 00:02.000\nHello.\n", ["Hello."]),
    ],
)
async def test_a_text_file_is_read_and_spoken(tmp_path: Path, media_type: str, body: bytes, wanted: list[str]) -> None:
    ctx = context(tmp_path, source=source(media_type, body), body=body)
    await KIND.run(TtsSpec(), ctx)
    assert spoken_texts(ctx) == wanted


@pytest.mark.parametrize(("language", "wanted"), [("auto", "de"), ("en", "en"), ("de-DE", "de-DE")])
async def test_the_language_is_read_from_the_text_unless_it_is_given(
    tmp_path: Path, language: str, wanted: str
) -> None:
    ctx = context(tmp_path)
    await KIND.run(TtsSpec(text="Der Hund ist nicht im Haus und die Katze auch nicht.", language=language), ctx)
    assert {call.language for call in ctx.calls if isinstance(call, Speak)} == {wanted}


SENTENCE = "This sentence is long enough to be judged by its length."


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (speech(0.5), "1 of 1 parts are too short or too long for their text; listen at 0:00:00"),
        (speech(30.0), "1 of 1 parts are too short or too long for their text; listen at 0:00:00"),
        (speech(4.0, amplitude=10), "1 of 1 parts are silent; listen at 0:00:00"),
    ],
    ids=["swallowed", "endless", "silent"],
)
async def test_speech_that_does_not_fit_its_text_is_suspect(tmp_path: Path, answer: bytes, reason: str) -> None:
    result = await said(tmp_path, SENTENCE, answer)
    assert (result.verdict, result.reason, len(result.drafts)) == ("suspect", reason, 1)


async def test_one_lost_part_among_many_is_noticed(tmp_path: Path) -> None:
    lost = iter([False, True, False, False, False, False, False, False])

    def answer(operation: Operation) -> bytes:
        assert isinstance(operation, Speak)
        return speech(0.4) if next(lost) else fitting_speech(operation)

    result = await KIND.run(TtsSpec(text=LONG), context(tmp_path, answer=answer))
    assert result.reason.startswith("1 of ")


@pytest.mark.parametrize("speed", [0.25, 1.0, 2.0, 4.0])
async def test_the_asked_speed_is_no_reason_for_doubt(tmp_path: Path, speed: float) -> None:
    assert (await KIND.run(TtsSpec(text=SENTENCE, speed=speed), context(tmp_path))).verdict == "done"


async def test_an_answer_without_samples_is_a_contract_error(tmp_path: Path) -> None:
    with pytest.raises(ContractError):
        await said(tmp_path, SENTENCE, speech(0.0, edge_s=0.0))


def refuse(operation: Operation) -> bytes:
    raise UnsupportedOperation("no such voice", code="voice-unknown")


async def test_a_refusal_of_the_route_reaches_the_user_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedOperation, match="no such voice"):
        await KIND.run(TtsSpec(text="Hello."), context(tmp_path, answer=refuse))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "input-empty"),
        (" \n", "input-empty"),
        ("… — 🙂", "text-unsupported"),
        ("a" * (MAX_CHARS + 1), "limit-chars"),
    ],
)
def test_a_text_that_cannot_be_spoken_is_refused_before_anything_runs(text: str, code: str) -> None:
    assert [refusal.code for refusal in KIND.check(TtsSpec(text=text), None)] == [code]


@pytest.mark.parametrize(
    ("body", "code"), [(b" ", "input-empty"), (b"...", "text-unsupported"), (b"\xff", "input-damaged")]
)
async def test_a_file_that_cannot_be_spoken_is_refused_when_it_is_read(tmp_path: Path, body: bytes, code: str) -> None:
    ctx = context(tmp_path, source=source("text/plain", body), body=body)
    with pytest.raises(InputError) as caught:
        await KIND.run(TtsSpec(), ctx)
    assert caught.value.code == code
    assert ctx.calls == []


class SlowContext(ScriptedContext):
    """The first calls answer last. `fails_at` is the number of the call that fails at once."""

    def __init__(self, scratch: Path, *, width: int, fails_at: int | None = None) -> None:
        super().__init__(scratch, answer=speaking, width=width)
        self.most = self.begun = self.under_way = self.ended = 0
        self._fails_at = fails_at

    async def ask(self, operation: Operation) -> Answered:
        number, self.begun, self.under_way = self.begun, self.begun + 1, self.under_way + 1
        self.most = max(self.most, self.under_way)
        try:
            answer = await super().ask(operation)
            if number == self._fails_at:
                raise Unavailable("not now")
            await trio.sleep(0.02 * max(4 - number, 0))
            self.ended += 1
            return answer
        finally:
            self.under_way -= 1


async def test_parts_are_spoken_side_by_side_and_joined_in_order(tmp_path: Path) -> None:
    slow, plain = SlowContext(tmp_path / "a", width=3), context(tmp_path / "b")
    for ctx in (slow, plain):
        ctx.scratch.mkdir()
    made = [(await KIND.run(TtsSpec(text=LONG), ctx)).drafts[0].path for ctx in (slow, plain)]
    assert slow.most == 3
    assert made[0] is not None
    assert made[1] is not None
    assert made[0].read_bytes() == made[1].read_bytes()


async def test_a_failed_part_lets_the_others_end_and_begins_no_more(tmp_path: Path) -> None:
    ctx = SlowContext(tmp_path, width=2, fails_at=1)
    with pytest.raises(Unavailable):
        await KIND.run(TtsSpec(text=LONG), ctx)
    assert (len(ctx.calls), ctx.ended, ctx.under_way) == (2, 1, 0)
    assert len(KIND.operations(TtsSpec(text=LONG), None)) > 2


async def test_a_run_that_drains_ends_between_two_parts(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    ctx.stops_after = 2
    with pytest.raises(Stopped, match="2 of"):
        await KIND.run(TtsSpec(text=LONG), ctx)
    assert len(ctx.calls) == 2


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (wrap_pcm(tone(2.0) + bytes(RATE * 2 * 6) + tone(2.0), rate=RATE, channels=1), "mostly silence"),
        (speech(4.0, amplitude=200_000), "clipped"),
    ],
    ids=["hole", "clipped"],
)
async def test_silence_and_clipping_are_suspect_with_their_figures(tmp_path: Path, answer: bytes, what: str) -> None:
    result = await said(tmp_path, SENTENCE, answer)
    assert (result.verdict, what in result.reason) == ("suspect", True)
    assert float(result.facts["longest_silence_s"]) > 5 or float(result.facts["clipped_share"]) > 0.1


async def test_tags_tell_title_and_source_and_no_path(tmp_path: Path) -> None:
    body = b"Good morning."
    ctx = context(tmp_path, source=source("text/plain", body), body=body)
    await KIND.run(TtsSpec(format="mp3", title="Morning"), ctx)
    ((_, tags),) = ctx.encodings
    assert tags == {"language": "en", "title": "Morning", "comment": "source: canary-name.txt"}


BOOK = "# The Book\n\n## Loomings\n\nCall me Ishmael, said somebody.\n\n## The *Carpet*-Bag\n\nI stuffed a shirt.\n"


async def test_a_book_becomes_a_file_for_each_heading_and_a_playlist(tmp_path: Path) -> None:
    ctx = context(tmp_path, source=source("text/markdown"), body=BOOK.encode())
    result = await KIND.run(TtsSpec(chapters="files", format="mp3"), ctx)
    assert [draft.name for draft in result.drafts] == ["m3u", "01-loomings.mp3", "02-the-carpet-bag.mp3"]
    assert KIND.products(TtsSpec(chapters="files", format="mp3")) == ("m3u",)
    wanted = ["The Book", "Loomings", "Call me Ishmael, said somebody.", "The Carpet-Bag", "I stuffed a shirt."]
    assert spoken_texts(ctx) == wanted
    listed = (result.drafts[0].content or b"").decode().splitlines()
    assert [line for line in listed if not line.startswith("#")] == [
        "book.01-loomings.mp3",
        "book.02-the-carpet-bag.mp3",
    ]
    assert [tags["title"] for _, tags in ctx.encodings] == ["Loomings", "The Carpet-Bag"]
    assert result.facts["chapters"] == "2"


async def test_a_book_becomes_one_file_with_marks(tmp_path: Path) -> None:
    ctx = context(tmp_path, source=source("text/markdown"), body=BOOK.encode())
    result = await KIND.run(TtsSpec(chapters="m4b"), ctx)
    assert [(draft.name, draft.media_type) for draft in result.drafts] == [("m4b", "audio/mp4")]
    ((first, second),) = ctx.chapters
    assert (first.title, second.title, first.start_s) == ("Loomings", "The Carpet-Bag", 0.0)
    assert second.start_s == first.end_s
    assert second.end_s == pytest.approx(result.audio_seconds)


@pytest.mark.parametrize(
    "wrong", [{"chapters": "files", "format": "m4b"}, {"chapters": "m4b", "format": "mp3"}, {"format": "m4b"}]
)
def test_chapters_and_formats_that_do_not_go_together_are_refused(wrong: dict[str, str]) -> None:
    spec = msgspec.convert({"text": "Hello.", **wrong}, TtsSpec)
    assert [refusal.code for refusal in KIND.check(spec, None)] == ["job-invalid"]


async def test_the_limits_of_the_job_hold(tmp_path: Path) -> None:
    for limits, code in ((Limits(max_chars=5), "limit-chars"), (Limits(max_output_bytes=1000), "limit-bytes")):
        with pytest.raises(MediaspoolError) as caught:
            await KIND.run(TtsSpec(text="Good morning."), context(tmp_path, limits=limits))
        assert isinstance(caught.value, LimitExceeded)
        assert caught.value.code == code


@pytest.mark.parametrize("media_type", ["application/json", "text/html", "audio/wav"])
def test_a_file_that_is_not_for_reading_aloud_is_refused(media_type: str) -> None:
    assert [refusal.code for refusal in KIND.check(TtsSpec(), source(media_type))] == ["input-type"]


def test_a_text_and_an_input_together_are_refused() -> None:
    assert [refusal.code for refusal in KIND.check(TtsSpec(text="Hi."), source("text/plain"))] == ["job-invalid"]


@pytest.mark.parametrize("wrong", [{"speed": 0.1}, {"speed": 5}, {"format": "wma"}, {"txt": "hi"}])
def test_a_spec_that_makes_no_sense_does_not_convert(wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, TtsSpec)
