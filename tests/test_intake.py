"""What a look at an input says to a person: the next thing to do fits what is wrong with the file."""

import hashlib
from contextlib import closing, nullcontext, suppress
from pathlib import Path

import pytest

from pipeline.core.errors import InputError
from pipeline.core.model import RunId, Sha256
from pipeline.intake import Intake
from pipeline.runtime import utc_now
from pipeline.state.ledger import Ledger
from pipeline.state.ledger_rows import FileFacts
from pipeline.state.roots import Roots
from tests.scripted import wav


@pytest.mark.parametrize(
    ("body", "code", "hint"),
    [
        (b"PK\x03\x04" + bytes(200), "input-type", "convert it"),
        (wav(1.0)[:-100], "input-damaged", "whole copy"),
        ("Caf\xe9 au lait".encode("latin-1"), "input-damaged", "UTF-8"),
        (b"", "input-empty", "copy it again"),
    ],
    ids=["zip", "cut", "latin-1", "nothing"],
)
def test_the_hint_fits_what_is_wrong_with_the_file(tmp_path: Path, body: bytes, code: str, hint: str) -> None:
    path = tmp_path / "input"
    path.write_bytes(body)
    ledger = Ledger.view(str(tmp_path / "no-ledger"), clock=utc_now)
    with pytest.raises(InputError) as refused:
        Intake(ledger, Roots([str(tmp_path)])).source(str(path))
    assert refused.value.code == code
    assert hint in refused.value.hint
    ledger.close()


def test_the_hash_of_a_product_is_told_whatever_its_words_look_like(tmp_path: Path) -> None:
    """Else a product whose file was touched, as by a backup, would be taken for one that was edited by hand."""
    path, words = tmp_path / "plan.txt", b"P1 is the first plan of three.\n"
    path.write_bytes(words)
    with closing(Ledger.view(str(tmp_path / "no-ledger"), clock=utc_now)) as ledger:
        intake = Intake(ledger, Roots([str(tmp_path)]))
        with pytest.raises(InputError):
            intake.source(str(path))
        assert intake.sha256(str(path)) == hashlib.sha256(words).hexdigest()


def test_an_input_that_is_not_there_is_named_as_it_was_looked_for(tmp_path: Path) -> None:
    """A relative path of a manifest that was dropped into a spool starts from `incoming/`, which surprises."""
    path = tmp_path / "not there.wav"
    ledger = Ledger.view(str(tmp_path / "no-ledger"), clock=utc_now)
    with pytest.raises(InputError, match=f"the input '{path}' does not exist") as refused:
        Intake(ledger, Roots([str(tmp_path)])).source(str(path))
    assert refused.value.code == "input-missing"
    ledger.close()


@pytest.mark.parametrize("is_view", [True, False], ids=["plan", "work-that-is-undone"])
def test_what_was_read_again_is_what_counts_from_then_on(tmp_path: Path, is_view: bool) -> None:
    """`--rehash`, where the ledger still tells what it knew: a plan teaches it nothing, and a group may be undone."""
    path, name = tmp_path / "a.txt", str(tmp_path / "ledger.db")
    path.write_text("new\n")
    with closing(Ledger.open(name, run=RunId("old"), clock=utc_now)) as ledger:
        facts = FileFacts(sha256=Sha256("0" * 64), size=4, media=None, seconds=None, tracks=())
        ledger.remember_file(str(path), path.stat(), facts)
    opened = Ledger.view(name, clock=utc_now) if is_view else Ledger.open(name, run=RunId("new"), clock=utc_now)
    with closing(opened) as ledger:
        intake = Intake(ledger, Roots([str(tmp_path)]), is_rehashing=True)
        with suppress(ZeroDivisionError), ledger.group() if not is_view else nullcontext():
            first = intake.sha256(str(path))
            raise ZeroDivisionError
        assert [first, intake.sha256(str(path))] == [hashlib.sha256(b"new\n").hexdigest()] * 2
