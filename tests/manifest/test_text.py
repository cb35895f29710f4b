"""The bytes of a manifest: three formats, one model; what is refused as a whole, and what harms only one line."""

import json
import random
import string
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import ManifestError
from pipeline.manifest import Manifest, ManifestLimits
from pipeline.manifest_text import MAX_VALUES, flaw, read_document
from tests.manifest.conftest import Desk, codes, hints

LIMITS = ManifestLimits()
HELLO = '[[job]]\nid = "hello"\nkind = "tts"\ntext = "Good morning."\n'
HELLO_LINE = '{"id": "hello", "kind": "tts", "text": "Good morning."}'


def refused(body: bytes, file_name: str = "m.toml", limits: ManifestLimits = LIMITS) -> ManifestError:
    with pytest.raises(ManifestError) as caught:
        list(read_document(body, file_name, limits).jobs)
    assert caught.value.hint
    assert caught.value.message.isprintable()
    return caught.value


def ids(manifest: Manifest) -> list[str]:
    return [job.id for job in manifest.jobs]


def test_toml_json_and_lines_say_the_same(desk: Desk) -> None:
    job = {"id": "hello", "kind": "tts", "text": "Good morning."}
    whole = json.dumps({"schema": 1, "name": "notes", "job": [job]})
    readings = [
        desk.toml('name = "notes"\n' + HELLO),
        desk.read(whole, "notes.json"),
        desk.read(json.dumps(job), "notes.jsonl"),
    ]
    assert readings[0].jobs == readings[1].jobs == readings[2].jobs
    assert len(readings[0].jobs) == 1


@pytest.mark.parametrize("name", ["m.toml", "m.json", "m.jsonl", "m.NDJSON"])
def test_a_byte_order_mark_is_tolerated(name: str) -> None:
    body = b"schema = 1" if name == "m.toml" else b'{"schema": 1}'
    assert read_document(b"\xef\xbb\xbf" + body, name, LIMITS).header == {"schema": 1}


@pytest.mark.parametrize("name", ["m.yaml", "m", "toml", "m.toml.txt", "m.tomll"])
def test_another_ending_is_no_manifest(name: str) -> None:
    assert refused(b"schema = 1", name).code == "manifest-invalid"


NOT_READABLE = {
    "utf-16": 'schema = 1\nname = "x"'.encode("utf-16"),
    "latin-1": b'schema = 1\nname = "\xe9"',
    "not toml": b"schema = = 1",
    "empty": b"",
    "no schema": b'name = "x"',
    "newer schema": b"schema = 2",
    "schema as text": b'schema = "1"',
    "schema as bool": b"schema = true",
    "schema as float": b"schema = 1.5",
    "twice": b"schema = 1\nschema = 1",
    "job is a table": b'schema = 1\n[job]\nid = "a"',
    "nan in limits": b"schema = 1\n[limits]\nmax_spend_usd = nan",
    "huge integer": b"schema = 1\n[limits]\nmax_spend_usd = " + b"9" * 5000,
    "date in defaults": b"schema = 1\n[defaults]\nlanguage = 2020-01-01",
}


@pytest.mark.parametrize("what", NOT_READABLE)
def test_a_whole_that_cannot_be_trusted_is_refused(what: str) -> None:
    assert refused(NOT_READABLE[what]).code == "manifest-invalid"


NOT_JSON = {
    "twice": b'{"schema": 1, "schema": 1}',
    "twice inside": b'{"schema": 1, "job": [{"id": "a", "id": "b"}]}',
    "nan": b'{"schema": 1, "limits": {"max_spend_usd": NaN}}',
    "infinity": b'{"schema": 1, "x": -Infinity}',
    "overflow": b'{"schema": 1, "x": 1e999}',
    "a list": b"[]",
    "a number": b"1",
    "cut": b'{"schema": 1',
    "two": b'{"schema": 1} {}',
    "huge integer": b'{"schema": 1, "x": ' + b"9" * 5000 + b"}",
    "beyond 64 bits": b'{"schema": 1, "x": 9223372036854775808}',
    "surrogate": b'{"schema": 1, "name": "\\ud800"}',
}


@pytest.mark.parametrize("what", NOT_JSON)
def test_json_that_other_readers_tolerate_is_refused(what: str) -> None:
    assert refused(NOT_JSON[what], "m.json").code == "manifest-invalid"


DEEP = {
    "m.json": b'{"schema": 1, "job": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "m.toml": b"schema = 1\njob = " + b"[" * 100_000 + b"]" * 100_000,
}


@pytest.mark.parametrize("name", DEEP)
def test_deep_nesting_is_too_large_not_a_crash(name: str) -> None:
    assert refused(DEEP[name], name).code == "manifest-too-large"


def test_a_deep_line_harms_only_itself(desk: Desk) -> None:
    manifest = desk.lines('{"id": "deep", "text": ' + "[" * 100_000 + "]" * 100_000 + "}", HELLO_LINE)
    assert (ids(manifest), codes(manifest)) == (["hello"], {"line 1": ["job-invalid"]})


def test_nesting_beyond_the_bound_is_refused_where_the_parser_still_reads_it(desk: Desk) -> None:
    manifest = desk.lines('{"id": "deep", "text": ' + "[" * 33 + "]" * 33 + "}", HELLO_LINE)
    assert "nested deeper than 32" in hints(manifest)


def test_a_key_that_costs_quadratic_time_is_refused() -> None:
    assert refused(b"schema = 1\n" + b".".join([b"a"] * 20_000) + b" = 1").code == "manifest-too-large"


def test_a_long_text_of_short_sentences_is_no_such_key(desk: Desk) -> None:
    text = "No. I said no, and I mean it. " * 2000
    assert ids(desk.toml(HELLO.replace("Good morning.", text))) == ["hello"]


@pytest.mark.parametrize(("name", "allowed"), [("m.toml", 64), ("m.json", 64), ("m.jsonl", 256)])
def test_bytes_are_bounded_by_format(name: str, allowed: int) -> None:
    body = bytes(allowed * 1_000_000 + 1)
    assert refused(body, name).code == "manifest-too-large"


def test_jobs_are_bounded() -> None:
    limits = ManifestLimits(max_jobs=2)
    assert refused(b"schema = 1\n" + b"[[job]]\n" * 3, limits=limits).code == "manifest-too-large"
    assert refused(b"{}\n" * 4, "m.jsonl", limits).code == "manifest-too-large"
    assert refused(b"\n" * 9, "m.jsonl", limits).code == "manifest-too-large"


def test_one_bad_line_never_stops_the_others(desk: Desk) -> None:
    lines = [b"{", b'{"id": "a", "id": "b"}', b"[1]", b"\xff\xfe", b'{"id": NaN}', b"null", HELLO_LINE.encode()]
    manifest = desk.read(b"\n".join(lines), "m.jsonl")
    assert ids(manifest) == ["hello"]
    assert codes(manifest) == {f"line {number}": ["job-invalid"] for number in range(1, 7)}


def test_blank_lines_and_foreign_line_ends_are_no_jobs(desk: Desk) -> None:
    assert ids(desk.read(f"\r\n  \r\n{HELLO_LINE}\r\n\r\n", "m.jsonl")) == ["hello"]


def test_the_first_line_may_be_a_header(desk: Desk) -> None:
    header = '{"schema": 1, "name": "batch", "defaults": {"kind": "tts"}, "limits": {"max_spend_usd": 2}}'
    manifest = desk.lines("", header, '{"id": "a", "text": "x"}')
    assert (manifest.name, ids(manifest), str(manifest.caps.max_spend_usd)) == ("batch", ["a"], "2.0")


def test_a_header_that_cannot_be_read_stops_all_because_it_may_have_set_a_cap(desk: Desk) -> None:
    with pytest.raises(ManifestError, match="header"):
        desk.lines('{"schema": 1, "limits": {"max_spend_usd": NaN}}', HELLO_LINE)


def test_an_item_that_is_no_table_harms_only_itself(desk: Desk) -> None:
    manifest = desk.read('{"schema": 1, "job": [1, "x", ' + HELLO_LINE + '], "folder": [null]}', "m.json")
    assert (ids(manifest), sorted(codes(manifest))) == (["hello"], ["folder 1", "job 1", "job 2"])


@pytest.mark.parametrize("value", ["inf", "nan", "2020-01-01", "07:32:00", "9223372036854775808"])
def test_a_value_that_no_kind_could_take_harms_only_its_job(desk: Desk, value: str) -> None:
    manifest = desk.toml(HELLO + f'[[job]]\nid = "odd"\nkind = "tts"\nspeed = {value}\n')
    assert (ids(manifest), codes(manifest)) == (["hello"], {"job 2": ["job-invalid"]})


def test_a_number_that_json_does_not_have_harms_only_its_job(desk: Desk) -> None:
    manifest = desk.read('{"schema": 1, "job": [{"id": "odd", "speed": NaN}, ' + HELLO_LINE + "]}", "m.json")
    assert (ids(manifest), codes(manifest)) == (["hello"], {"job 1": ["job-invalid"]})


def test_half_a_character_is_refused_in_text_but_not_in_a_path() -> None:
    assert flaw("\udcff", 9) is not None
    assert flaw({"\ud800": 1}, 9) is not None
    assert flaw("\udcff.wav", 9, is_path=True) is None


def test_an_empty_list_of_lines_is_an_empty_manifest(desk: Desk) -> None:
    assert desk.lines("").jobs == ()


any_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=12,
)
WORDS = [
    *("schema", "name", "defaults", "limits", "folder", "job", "step", "id", "kind", "input", "out", "from", "needs"),
    *("route", "model", "glob", "accept", "exclude", "settle", "formats", "text", "language", "speed"),
    *("format", "custom_id", "audio_filepath", "duration", "offset", "max_input_mb", "max_runtime", "max_spend_usd"),
]
GOOD = st.sampled_from(
    [
        *(
            1,
            0,
            "1h",
            "2s",
            "tts",
            "transcription",
            "canonical_text",
            "a",
            "b",
            "@a",
            "@b",
            "{stem}.{ext}",
            "x/{id}.{ext}",
        ),
        *("in/*", "in/**/*", "**", "../*", "in/a.wav", "/etc/passwd", "../..", "{", "{bad}", "txt", ["txt"], ["audio"]),
        *(["a", "b"], True, "", "\n", "en", "auto", 1.5, -1, "x" * 300, {"max_input_mb": 1}),
    ]
)
likely_table = st.dictionaries(st.sampled_from(WORDS), GOOD | any_value, max_size=7)
likely_item = likely_table | st.fixed_dictionaries(
    {"id": st.sampled_from("abc"), "kind": st.sampled_from(["tts", "transcription", "canonical_text"])},
    optional={
        "input": st.sampled_from(["in/a.wav", "@a", "@b", "@c", "none.wav", "../x"]),
        "needs": st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=2),
        "out": st.sampled_from(["o.{ext}", "{id}.{ext}", "in/{stem}.{ext}", "{hash8}{date}{lang}{index}.{ext}"]),
    },
)
likely_folder = likely_table | st.fixed_dictionaries(
    {"id": st.sampled_from("ab"), "glob": st.sampled_from(["in/*", "**/*", "in/**"])},
    optional={"step": st.lists(likely_item, max_size=3), "accept": GOOD, "out": GOOD},
)
likely_whole = st.fixed_dictionaries(
    {"schema": st.just(1)},
    optional={
        "job": st.lists(likely_item, max_size=4),
        "folder": st.lists(likely_folder, max_size=2),
        "defaults": likely_table,
        "limits": likely_table,
        "name": GOOD,
    },
)


def read_or_refuse(desk: Desk, body: bytes, name: str) -> tuple[Manifest | None, ManifestError | None]:
    try:
        return desk.read(body, name), None
    except ManifestError as error:
        return None, error


def survives(desk: Desk, body: bytes, name: str) -> bool:
    """Read, or refused with a ManifestError; whatever else comes out fails the test. True when it was read."""
    manifest, error = read_or_refuse(desk, body, name)
    if manifest is None:
        assert error is not None
        assert error.hint
        assert error.message.isprintable()
        return False
    assert all(bad.reasons for bad in manifest.bad)
    assert all(reason.message.isprintable() for bad in manifest.bad for reason in bad.reasons)
    assert all(reason.hint for bad in manifest.bad for reason in bad.reasons)
    for job in manifest.jobs:
        assert all(product.path.startswith(f"{desk.base}/") for product in job.products)
        assert job.input is None or job.input.startswith(f"{desk.base}/")
    return True


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    desk = Desk(tmp_path_factory.mktemp("fuzz"))
    desk.file("in/a.wav")
    desk.file("in/deep/b.mp3")
    desk.file("in/c.txt", b"TEXT")
    return desk


def counted(shared: Desk, bodies: dict[str, list[bytes]]) -> tuple[int, int]:
    tried = [survives(shared, body, name) for name, several in bodies.items() for body in several]
    return len(tried), sum(tried)


@settings(max_examples=300, deadline=None)
@given(body=st.binary(max_size=200), name=st.sampled_from(["m.toml", "m.json", "m.jsonl"]))
def test_invariant_25_random_bytes_are_only_ever_refused_or_read(shared: Desk, body: bytes, name: str) -> None:
    survives(shared, body, name)


@settings(max_examples=400, deadline=None)
@given(whole=likely_whole | any_value)
def test_invariant_25_a_manifest_of_our_words_in_any_order_is_only_ever_refused_or_read(
    shared: Desk, whole: object
) -> None:
    survives(shared, json.dumps(whole).encode(), "m.json")


@settings(max_examples=200, deadline=None)
@given(items=st.lists(likely_item | any_value, max_size=5))
def test_invariant_25_any_line_beside_a_good_line_leaves_the_good_one_alone(shared: Desk, items: list[object]) -> None:
    good = '{"id": "good", "kind": "tts", "text": "x", "out": "good/x.wav"}'
    body = "\n".join(['{"schema": 1}', *(json.dumps(item) for item in items), good])
    manifest = shared.read(body, "m.jsonl")
    assert "good" in ids(manifest)


ALPHABET = string.printable + "é\u202e\ud7ff[]{}=\"'#.\n"


def mangled(text: str, rng: random.Random) -> bytes:
    """A few characters cut, doubled or replaced: what editors, disks and merges do to a file."""
    chars = list(text)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(chars))
        chars[at : at + rng.randint(0, 3)] = rng.choices(ALPHABET, k=rng.randint(0, 3))
    return "".join(chars).encode(errors="surrogatepass")[: rng.choice([None, rng.randint(1, len(text))])]


WHOLE_TOML = (
    """schema = 1
name = "notes"
[defaults]
route = ["local"]
language = "auto"
[limits]
max_spend_usd = 2.00
max_runtime = "50m"
[[folder]]
id = "notes"
glob = "in/**/*"
accept = ["audio"]
out = "out/{reldir}/{stem}.{step}.{ext}"
  [[folder.step]]
  id = "text"
  kind = "transcription"
  formats = ["txt", "srt"]
  [[folder.step]]
  id = "canon"
  kind = "canonical_text"
  from = "text"
"""
    + HELLO
)


def test_invariant_25_a_mangled_manifest_is_only_ever_refused_or_read(shared: Desk) -> None:
    rng = random.Random(25)
    lines = "\n".join([HELLO_LINE, '{"audio_filepath": "in/a.wav", "duration": 1.5, "offset": 0, "text": "hi"}'])
    bodies = {
        "m.toml": [mangled(WHOLE_TOML, rng) for _ in range(1500)],
        "m.jsonl": [mangled(lines, rng) for _ in range(1500)],
    }
    tried, read = counted(shared, bodies)
    print(f"invariant 25: {tried}/{tried} mangled manifests survived, {read} of them still readable")
    assert 0 < read < tried


def test_a_job_whose_answer_must_fit_a_schema_is_no_header() -> None:
    lines = b'{"id": "a", "kind": "text", "schema": {"type": "object"}}\n{"id": "b", "kind": "text"}\n'
    document = read_document(lines, "m.jsonl", LIMITS)
    assert (document.header, len(list(document.jobs))) == ({"schema": 1}, 2)
    assert refused(b'{"schema": {}, "limits": {"max_spend_usd": 1}}\n', "m.jsonl").code == "manifest-invalid"


MANY = {
    "m.json": b'{"schema": 1, "job": [' + b"{}," * MAX_VALUES + b"{}]}",
    "m.toml": b"schema = 1\njob = [" + b"1," * MAX_VALUES + b"]",
}


@pytest.mark.parametrize("name", MANY)
def test_more_values_than_memory_is_meant_for_are_refused_before_they_are_read(name: str) -> None:
    tracemalloc.start()
    try:
        error = refused(MANY[name], name)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (error.code, "values" in error.message) == ("manifest-too-large", True)
    assert peak < 3 * len(MANY[name])


def test_a_line_of_too_many_values_harms_only_itself(desk: Desk) -> None:
    manifest = desk.lines('{"id": "many", "text": [' + "1," * MAX_VALUES + "1]}", HELLO_LINE)
    assert (ids(manifest), codes(manifest)) == (["hello"], {"line 1": ["job-invalid"]})
    assert "values" in hints(manifest)


def test_of_very_many_unknown_keys_the_first_are_told(desk: Desk) -> None:
    with pytest.raises(ManifestError) as caught:
        desk.toml("".join(f"k{number} = 1\n" for number in range(1000)))
    assert "'k0'" in caught.value.message
    assert "'k99'" not in caught.value.message
