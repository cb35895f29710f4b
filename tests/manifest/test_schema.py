"""The JSON Schema of manifests: complete, closed, and the same every time."""

import json

import pytest

from pipeline.manifest import manifest_schema
from pipeline.manifest_model import JOB_KEYS, STEP_KEYS, spec_keys
from tests.manifest.conftest import KINDS

SCHEMA: object = json.loads(json.dumps(manifest_schema(KINDS)))


def at(*path: str) -> object:
    node = SCHEMA
    for key in path:
        assert isinstance(node, dict)
        node = node[key]
    return node


def names(*path: str) -> set[str]:
    node = at(*path)
    assert isinstance(node, dict)
    return set(node)


def test_the_same_kinds_always_give_the_same_schema() -> None:
    backwards = dict(reversed(list(KINDS.items())))
    assert json.dumps(manifest_schema(KINDS)) == json.dumps(manifest_schema(backwards))


@pytest.mark.parametrize("name", KINDS)
def test_a_job_may_have_the_common_keys_and_those_of_its_kind(name: str) -> None:
    assert names("$defs", f"job.{name}", "properties") == JOB_KEYS | spec_keys(KINDS[name])
    assert names("$defs", f"step.{name}", "properties") == STEP_KEYS | spec_keys(KINDS[name])
    assert at("$defs", f"job.{name}", "properties", "kind") == {"const": name}


def test_every_reference_leads_somewhere() -> None:
    references = {part.split('"')[0] for part in json.dumps(SCHEMA).split("#/$defs/")[1:]}
    assert "job.tts" in references
    assert references <= names("$defs")


CLOSED = [
    (),
    ("properties", "limits"),
    ("properties", "defaults"),
    ("properties", "folder", "items"),
    ("$defs", "JobLimitKeys"),
    *(("$defs", f"{item}.{name}") for item in ("job", "step") for name in KINDS),
]


@pytest.mark.parametrize("path", CLOSED)
def test_unknown_keys_are_refused_at_every_level(path: tuple[str, ...]) -> None:
    assert at(*path, "additionalProperties") is False


def test_a_default_may_be_a_field_of_any_kind() -> None:
    fields = {key for kind in KINDS.values() for key in spec_keys(kind)}
    assert names("properties", "defaults", "properties") == fields | {"route", "model", "kind", "settle", "on_failure"}


def test_the_limits_of_a_job_are_spelled_out() -> None:
    assert names("$defs", "JobLimitKeys", "properties") >= {"max_input_mb", "max_audio_minutes", "max_runtime"}


def test_the_schema_number_is_required() -> None:
    assert (at("required"), at("properties", "schema")) == (["schema"], {"const": 1})
