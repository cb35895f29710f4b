"""The page of required rows is what the tests say now, and knows every id that a test carries."""

from tests.required import CORE, PAGE, WANTED, page, proofs, rows


def test_the_page_of_required_rows_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: make rows"


def test_every_id_that_a_test_carries_is_a_row() -> None:
    assert set(proofs()) <= set(rows(CORE)) | set(rows(WANTED))


def test_no_row_is_core_and_wanted_at_once() -> None:
    assert not set(rows(CORE)) & set(rows(WANTED))
