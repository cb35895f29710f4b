"""Reading srt and vtt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs._captions import read_captions
from jobs._text import flow
from pipeline.core.errors import InputError

SRT = """1
00:00:00,000 --> 00:00:02,500
{\\an8}<i>Hello</i> there,
General.

2
00:01:02,000 --> 00:01:03,5
In 1998
<font color="red">2 < 3</font>
"""

VTT = """WEBVTT - made by hand

STYLE
::cue { color: red }

NOTE this is
not shown

intro
00:00.000 --> 00:02.500 align:start position:0%
<v Roger Bingham>We are &lt;here&gt; &amp;
<c.yellow>now</c>.

1:00:05.000 --> 1:00:06.000
Later.
"""

ROLLING = """WEBVTT

00:00:00.000 --> 00:00:02.000
hello world

00:00:02.000 --> 00:00:02.010
hello world

00:00:02.010 --> 00:00:04.000
hello world
this<00:00:02.500><c> is</c><00:00:03.000><c> new</c>
"""

line = st.text(st.sampled_from("ab0123:,.<>-&;{}\\/ \nWEBVT"), max_size=60)


def test_srt_is_read_without_numbers_times_and_tags() -> None:
    first, second = read_captions(SRT)
    assert (first.start, first.end, first.text) == (0.0, 2.5, "Hello there, General.")
    assert (second.start, second.end, second.text) == (62.0, 63.5, "In 1998 2 < 3")


def test_vtt_is_read_without_header_notes_styles_settings_and_voices() -> None:
    first, second = read_captions(VTT)
    assert (first.start, first.end, first.text) == (0.0, 2.5, "We are <here> & now.")
    assert (second.start, second.text) == (3605.0, "Later.")


def test_rolling_captions_are_read_once() -> None:
    assert flow(read_captions(ROLLING)) == "hello world this is new\n"


def test_repeated_speech_is_kept_where_nothing_rolls() -> None:
    text = "WEBVTT\n\n00:01.000 --> 00:02.000\nNo.\n\n00:02.000 --> 00:03.000\nNo.\n"
    assert flow(read_captions(text)) == "No. No.\n"


def test_a_blank_line_inside_an_srt_cue_loses_nothing() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\nfirst\n\nstill first\n\n2\n00:00:02,000 --> 00:00:03,000\n42\n"
    assert [cue.text for cue in read_captions(text)] == ["first still first", "42"]


def test_a_number_that_is_spoken_is_not_taken_for_a_cue_number() -> None:
    text = "00:00:01,000 --> 00:00:02,000\n42\n\n00:00:02,000 --> 00:00:03,000\nyes\n"
    assert [cue.text for cue in read_captions(text)] == ["42", "yes"]


def test_lines_of_an_unspaced_script_join_without_a_space() -> None:
    assert read_captions("1\n00:00:01,000 --> 00:00:02,000\n日本\n語\n")[0].text == "日本語"


@pytest.mark.parametrize("text", ["", "WEBVTT\n", "just a text\n\nwith paragraphs", "1\n00:00 --> nonsense\nHello\n"])
def test_a_file_without_a_cue_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        read_captions(text)
    assert caught.value.code == "input-damaged"


@given(text=line, is_vtt=st.booleans())
def test_whatever_stands_below_a_timing_line_becomes_one_line(text: str, is_vtt: bool) -> None:
    head = "WEBVTT\n\n" if is_vtt else ""
    cues = read_captions(f"{head}00:00:01.000 --> 00:00:02.000\n{text}")
    assert cues[0].start == 1.0
    assert all("\n" not in cue.text for cue in cues)
