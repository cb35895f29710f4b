"""The signs of a failed transcription: ordinary speech raises none, and each failure is named with where to listen."""

import msgspec
import pytest

from jobs._judging import Judged, judge
from jobs._text import transcript_text
from jobs._tongues import tongue
from pipeline.core.operations import Span, Transcript
from tests.jobs.scripted import spoken, transcript

PROSE = "It was a bright cold day in April and the clocks were striking thirteen"
GERMAN = (
    "Im Frühling pflanzen wir zuerst die Kartoffeln und danach die Bohnen. Der Nachbar hat gestern seinen alten Baum"
    " gefällt, weil er zu viel Schatten machte und es ist nicht das erste Mal."
)
ENGLISH = (
    "In the spring we plant the potatoes first and then the beans. The neighbour has cut down his old tree yesterday,"
    " because it made too much shade and it was not the first time that he did this."
)


def judged(value: Transcript, asked: str | None = None) -> Judged:
    return judge(value, transcript_text(value), asked=asked)


def heard(
    *speech: tuple[float, float], texts: tuple[str, ...] = (PROSE,), late: float | None = None, **more: object
) -> Transcript:
    """`texts` of four seconds each, half a second between, another one `late`; speech from and to those seconds."""
    spans = tuple(Span(start=start, end=end) for start, end in speech)
    seconds = sum(span.end - span.start for span in spans)
    value = transcript(*texts, seconds=600.0, speech_seconds=seconds)
    added = () if late is None else (spoken(PROSE, start=late),)
    return msgspec.structs.replace(value, speech=spans, segments=(*value.segments, *added), **more)


@pytest.mark.parametrize(
    "value",
    [
        transcript(PROSE, "He was not an ill disposed young man."),
        transcript("No, no, no, no!"),
        transcript(speech_seconds=0.5, seconds=60.0),
        transcript(PROSE, PROSE, PROSE),
        heard((0.0, 9.0), texts=(PROSE, PROSE)),
        heard((0.0, 9.5)),
        msgspec.structs.replace(heard((0.0, 40.0)), gaps=(Span(start=4.0, end=40.0),)),
    ],
    ids=["prose", "stutter", "silence", "refrain", "covered", "short-hole", "told-gap"],
)
def test_ordinary_speech_raises_no_doubt(value: Transcript) -> None:
    assert judged(value).doubt == ""


@pytest.mark.parametrize(
    ("value", "sign"),
    [
        (transcript(seconds=60.0, speech_seconds=12.0), "wrote no word"),
        (heard((100.0, 112.0), texts=()), "wrote no word"),
        (heard((0.0, 20.0)), "the text ends before the speech does: listen to 0:00:03 to 0:00:20"),
        (
            heard((0.0, 4.0), (60.0, 75.0), (590.0, 594.0), late=590.0),
            "a stretch of speech has no text: listen to 0:01:00",
        ),
        (heard((0.0, 4.0), *((at, at + 9.0) for at in range(20, 110, 10))), "only"),
        (heard((100.0, 104.0)), "14 words stand where voice activity hears nobody"),
        (heard(), "14 words stand where voice activity hears nobody"),
        (transcript("Thank you. " * 12), "2 words 12 times in a row"),
        (transcript(*[PROSE] * 6), "14 words 6 times in a row: listen to 0:00:00 to 0:00:26"),
        (transcript("語" * 10 + "学校で日本の歴史を習いましたが難しかったです"), "1 word 10 times in a row"),
        (transcript(ENGLISH * 2, segment_s=2.0), "more than anybody says"),
        (transcript(*(f"{ENGLISH} {number}" for number in range(4)), segment_s=30.0), "the same again"),
        (transcript(GERMAN, segment_s=20.0), "the text is in de, not in en"),
        (transcript("Сегодня мы говорим о погоде и о поездах в город", segment_s=8.0), "the text is in ru, not in en"),
    ],
)
def test_signs_of_a_failed_transcription_are_named(value: Transcript, sign: str) -> None:
    assert sign in judged(value).doubt


def test_another_language_than_the_one_asked_for_is_told() -> None:
    value = msgspec.structs.replace(transcript(ENGLISH, segment_s=20.0), languages={"de": 19.5, "en": 0.5})
    assert judged(value, "en").doubt == "en was asked for, but de is spoken"
    assert judged(value, "de-AT").doubt == "the text is in en, not in de"


def test_a_recording_in_two_languages_is_no_mismatch() -> None:
    value = transcript(GERMAN, ENGLISH, segment_s=20.0)
    assert judged(msgspec.structs.replace(value, languages={"de": 20.0, "en": 20.0})).doubt == ""


def test_every_sign_leaves_its_figure() -> None:
    facts = judged(heard((0.0, 10.0), texts=(ENGLISH, PROSE), languages={"en": 8.5})).facts
    assert sorted(facts) == [
        "covered",
        "longest_hole_s",
        "repeats",
        "spoken_language",
        "text_language",
        "words_off_speech",
        "words_per_minute",
    ]
    assert (facts["covered"], facts["text_language"], facts["words_off_speech"]) == ("0.85", "en", "0")


def test_a_doubt_never_quotes_the_text() -> None:
    found = judged(transcript("canary " * 40))
    assert "canary" not in found.doubt + str(found.facts)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (GERMAN, "de"),
        (ENGLISH, "en"),
        ("Σήμερα μιλάμε για τον καιρό και για τα τρένα", "el"),
        ("今日は天気と電車について話しますので、よく聞いてください。お願いします", "ja"),
        ("Too short", None),
        ("zwischen Karlsruhe Hamburg Berlin Bremen " * 6, None),
    ],
)
def test_the_language_of_a_text_is_named_where_it_is_clear(text: str, language: str | None) -> None:
    assert tongue(text)[:1] == ((language,) if language else ())
