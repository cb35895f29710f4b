"""Invariant 31: `verify` finds every damaged answer and product, `rebuild` restores a lost ledger without paying."""

import json
import os
import threading
import time
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from pipeline.core.errors import ConfigError
from pipeline.core.model import CallReceipt
from pipeline.rebuild import Rebuilt, rebuild
from pipeline.state.ledger import Ledger
from pipeline.state.ledger_rows import pack, unpack
from pipeline.state.proofs import read_proof
from pipeline.verify import Verified, verify
from tests.cli.conftest import seat
from tests.makers import Folder, verdicts
from tests.standin.fixture import StandIn

pytestmark = pytest.mark.real_time
PAID = """
schema = 1
name = "paid"
[defaults]
route = ["shop"]
[[job]]
id = "speech"
kind = "tts"
text = "Wilhelmina sings tonight."
voice = "af_alloy"
model = "hexgrad/kokoro-82m"
out = "out/speech.mp3"
[[job]]
id = "words"
kind = "transcription"
input = "recordings/a.wav"
out = "out/words.txt"
[[job]]
id = "kite"
kind = "image"
prompt = "A kite."
out = "out/kite.{ext}"
"""


@pytest.fixture
def folder(tmp_path: Path, standin: StandIn) -> Folder:
    made = Folder(tmp_path)
    made.now = time.time() + 3600
    made.add_route("shop", driver="openrouter", base_url=standin.base_url, key=standin.key)
    made.record("a.wav", 3.0)
    made.manifest.write_text(PAID)
    return made


def posts(standin: StandIn) -> int:
    return sum(request["method"] == "POST" for request in standin.requests())


def lose_ledger(folder: Folder) -> None:
    for path in folder.spool.glob("ledger.db*"):
        path.unlink()


def rebuilt(folder: Folder) -> Rebuilt:
    record = rebuild(seat(folder), (str(folder.root),)).record
    assert isinstance(record, Rebuilt)
    return record


def verified(folder: Folder, *, repair: bool = False) -> Verified:
    record = verify(seat(folder), is_repairing=repair).record
    assert isinstance(record, Verified)
    return record


def test_invariant_31_a_lost_ledger_comes_back_without_paying(folder: Folder, standin: StandIn) -> None:
    assert set(verdicts(folder.run()).values()) == {"done"}
    before = posts(standin)
    lose_ledger(folder)
    back = rebuilt(folder)
    assert (back.jobs, back.calls, back.unusable) == (3, 3, 0)
    assert set(verdicts(folder.run()).values()) == {"unchanged"}
    assert posts(standin) == before
    print(f"invariant 31: jobs that a rebuilt ledger knows, with nothing paid again: {back.jobs}/3")


def test_invariant_31_paid_answers_come_back_though_their_jobs_had_not_ended(folder: Folder, standin: StandIn) -> None:
    folder.run()
    before = posts(standin)
    lose_ledger(folder)
    for path in (folder.root / "out").iterdir():
        path.unlink()
    back = rebuilt(folder)
    assert (back.jobs, back.calls) == (0, 3)
    assert set(verdicts(folder.run()).values()) == {"done"}
    assert posts(standin) == before


def test_what_was_spent_is_in_the_books_again(folder: Folder, standin: StandIn) -> None:
    folder.run()
    with_ledger = spent(folder)
    lose_ledger(folder)
    rebuilt(folder)
    assert spent(folder) == with_ledger != []


def spent(folder: Folder) -> list[tuple[str, int, str]]:
    ledger = Ledger.view(str(folder.spool / "ledger.db"), clock=lambda: "")
    try:
        return [(row.route, row.calls, str(row.usd)) for row in ledger.spend()]
    finally:
        ledger.close()


def test_a_paid_route_that_asked_nothing_for_a_call_is_still_one_that_is_paid(folder: Folder, standin: StandIn) -> None:
    folder.run()
    for record in records(folder):
        record.write_bytes(pack(msgspec.structs.replace(unpack(record.read_bytes(), CallReceipt), usd=Decimal(0))))
    lose_ledger(folder)
    rebuilt(folder)
    ledger = Ledger.view(str(folder.spool / "ledger.db"), clock=lambda: "")
    requests = sum(calls for _, _, calls in ledger.used())
    ledger.close()
    assert requests == 3


def test_a_free_call_that_broke_off_and_told_no_price_was_not_paid_for(tmp_path: Path) -> None:
    """As receipts of old tell it: beside the answer of a paid call lies a record."""
    folder = Folder(tmp_path)
    folder.record("a.wav")
    folder.run()
    proof = folder.product("a.wav.text.txt.receipt.json")
    receipt = json.loads(proof.read_bytes())
    (call,) = receipt["calls"]
    call |= {"usd": None, "facts": {"broke_off": "reply-damaged"}}
    proof.write_text(json.dumps(receipt))
    lose_ledger(folder)
    assert rebuilt(folder).calls == 1
    ledger = Ledger.view(str(folder.spool / "ledger.db"), clock=lambda: "")
    used = ledger.used()
    ledger.close()
    assert used == []


def test_rebuilding_twice_or_beside_a_whole_ledger_changes_nothing(folder: Folder, standin: StandIn) -> None:
    folder.run()
    books = spent(folder)
    assert (rebuilt(folder).jobs, rebuilt(folder).calls) == (0, 0)
    assert spent(folder) == books


@pytest.mark.parametrize("is_whole", [False, True])
def test_what_is_not_known_any_more_is_told_only_where_something_was_lost(
    folder: Folder, standin: StandIn, is_whole: bool
) -> None:
    folder.run()
    if not is_whole:
        lose_ledger(folder)
    text = rebuild(seat(folder), (str(folder.root),)).text
    assert ("not known any more" in text) is not is_whole
    assert ("nothing was lost" in text) is is_whole


def test_a_lost_ledger_without_any_proof_is_told_as_lost(folder: Folder, standin: StandIn) -> None:
    back = rebuild(seat(folder), (str(folder.root),))
    assert "put back 0 jobs and 0 calls" in back.text
    assert "not known any more" in back.text


def test_a_proof_that_is_no_proof_is_counted_and_harms_nothing(folder: Folder, standin: StandIn) -> None:
    folder.run()
    lose_ledger(folder)
    (folder.root / "out" / "odd.receipt.json").write_text("{not json")
    (folder.root / "out" / "old.receipt.json").write_text(
        without_place(folder.root / "out" / "speech.mp3.receipt.json")
    )
    back = rebuilt(folder)
    assert (back.jobs, back.unusable) == (3, 2)


def without_place(path: Path) -> str:
    receipt = json.loads(path.read_text())
    del receipt["place"]
    return json.dumps(receipt)


def test_an_answer_that_was_spoiled_is_not_taken_back(folder: Folder, standin: StandIn) -> None:
    folder.run()
    lose_ledger(folder)
    asset = next(path for path in (folder.spool / "assets").rglob("*") if path.is_file() and path.suffix != ".call")
    asset.write_bytes(asset.read_bytes()[:-1] + b"?")
    assert rebuilt(folder).calls == 2


def test_invariant_31_every_damaged_answer_and_product_is_found(folder: Folder, standin: StandIn) -> None:
    folder.run()
    assert verified(folder).findings == ()
    harmed = 0
    assets = [path for path in (folder.spool / "assets").rglob("*") if path.is_file() and path.suffix != ".call"]
    for path in assets:
        path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
        harmed += 1
    products = [path for path in (folder.root / "out").iterdir() if not path.name.endswith(".receipt.json")]
    products[0].unlink()
    for path in products[1:]:
        path.write_bytes(path.read_bytes() + b"\n")
    found = verified(folder)
    assert len(found.findings) == harmed + len(products)
    assert found.exit_code == 3
    print(f"invariant 31: damaged or missing files found: {len(found.findings)}/{harmed + len(products)}")


def test_a_damaged_answer_is_put_back_from_a_product_that_holds_it(folder: Folder, standin: StandIn) -> None:
    folder.run()
    (asset,) = list((folder.spool / "assets").rglob("*.png")) or list((folder.spool / "assets").rglob("*.jpg"))
    whole = asset.read_bytes()
    asset.write_bytes(whole[:-10])
    assert [(item.what, item.state) for item in verified(folder, repair=True).findings] == [("answer", "repaired")]
    assert asset.read_bytes() == whole
    assert verified(folder).findings == ()


def test_what_no_product_holds_is_set_aside_and_its_call_made_again(folder: Folder, standin: StandIn) -> None:
    folder.run()
    (asset,) = (folder.spool / "assets").rglob("*.json")
    asset.write_bytes(asset.read_bytes() + b" ")
    found = verified(folder, repair=True)
    assert [(item.what, item.state) for item in found.findings] == [("answer", "set aside")]
    assert list((folder.spool / "quarantine").iterdir())
    assert verified(folder).findings == ()


def test_a_broken_ledger_is_told_with_what_to_do(folder: Folder, standin: StandIn) -> None:
    folder.run()
    (folder.spool / "ledger.db").write_bytes(b"SQLite format 3\0" + bytes(4000))
    answer = verify(seat(folder), is_repairing=False)
    assert answer.exit_code == 74
    assert "rebuild" in answer.text


def test_a_spool_that_is_not_there_is_never_called_sound(folder: Folder) -> None:
    for is_repairing in (False, True):
        with pytest.raises(ConfigError, match="there is no spool at"):
            verify(seat(folder), is_repairing=is_repairing)
    assert not folder.spool.exists()


def test_what_a_job_made_where_its_products_lay_before_is_promised_no_more(folder: Folder, standin: StandIn) -> None:
    folder.run()
    (folder.root / "out").rename(folder.root / "kept")
    folder.manifest.write_text(PAID.replace('"out/', '"kept/'))
    assert set(verdicts(folder.run()).values()) == {"done"}
    assert found_in(folder) == []
    (folder.root / "kept" / "words.txt").unlink()
    assert found_in(folder) == [("product", "missing")]


def moved_whole(folder: Folder) -> Folder:
    """Manifest, inputs, products and spool together."""
    new = folder.root.with_name("elsewhere")
    folder.root.rename(new)
    folder.root, folder.spool, folder.manifest = new, new / "spool", new / folder.manifest.name
    folder.config, folder.calls_file = new / folder.config.name, new / folder.calls_file.name
    return folder


def test_what_was_renamed_with_its_recording_is_not_missed_once_a_run_found_it_there(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    for name in ("a.wav", "twin.wav"):
        folder.record(name)
    folder.run()
    for path in [folder.root / "recordings/a.wav", *folder.product("").glob("a.*")]:
        path.rename(path.with_name(f"b{path.name[1:]}"))
    assert {state for _, state in found_in(folder)} == {"missing"}
    folder.run()
    assert found_in(folder) == []
    folder.product("twin.wav.text.txt").unlink()
    assert found_in(folder) == [("product", "missing")]


def test_a_folder_that_was_moved_whole_lacks_nothing_once_a_run_found_it_there(tmp_path: Path) -> None:
    made = Folder(tmp_path / "here")
    made.record("a.wav")
    made.run()
    assert {state for _, state in found_in(moved_whole(made))} == {"missing"}
    assert set(verdicts(made.run()).values()) == {"done"}
    assert (made.calls(), found_in(made)) == (1, [])
    made.product("a.wav.text.txt").unlink()
    assert found_in(made) == [("product", "missing")]


def test_a_receipt_that_is_damaged_or_gone_is_found_and_written_anew_from_the_ledger(
    folder: Folder, standin: StandIn
) -> None:
    folder.run()
    gone, cut, edited = sorted((folder.root / "out").glob("*.receipt.json"))
    before = {path: path.read_bytes() for path in (gone, cut, edited)}
    gone.unlink()
    cut.write_bytes(before[cut][:-40])
    edited.write_bytes(before[edited].replace(b'"verdict": "done"', b'"verdict": "empty"'))
    found = verify(seat(folder), is_repairing=False)
    assert isinstance(found.record, Verified)
    told = [(item.what, item.path, item.state) for item in found.record.findings]
    states = ((gone, "missing"), (cut, "damaged"), (edited, "differs"))
    assert told == [("receipt", str(path), state) for path, state in states]
    assert (found.exit_code, found.record.receipts, "3 receipts" in found.text) == (3, 3, True)
    assert found_in(folder, repair=True) == [("receipt", "repaired")] * 3
    assert {path: path.read_bytes() for path in before} == before
    assert found_in(folder) == []


def test_a_pipe_in_the_place_of_a_receipt_is_no_proof_and_is_not_waited_for(tmp_path: Path) -> None:
    path, read = str(tmp_path / "a.receipt.json"), list[bytes]()
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: read.append(read_proof(path)), daemon=True)
    reader.start()
    reader.join(5)
    assert read == [b""]


def test_a_receipt_is_missed_only_where_its_product_is_there(folder: Folder, standin: StandIn) -> None:
    folder.run()
    for path in (folder.root / "out").glob("words*"):
        path.unlink()
    assert {what for what, _ in found_in(folder, repair=True)} == {"product"}
    assert not list((folder.root / "out").glob("words*"))


def records(folder: Folder) -> list[Path]:
    return sorted((folder.spool / "assets").rglob("*.call"))


def found_in(folder: Folder, *, repair: bool = False) -> list[tuple[str, str]]:
    return [(item.what, item.state) for item in verified(folder, repair=repair).findings]


def test_every_record_of_a_paid_call_is_compared_with_the_ledger(folder: Folder, standin: StandIn) -> None:
    folder.run()
    gone, cut, other = records(folder)
    whole = cut.read_bytes()
    gone.unlink()
    cut.write_bytes(whole[:-1])
    other.write_bytes(whole)
    found = verify(seat(folder), is_repairing=False)
    assert isinstance(found.record, Verified)
    assert [(item.path, item.state) for item in found.record.findings] == [
        (str(gone.relative_to(folder.spool)), "missing"),
        (str(cut.relative_to(folder.spool)), "damaged"),
        (str(other.relative_to(folder.spool)), "damaged"),
    ]
    assert (found.exit_code, "--repair writes them anew" in found.text) == (3, True)


def test_damaged_and_missing_records_are_written_anew_and_prove_their_calls_again(
    folder: Folder, standin: StandIn
) -> None:
    folder.run()
    gone, cut, _ = records(folder)
    gone.unlink()
    cut.write_bytes(b"")
    assert found_in(folder, repair=True) == [("record", "repaired")] * 2
    assert found_in(folder) == []
    lose_ledger(folder)
    for path in (folder.root / "out").iterdir():
        path.unlink()
    assert rebuilt(folder).calls == 3


def test_a_damaged_record_that_the_ledger_does_not_know_is_set_aside(folder: Folder, standin: StandIn) -> None:
    folder.run()
    stranger = records(folder)[0].with_suffix(".0123456789ab.call")
    stranger.write_bytes(b"{")
    assert found_in(folder) == [("record", "damaged")]
    assert found_in(folder, repair=True) == [("record", "set aside")]
    assert found_in(folder) == []
    assert [path.name for path in (folder.spool / "quarantine").iterdir()] == [f"damaged-{stranger.name}"]


def test_a_price_that_was_told_later_is_no_damage(folder: Folder, standin: StandIn) -> None:
    folder.run()
    record = records(folder)[0]
    record.write_bytes(pack(msgspec.structs.replace(unpack(record.read_bytes(), CallReceipt), usd=None)))
    assert found_in(folder) == []


def test_nobody_misses_the_record_of_an_answer_that_was_cleaned_away(folder: Folder, standin: StandIn) -> None:
    folder.run()
    for path in list((folder.spool / "assets").rglob("*.*")):
        path.unlink()
    assert found_in(folder) == []
