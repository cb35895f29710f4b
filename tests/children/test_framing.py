"""Frames survive any chunking and any name; whatever else arrives is BadFrame."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.children import framing
from pipeline.children.stage import FileRef, StageResult, StageSpec

names = st.binary(min_size=1, max_size=40).map(lambda raw: raw.replace(b"\0", b"x").decode("utf-8", "surrogateescape"))


@given(name=names, cuts=st.lists(st.integers(1, 30), max_size=20))
def test_an_ask_survives_any_name_and_any_chunking(name: str, cuts: list[int]) -> None:
    spec = StageSpec(stage="a:b", inputs=(FileRef(root="r", path=name),), params=msgspec.Raw(b'{"x":1}'))
    body = framing.ask_frame(7, spec, {"r": "/" + name}) * 2
    reader = framing.FrameReader()
    taken = []
    for cut in [*cuts, len(body)]:
        reader.feed(body[:cut])
        body = body[cut:]
        while (frame := reader.take()) is not None:
            taken.append(framing.read_ask(frame))
    assert [(ask.number, ask.spec.inputs[0].path, ask.roots["r"]) for ask in taken] == [(7, name, "/" + name)] * 2


@given(junk=st.binary(max_size=200))
def test_garbage_is_a_bad_frame_or_nothing(junk: bytes) -> None:
    reader = framing.FrameReader()
    reader.feed(junk)
    try:
        frame = reader.take()
        if frame is not None:
            framing.read_answer(frame)
    except framing.BadFrame:
        pass


def test_an_answer_with_an_odd_output_name_comes_back_whole() -> None:
    result = StageResult(output=FileRef(root="r", path="caf\udce9"))
    reader = framing.FrameReader()
    reader.feed(framing.answer_frame(3, result))
    body = reader.take()
    assert body is not None
    assert framing.read_answer(body).result.output == result.output


def test_a_frame_over_the_bound_is_refused_before_it_is_held() -> None:
    reader = framing.FrameReader()
    reader.feed((framing.MAX_FRAME_BYTES + 1).to_bytes(4, "big"))
    with pytest.raises(framing.BadFrame):
        reader.take()


def test_a_text_with_half_a_character_is_a_bad_frame() -> None:
    with pytest.raises(framing.BadFrame):
        framing.answer_frame(1, StageResult(message="half \ud800"))


def test_nesting_without_end_is_a_bad_frame() -> None:
    with pytest.raises(framing.BadFrame):
        framing.read_answer(b'{"number":1,"result":{"facts":' + b"[" * 100_000)
