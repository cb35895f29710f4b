"""Parts and seams: for any recording and any cuts, what is joined is what was said, once, in order, at its time."""

import random
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs._cuts import OVERLAP_S, Stretch, cut, number, speaks
from jobs._merge import Piece, gaps, interleaved, join, language_of, languages_of
from pipeline.core.hearing import Quiet, Survey
from pipeline.core.operations import Segment, Span, Transcript, Word
from tests.jobs.scripted import surveyed, transcript

VOCABULARY = (
    *("no", "yes", "the", "and", "ask", "what", "you", "can", "do", "for", "your", "country", "he", "was", "not"),
    *("an", "ill", "man", "好", "天", "नमस्ते", "7,5", "don't"),
)
GARBLED = "mm"


class Talk:
    """Somebody speaking: words with the times at which they are said, and the pauses between them."""

    def __init__(self, seed: int, *, seconds: float, pauses: bool, distinct: bool) -> None:
        chance = random.Random(seed)
        self.words: list[Word] = []
        at = 0.4
        while at < seconds - 1:
            length = chance.uniform(0.08, 0.7)
            text = f"w{len(self.words)}" if distinct else chance.choice(VOCABULARY)
            self.words.append(Word(start=round(at, 3), end=round(at + length, 3), text=text))
            at += length + (chance.uniform(0.6, 1.5) if pauses and chance.random() < 0.1 else chance.uniform(0, 0.08))
        self.seconds = max(seconds, self.words[-1].end + 0.3)
        self._chance = chance

    @property
    def text(self) -> list[str]:
        return [word.text for word in self.words]

    def survey(self) -> Survey:
        """A quiet point every two seconds: in a pause where there is one, else in the middle of a word."""
        quiet = []
        for place in range(int(self.seconds / 2)):
            pauses = [
                (one.end + other.start) / 2
                for one, other in pairwise(self.words)
                if other.start - one.end > 0.5 and 2 * place <= (one.end + other.start) / 2 < 2 * place + 2
            ]
            spoken = 2 * place + self._chance.uniform(0, 2)
            quiet.append(Quiet(round(pauses[0] if pauses else spoken, 3), 0.0 if pauses else 0.1, not pauses))
        return Survey(
            seconds=self.seconds,
            first_s=0.0,
            peak=0.5,
            rms=0.1,
            loudest_rms=0.2,
            channels=1,
            tracks=1,
            speech=(Span(start=0.0, end=self.seconds),),
            quiet=tuple(quiet),
        )

    def heard(self, stretch: Stretch, *, jitter: float, has_times: bool, has_words: bool = True) -> Transcript:
        """What an engine makes of a part: a word that an edge cuts is lost or garbled, times are a little off."""
        words = []
        for word in self.words:
            if word.end <= stretch.start or word.start >= stretch.end:
                continue
            is_whole = stretch.start <= word.start and word.end <= stretch.end
            if not is_whole and self._chance.random() < 0.5:
                continue
            off = self._chance.uniform(-jitter, jitter)
            start = min(max(word.start - stretch.start + off, 0.0), stretch.end - stretch.start)
            end = max(start, min(word.end - stretch.start + off, stretch.end - stretch.start))
            words.append(Word(start=start, end=end, text=word.text if is_whole else GARBLED))
        size = self._chance.randint(3, 12) if has_times else len(words) or 1
        rows = [words[at : at + size] for at in range(0, len(words), size)]
        segments = tuple(
            Segment(
                start=row[0].start if has_times else 0.0,
                end=row[-1].end if has_times else stretch.end - stretch.start,
                text=" ".join(word.text for word in row),
                words=tuple(row) if has_times and has_words else (),
            )
            for row in rows
        )
        return Transcript(
            schema=1,
            language="en",
            language_probability=0.9,
            seconds=stretch.end - stretch.start,
            speech_seconds=None,
            segments=segments,
            engine="scripted",
            model="one",
        )


def pieces_of(
    talk: Talk, *, longest_s: float, jitter: float = 0.0, has_times: bool = True, has_words: bool = True
) -> list[Piece]:
    stretches = cut(talk.survey(), longest_s=longest_s)
    return [
        Piece(stretch=each, transcript=talk.heard(each, jitter=jitter, has_times=has_times, has_words=has_words))
        for each in stretches
    ]


def spoken(segments: tuple[Segment, ...]) -> list[str]:
    return [word for segment in segments for word in segment.text.split()]


seeds = st.integers(0, 10_000)
lengths = st.floats(20, 400)


@settings(max_examples=80, deadline=None)
@given(seed=seeds, seconds=lengths, longest_s=st.floats(24, 200), pauses=st.booleans(), jitter=st.floats(0, 0.1))
def test_merged_words_are_what_was_said_at_its_time(
    seed: int, seconds: float, longest_s: float, pauses: bool, jitter: float
) -> None:
    talk = Talk(seed, seconds=seconds, pauses=pauses, distinct=False)
    joined = join(pieces_of(talk, longest_s=longest_s, jitter=jitter), first_s=0.0, has_times=True)
    assert spoken(joined.segments) == talk.text
    words = [word for segment in joined.segments for word in segment.words]
    assert [word.text for word in words] == talk.text
    assert all(abs(found.start - said.start) < 0.11 + jitter for found, said in zip(words, talk.words, strict=True))
    assert all(one.start <= other.start for one, other in pairwise(words))
    assert all(one.start <= other.start for one, other in pairwise(joined.segments))
    assert joined.unsure == 0


@settings(max_examples=80, deadline=None)
@given(seed=seeds, seconds=lengths, longest_s=st.floats(24, 200), pauses=st.booleans())
def test_segments_without_words_are_joined_as_well(seed: int, seconds: float, longest_s: float, pauses: bool) -> None:
    talk = Talk(seed, seconds=seconds, pauses=pauses, distinct=True)
    joined = join(pieces_of(talk, longest_s=longest_s, has_words=False), first_s=0.0, has_times=True)
    assert spoken(joined.segments) == talk.text
    assert all(one.start <= other.start for one, other in pairwise(joined.segments))


@settings(max_examples=80, deadline=None)
@given(seed=seeds, seconds=lengths, longest_s=st.floats(24, 200), pauses=st.booleans())
def test_texts_without_times_are_joined_by_their_words(
    seed: int, seconds: float, longest_s: float, pauses: bool
) -> None:
    """Words that repeat themselves cannot be told apart without times, so here each is another one."""
    talk = Talk(seed, seconds=seconds, pauses=pauses, distinct=True)
    joined = join(pieces_of(talk, longest_s=longest_s, has_times=False), first_s=0.0, has_times=False)
    assert spoken(joined.segments) == talk.text
    assert all(one.start <= other.start for one, other in pairwise(joined.segments))


@settings(max_examples=100, deadline=None)
@given(
    seed=seeds,
    seconds=st.floats(5, 1500),
    longest_s=st.floats(10, 700),
    pauses=st.booleans(),
    share=st.sampled_from([1, 4]),
)
def test_stretches_cover_every_moment_within_their_bound(
    seed: int, seconds: float, longest_s: float, pauses: bool, share: int
) -> None:
    survey = Talk(seed, seconds=seconds, pauses=pauses, distinct=True).survey()
    made = cut(survey, longest_s=longest_s, share=share)
    assert (made[0].begins, made[0].start, made[-1].ends, made[-1].end) == (0, 0, survey.seconds, survey.seconds)
    for stretch in made:
        assert stretch.start <= stretch.begins < stretch.ends <= stretch.end
        assert stretch.end - stretch.start <= longest_s + 0.002
    for one, other in pairwise(made):
        assert one.ends == other.begins
        shared = one.end - other.start
        is_pause = any(point.at == one.ends and not point.is_speech for point in survey.quiet)
        assert shared == (0 if is_pause else pytest.approx(min(OVERLAP_S, longest_s / 4), abs=0.003))
    assert made == cut(survey, longest_s=longest_s, share=share)
    assert len(made) == number(survey.seconds, longest_s, share)


def test_a_recording_that_fits_is_one_stretch() -> None:
    assert len(cut(surveyed(300.0, (0.0, 300.0)), longest_s=300.0)) == 1
    assert len(cut(surveyed(300.001, (0.0, 300.0)), longest_s=300.0)) == 2


def test_parts_of_one_engine_come_in_numbers_that_children_can_share() -> None:
    sure = [len(cut(surveyed(seconds, (0.0, seconds)), longest_s=300.0, share=4)) for seconds in (310.0, 900.0, 1300.0)]
    assert sure == [4, 4, 8]
    assert len(cut(surveyed(70.0, (0.0, 70.0)), longest_s=40.0, share=4)) == 3  # parts of 17 s would only cost more


def test_without_voice_activity_a_pause_is_what_is_far_softer_than_the_loudest() -> None:
    points = tuple(Quiet(float(at), 0.001 if at == 40 else 0.1, None) for at in range(1, 100))
    survey = Survey(
        seconds=100.0, first_s=0.0, peak=0.5, rms=0.1, loudest_rms=0.2, channels=1, tracks=1, speech=None, quiet=points
    )
    first, second = cut(survey, longest_s=70.0)
    assert (first.end, second.start) == (40.0, 40.0)
    assert speaks(survey, first)


def test_a_stretch_in_which_nobody_speaks_is_known() -> None:
    survey = surveyed(600.0, (0.0, 100.0), (500.0, 600.0))
    made = cut(survey, longest_s=150.0)
    assert [speaks(survey, stretch) for stretch in made] == [True, *[False] * (len(made) - 2), True]


def test_a_repeated_word_in_the_middle_of_the_overlap_is_kept_as_often_as_it_was_said() -> None:
    words = tuple(Word(start=10.0 + 0.5 * n, end=10.4 + 0.5 * n, text="no") for n in range(16))
    first = Stretch(start=0.0, end=18.0, begins=0.0, ends=14.0)
    second = Stretch(start=10.0, end=20.0, begins=14.0, ends=20.0)

    def heard(stretch: Stretch) -> Transcript:
        mine = [w for w in words if stretch.start <= w.start and w.end <= stretch.end]
        at = stretch.start
        segment = Segment(
            start=mine[0].start - at,
            end=mine[-1].end - at,
            text=" ".join(w.text for w in mine),
            words=tuple(Word(start=w.start - at, end=w.end - at, text=w.text) for w in mine),
        )
        return Transcript(
            schema=1, language=None, language_probability=None, seconds=stretch.end - at, speech_seconds=None,
            segments=(segment,), engine="e", model="m",
        )  # fmt: skip

    joined = join(
        [Piece(stretch=each, transcript=heard(each)) for each in (first, second)], first_s=0.0, has_times=True
    )
    assert spoken(joined.segments) == ["no"] * 16


def test_texts_that_have_nothing_in_common_are_kept_whole_and_counted() -> None:
    first = Stretch(start=0.0, end=64.0, begins=0.0, ends=60.0)
    second = Stretch(start=56.0, end=120.0, begins=60.0, ends=120.0)
    texts = [transcript("one two three", seconds=64.0, with_words=False), transcript("four five", with_words=False)]
    joined = join(
        [Piece(stretch=each, transcript=text) for each, text in zip((first, second), texts, strict=True)],
        first_s=0.0,
        has_times=False,
    )
    assert (spoken(joined.segments), joined.unsure) == (["one", "two", "three", "four", "five"], 1)


def test_a_part_that_nobody_heard_is_a_gap_and_its_neighbours_are_kept_whole() -> None:
    talk = Talk(3, seconds=300.0, pauses=False, distinct=True)
    pieces = pieces_of(talk, longest_s=100.0)
    pieces[1] = Piece(stretch=pieces[1].stretch, transcript=None)
    (gap,) = gaps(pieces, first_s=2.0)
    assert (gap.start, gap.end) == (pieces[1].stretch.begins + 2.0, pieces[1].stretch.ends + 2.0)
    found = spoken(join(pieces, first_s=2.0, has_times=True).segments)
    lost = [
        word.text for word in talk.words if pieces[0].stretch.end < word.end and word.start < pieces[2].stretch.start
    ]
    assert [word for word in found if word != GARBLED] == [word for word in talk.text if word not in lost]


def test_neighbouring_gaps_are_one() -> None:
    stretches = [Stretch(start=float(n), end=n + 1.0, begins=float(n), ends=n + 1.0) for n in range(4)]
    told = [None, None, transcript("yes"), None]
    found = gaps([Piece(stretch=s, transcript=t) for s, t in zip(stretches, told, strict=True)], first_s=0.0)
    assert [(span.start, span.end) for span in found] == [(0.0, 2.0), (3.0, 4.0)]


def test_two_sides_of_a_talk_come_by_the_time_at_which_each_begins() -> None:
    left = [
        Segment(start=0.0, end=2.0, text="a", speaker="left"),
        Segment(start=5.0, end=6.0, text="c", speaker="left"),
    ]
    right = [Segment(start=1.0, end=4.0, text="b", speaker="right")]
    assert [segment.text for segment in interleaved([left, right])] == ["a", "b", "c"]


def test_the_language_is_that_of_most_of_the_text() -> None:
    def piece(language: str, text: str, sure: float) -> Piece:
        told = Transcript(
            schema=1, language=language, language_probability=sure, seconds=1.0, speech_seconds=None,
            segments=(Segment(start=0.0, end=1.0, text=text),), engine="e", model="m",
        )  # fmt: skip
        return Piece(stretch=Stretch(start=0.0, end=1.0, begins=0.0, ends=1.0), transcript=told)

    assert language_of([piece("de", "ja", 0.99), piece("en", "a longer text", 0.8)]) == ("en", 0.8)
    assert language_of([]) == (None, None)


def test_seconds_of_each_language_are_those_of_all_parts() -> None:
    stretch = Stretch(start=0.0, end=1.0, begins=0.0, ends=1.0)

    def piece(languages: dict[str, float] | None) -> Piece:
        return Piece(stretch=stretch, transcript=msgspec.structs.replace(transcript("a"), languages=languages))

    assert languages_of([piece({"de": 2.0, "en": 1.0}), piece(None), piece({"en": 3.5})]) == {"de": 2.0, "en": 4.5}
    assert languages_of([piece(None)]) is None


def test_of_equal_words_those_at_the_same_time_are_the_same() -> None:
    """The second part has missed the first "no" of three: the words, not their number, must meet."""
    first = Stretch(start=0.0, end=8.0, begins=0.0, ends=6.0)
    second = Stretch(start=4.0, end=12.0, begins=6.0, ends=12.0)

    def heard(*starts: float) -> Transcript:
        words = tuple(Word(start=at, end=at + 0.3, text="no") for at in starts)
        segment = Segment(start=starts[0], end=starts[-1] + 0.3, text=" ".join("no" for _ in starts), words=words)
        return msgspec.structs.replace(transcript("x"), segments=(segment,))

    pieces = [Piece(stretch=first, transcript=heard(5.0, 6.0, 7.0)), Piece(stretch=second, transcript=heard(2.0, 3.0))]
    joined = join(pieces, first_s=0.0, has_times=True)
    assert [word.start for segment in joined.segments for word in segment.words] == [5.0, 6.0, 7.0]
