"""One job of a manifest: its keys, defaults, limits, routes, and the path of its products."""

import hashlib
import os
from decimal import Decimal

import pytest

from pipeline.core.errors import ManifestError
from pipeline.core.model import Caps, Job, Limits
from pipeline.manifest import place_of
from tests.manifest.conftest import Desk, TranscriptionSpec, TtsSpec, codes, hints


def one(desk: Desk, text: str) -> Job:
    manifest = desk.toml(text)
    assert manifest.bad == ()
    return manifest.jobs[0]


def job(keys: str, *, kind: str = "tts", header: str = "") -> str:
    return f'{header}\n[[job]]\nid = "a"\nkind = "{kind}"\n{keys}\n'


def test_a_job_without_input_carries_its_spec_and_the_default_routes(desk: Desk) -> None:
    made = one(desk, job('text = "Hello."\nvoice = "heart"'))
    assert (made.spec, made.routes, made.input) == (TtsSpec(text="Hello.", voice="heart"), ("local",), None)


def test_a_job_with_a_file_has_its_real_path(desk: Desk) -> None:
    desk.file("in/a.wav")
    (desk.base / "link.wav").symlink_to("in/a.wav")
    assert one(desk, job('input = "link.wav"', kind="transcription")).input == str(desk.base / "in" / "a.wav")


def test_a_missing_input_is_left_for_the_plan_to_refuse(desk: Desk) -> None:
    assert one(desk, job('input = "none.wav"', kind="transcription")).input == str(desk.base / "none.wav")


def test_the_place_is_the_same_in_every_run_and_another_for_other_ids(desk: Desk) -> None:
    first, again = (one(desk, job('text = "x"', header='name = "n"')) for _ in range(2))
    body = f"{desk.base}\0n\0a".encode()
    assert first.place == again.place == hashlib.sha256(body).hexdigest()[:32]
    assert place_of(str(desk.base), "n", "b") != first.place


def test_the_name_of_a_manifest_is_that_of_its_file_unless_it_says_one(desk: Desk) -> None:
    assert (desk.toml("").name, desk.toml('name = "x"').name) == ("notes", "x")


ROUTES = {
    ("", ""): ("local",),
    ('[defaults]\nroute = "a"', ""): ("a",),
    ('[defaults]\nroute = ["a", "b/m"]', ""): ("a", "b/m"),
    ('[defaults]\nroute = "a"', 'route = ["c"]'): ("c",),
}


@pytest.mark.parametrize(("header", "keys"), ROUTES)
def test_the_nearest_route_wins(desk: Desk, header: str, keys: str) -> None:
    assert one(desk, job(keys, header=header)).routes == ROUTES[(header, keys)]


MOVES = {
    ("", ""): "stop",
    ('[defaults]\non_failure = "next-route"', ""): "next-route",
    ("", 'on_failure = "next-route"'): "next-route",
    ('[defaults]\non_failure = "next-route"', 'on_failure = "stop"'): "stop",
}


@pytest.mark.parametrize(("header", "keys"), MOVES)
def test_a_job_moves_to_another_route_only_where_the_manifest_says_so(desk: Desk, header: str, keys: str) -> None:
    assert one(desk, job(keys, header=header)).on_failure == MOVES[(header, keys)]


def test_another_word_for_what_follows_a_failure_is_refused(desk: Desk) -> None:
    (bad,) = desk.toml('[[job]]\nid = "a"\nkind = "tts"\non_failure = "retry"').bad
    assert "on_failure" in bad.reasons[0].message


def test_a_default_applies_only_to_kinds_that_have_the_field_and_jobs_that_do_not_say_it(desk: Desk) -> None:
    manifest = desk.toml(
        '[defaults]\nlanguage = "de"\nvoice = "karl"\n'
        '[[job]]\nid = "a"\nkind = "tts"\n[[job]]\nid = "b"\nkind = "tts"\nlanguage = "fr"\n'
        '[[job]]\nid = "c"\nkind = "canonical_text"\n[[job]]\nid = "d"\nkind = "transcription"\n'
    )
    tts = [made.spec for made in manifest.jobs if isinstance(made.spec, TtsSpec)]
    assert [(spec.language, spec.voice) for spec in tts] == [("de", "karl"), ("fr", "karl")]
    assert manifest.jobs[3].spec == TranscriptionSpec(language="de")


def test_a_default_that_no_kind_has_is_refused_with_the_nearest_word(desk: Desk) -> None:
    with pytest.raises(ManifestError) as caught:
        desk.toml('[defaults]\nlangauge = "de"')
    assert caught.value.hint == 'did you mean "language"?'


def test_the_caps_of_the_run_and_the_bounds_of_each_job_are_told_apart(desk: Desk) -> None:
    header = (
        '[limits]\nmax_spend_usd = 2.10\nmax_audio_minutes = 600\nmax_runtime = "50m"\nmax_input_mb = 0.5\n'
        "max_images = 3\nmax_requests = 0\nunknown_price_usd = 0.1\n"
        "max_audio_minutes_per_file = 2"
    )
    manifest = desk.toml(job("", header=header))
    assert manifest.caps == Caps(
        max_spend_usd=Decimal("2.1"),
        max_audio_minutes=600.0,
        max_images=3,
        max_requests=0,
        max_runtime_s=3000.0,
        unknown_price_usd=Decimal("0.1"),
    )
    assert manifest.jobs[0].limits == Limits(max_input_bytes=500_000, max_seconds=120.0)


def test_a_job_says_how_long_each_of_its_calls_may_take(desk: Desk) -> None:
    assert one(desk, job('text = "x"\ncall_timeout = "5m"')).call_timeout_s == 300.0
    assert one(desk, job('text = "x"')).call_timeout_s is None


def test_the_smaller_bound_wins_between_manifest_and_job(desk: Desk) -> None:
    keys = 'limits = {max_input_mb = 9, max_chars = 5, max_audio_minutes = 1, max_runtime = "2s", max_pages = 3}'
    made = one(desk, job(keys, header="[limits]\nmax_input_mb = 2\nmax_chars = 70"))
    assert made.limits == Limits(max_input_bytes=2_000_000, max_chars=5, max_seconds=60.0, max_job_s=2.0, max_pages=3)


BROKEN_HEADERS = {
    "[limits]\nmax_spend_usd = -1": "max_spend_usd",
    "[limits]\nmax_spend = 1": "max_spend_usd",
    '[limits]\nmax_runtime = "soon"': "1h30m",
    "[limits]\nmax_input_mb = 0": "max_input_mb",
    "limits = 1": "limits",
    "defaults = []": "defaults",
    'route = "local"': "known here",
    'name = ""': "name",
    '[[jobs]]\nid = "b"\nkind = "tts"': 'did you mean "job"?',
    '[[folders]]\nid = "b"': 'did you mean "folder"?',
    'api_key = "sk-123"': "no secrets",
    "[defaults]\nroute = []": "route",
}


@pytest.mark.parametrize("text", BROKEN_HEADERS)
def test_a_header_that_is_wrong_stops_the_whole_manifest(desk: Desk, text: str) -> None:
    with pytest.raises(ManifestError) as caught:
        desk.toml(text + "\n" + job(""))
    assert BROKEN_HEADERS[text] in caught.value.message + caught.value.hint
    assert "sk-123" not in caught.value.message + caught.value.hint


BROKEN_JOBS = {
    'kind = "tts"': "it has no id",
    'id = "a"': "has no kind",
    'id = "a"\nkind = "ttts"': 'did you mean "tts"?',
    'id = "a"\nkind = 1': "the kind '1'",
    'id = "a"\nkind = "tts"\nvoize = "x"': 'did you mean "voice"?',
    'id = "a"\nkind = "tts"\nformats = ["txt"]': 'did you mean "format"?',
    'id = "a"\nkind = "tts"\nformat = "aac"': "write one of: flac, m4a, mp3, opus, wav",
    'id = "a"\nkind = "transcription"\nformats = ["txt", "doc"]': "write one of: json, srt, tsv, txt, vtt",
    'id = "a"\nkind = "tts"\non_failure = "go"': "write one of: next-route, stop",
    'id = "a"\nkind = "tts"\nfrom = "b"': "'from' is not known",
    'id = "a"\nkind = "tts"\ntext = 5': "text is a whole number, not text in quotes",
    'id = "a"\nkind = "tts"\nspeed = "1"': "speed is text, not a number",
    'id = "a"\nkind = "tts"\nformat = "mp5"': "mp5",
    'id = "a"\nkind = "tts"\nmodel = 3': "model is a whole number, not text",
    'id = "a"\nkind = "tts"\nlimits = {max_input = 1}': "max_input",
    'id = "a"\nkind = "tts"\nlimits = {max_chars = 0}': "max_chars",
    'id = "a"\nkind = "tts"\nneeds = [1]': "needs (entry 1) is a whole number",
    'id = "a"\nkind = "tts"\nout = "x/"': "names a folder",
    'id = "a"\nkind = "tts"\nout = "{stam}.{ext}"': 'did you mean "stem"?',
    'id = "a"\nkind = "tts"\nout = "{stem.{ext}"': "single brace",
    'id = "a"\nkind = "tts"\nout = "{}.{ext}"': "template field",
    'id = "a"\nkind = "tts"\nout = "{stem!r}.{ext}"': "template field",
    'id = "a"\nkind = "tts"\nout = "{date}.{ext}"': "needs an input file",
    'id = "a"\nkind = "tts"\nout = "{lang}.{ext}"\nlanguage = "../x"': "cannot be part of a name",
    'id = "a"\nkind = "tts"\nformat = "wav"\nout = "a.mp3"': "ends in .mp3 but the product is wav",
    'id = "a"\nkind = "canonical_text"\nout = "a.txt"': "no {ext} but there are 2 products",
    'id = "@a"\nkind = "tts"': "the id '@a'",
    'id = " a"\nkind = "tts"': "the id ' a'",
    'id = "a\\n"\nkind = "tts"': "\\x0a",
    'id = "a"\nkind = "tts"\ninput = "https://example.org/a.wav"': "download it first",
    'id = "a"\nkind = "tts"\ninput = "@"': "the id '@'",
}


@pytest.mark.parametrize("keys", BROKEN_JOBS)
def test_a_wrong_job_harms_only_itself_and_says_why(desk: Desk, keys: str) -> None:
    manifest = desk.toml(f'[[job]]\nid = "good"\nkind = "tts"\n[[job]]\n{keys}\n')
    assert BROKEN_JOBS[keys] in hints(manifest)
    assert "good" in [made.id for made in manifest.jobs]


def test_all_reasons_against_a_job_are_told_at_once(desk: Desk) -> None:
    manifest = desk.toml(job('voize = "x"\nspeed = "fast"\nmodel = 3\nout = "{no}"'))
    assert len(manifest.bad[0].reasons) == 4


def test_a_value_is_never_repeated_where_a_key_is_wrong(desk: Desk) -> None:
    assert "sk-123" not in hints(desk.toml(job('api_key = "sk-123"')))


def test_a_bad_job_says_where_it_stands(desk: Desk) -> None:
    bad = desk.toml(job("")).bad + desk.toml('[[job]]\nid = "x"\nkind = "no"').bad
    assert [(item.id, item.where) for item in bad] == [("x", "job 1")]


PATHS_OUT = ["../a.wav", "/etc/a.wav", "x/../../a.wav", "away/a.wav", "{id}/../../a.wav"]


@pytest.mark.parametrize("out", PATHS_OUT)
def test_a_product_outside_the_roots_is_refused(desk: Desk, out: str) -> None:
    (desk.base / "away").symlink_to("/tmp")
    assert codes(desk.toml(job(f'out = "{out}"'))) == {"a": ["path-outside-roots"]}


@pytest.mark.parametrize("path", ["../a.wav", "/etc/passwd", "away.wav"])
def test_an_input_outside_the_roots_is_refused(desk: Desk, path: str) -> None:
    (desk.base / "away.wav").symlink_to("/etc/passwd")
    assert codes(desk.toml(job(f'input = "{path}"', kind="transcription"))) == {"a": ["path-outside-roots"]}


@pytest.mark.parametrize("name", ["pipe", "folder", "x\\ny", "n" * 256])
def test_an_unsafe_input_is_refused(desk: Desk, name: str) -> None:
    (desk.base / "folder").mkdir()
    os.mkfifo(desk.base / "pipe")
    assert codes(desk.toml(job(f'input = "{name}"', kind="transcription"))) == {"a": ["path-unsafe"]}


@pytest.mark.parametrize("out", ["n" * 240 + ".wav", "x\\ny.wav"])
def test_an_unsafe_product_name_is_refused(desk: Desk, out: str) -> None:
    assert codes(desk.toml(job(f'out = "{out}"'))) == {"a": ["path-unsafe"]}


def test_absolute_paths_inside_a_root_are_fine(desk: Desk) -> None:
    desk.file("in/a.wav")
    made = one(desk, job(f'input = "{desk.base}/in/a.wav"\nout = "{desk.base}/o/a.txt"', kind="transcription"))
    assert (made.input, made.products[0].path) == (f"{desk.base}/in/a.wav", f"{desk.base}/o/a.txt")


def test_every_template_field_has_its_value(desk: Desk) -> None:
    path = desk.file("in/deep/talk one.wav")
    os.utime(path, (86400 * 365, 86400 * 365))
    fields = "{id} {index} {stem} {name} {reldir} {step} {lang} {date} {{{ext}}} {hash8}.{ext}"
    desk.toml(job(f'input = "in/deep/talk one.wav"\nlanguage = "de"\nout = "{fields}"', kind="transcription"))
    made = one(desk, job(f'input = "in/deep/talk one.wav"\nlanguage = "de"\nout = "{fields}"', kind="transcription"))
    hash8 = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    want = f"a 0001 talk one talk one.wav in/deep a de 1971-01-01 {{txt}} {hash8}.txt"
    assert os.path.relpath(made.products[0].path, desk.base) == want


def test_a_text_without_a_file_is_hashed_by_its_text(desk: Desk) -> None:
    made = one(desk, job('text = "Hello."\nout = "{hash8}.{ext}"'))
    assert made.products[0].path.endswith(hashlib.sha256(b"Hello.").hexdigest()[:8] + ".wav")


def test_a_template_without_hash_reads_no_file(desk: Desk) -> None:
    desk.file("a.wav")
    desk.toml(job('input = "a.wav"\nout = "o/{stem}.{ext}"', kind="transcription"))
    assert (desk.intake.hashed, desk.intake.looked) == ([], [])


def test_an_empty_reldir_never_makes_a_path_absolute(desk: Desk) -> None:
    desk.file("a.wav")
    made = one(desk, job('input = "a.wav"\nout = "{reldir}/{stem}.{ext}"', kind="transcription"))
    assert made.products[0].path == str(desk.base / "a.txt")


def test_without_out_the_products_are_named_by_id(desk: Desk) -> None:
    manifest = desk.toml(job('formats = ["txt", "srt"]', kind="transcription"))
    assert desk.paths(manifest) == ["a.txt", "a.srt"]


@pytest.mark.parametrize(("out", "made"), [("a.mp3", "mp3"), ("a.FLAC", "flac"), ("a.{ext}", "wav"), ("a", "wav")])
def test_the_extension_of_out_asks_for_a_format(desk: Desk, out: str, made: str) -> None:
    spec = one(desk, job(f'out = "{out}"')).spec
    assert isinstance(spec, TtsSpec)
    assert spec.format == made


def test_the_extension_of_out_beats_a_default_but_not_the_job(desk: Desk) -> None:
    header = '[defaults]\nformat = "opus"'
    assert one(desk, job('out = "a.mp3"', header=header)).products[0].name == "mp3"
    assert one(desk, job('format = "opus"\nout = "a.ogg"', header=header)).products[0].name == "opus"
    assert one(desk, job('out = "a.srt"', kind="transcription")).products[0].name == "srt"


def test_an_input_by_id_is_the_product_of_another_job(desk: Desk) -> None:
    text = '[[job]]\nid = "b"\nkind = "canonical_text"\ninput = "@a"\nneeds = "c"\n[[job]]\nid = "c"\nkind = "tts"\n'
    made = desk.toml(job("", kind="transcription") + text).jobs[1]
    assert (made.parent, made.needs, made.input) == ("a", ("a", "c"), None)


def test_the_model_of_a_job_wins_over_the_default(desk: Desk) -> None:
    made = one(desk, job('model = "tiny.en"', header='[defaults]\nmodel = "base"'))
    assert made.model == "tiny.en"
    assert one(desk, job("", header='[defaults]\nmodel = "base"')).model == "base"


def test_what_decides_the_jobs_is_watched_by_the_names_as_written(desk: Desk) -> None:
    desk.file("in/a.wav")
    (desk.base / "latest.wav").symlink_to("in/a.wav")
    manifest = desk.toml(job('input = "latest.wav"', kind="transcription"))
    assert manifest.watched == (f"{desk.base}/notes.toml", f"{desk.base}/latest.wav")


def test_a_line_of_a_speech_data_set_is_a_transcription(desk: Desk) -> None:
    desk.file("a.wav")
    made = desk.lines('{"audio_filepath": "a.wav", "duration": 1.25, "offset": 0, "text": "hello"}').jobs[0]
    assert (made.id, made.kind, made.input) == ("a.wav", "transcription", f"{desk.base}/a.wav")
    assert made.spec == TranscriptionSpec(reference="hello")


def test_the_reference_of_a_kind_that_scores_nothing_is_of_no_use(desk: Desk) -> None:
    manifest = desk.lines('{"audio_filepath": "a.wav", "kind": "canonical_text", "text": "hello", "custom_id": "c"}')
    assert [(made.id, made.kind) for made in manifest.jobs] == [("c", "canonical_text")]


BROKEN_LINES = {
    '{"audio_filepath": "a.wav", "offset": 1.5}': "offset is not 0",
    '{"audio_filepath": "a.wav", "duration": "1"}': "duration is not a number",
    '{"audio_filepath": "a.wav", "duration": true}': "duration is not a number",
    '{"audio_filepath": "a.wav", "duration": -1}': "duration is not a number",
    '{"audio_filepath": "a.wav", "input": "b.wav"}': "mean the same",
    '{"custom_id": "a", "id": "b", "kind": "tts"}': "mean the same",
    '{"audio_filepath": 5}': "input is a whole number",
    '{"id": "a", "kind": "tts", "duration": 1}': "'duration' is not known",
}


@pytest.mark.parametrize("line", BROKEN_LINES)
def test_a_wrong_line_says_why(desk: Desk, line: str) -> None:
    manifest = desk.lines(line)
    assert BROKEN_LINES[line] in hints(manifest)
    assert manifest.bad[0].where == "line 1"


def test_the_words_of_other_tools_are_for_lines_only(desk: Desk) -> None:
    assert "'audio_filepath' is not known" in hints(desk.toml(job('audio_filepath = "a.wav"', kind="transcription")))


def test_a_line_can_name_a_file_whose_name_is_not_text(desk: Desk) -> None:
    path = desk.file(os.fsdecode(b"in/\xff.wav"))
    made = desk.lines('{"audio_filepath": "in/\\udcff.wav", "out": "o/{stem}.{ext}"}').jobs[0]
    assert (made.id, made.input) == ("in/\\xff.wav", str(path))
    assert made.products[0].path == os.fsdecode(os.fsencode(desk.base) + b"/o/\xff.txt")


def test_the_index_keeps_its_order_beyond_four_digits(desk: Desk) -> None:
    line = '{"custom_id": "%d", "kind": "tts", "out": "{index}.{ext}"}'
    manifest = desk.lines(*(line % number for number in range(10_001)))
    paths = desk.paths(manifest)
    assert (paths[0], paths[9999], paths[10_000]) == ("0001.wav", "10000.wav", "10001.wav")
