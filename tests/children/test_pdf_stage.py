"""The PDF stage: text out, bounds kept, damage told, encryption refused."""

from pathlib import Path

import pypdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.children.pdf_work import PdfFacts
from pipeline.children.run import run_stage
from pipeline.children.stage import FileRef, StageResult
from pipeline.media import av

REF = FileRef(root="in", path="a.pdf")


def pdf(*pages: str) -> bytes:
    """A small PDF with a line of text on each page."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>"]
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects.append(f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode())
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    for number, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET".encode()
        font = "/Resources << /Font << /F1 3 0 R >> >> /MediaBox [0 0 612 792]"
        objects.append(f"<< /Type /Page /Parent 2 0 R {font} /Contents {5 + 2 * number} 0 R >>".encode())
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
    body, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    tail = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(body))
    return body + head + table + tail


def read(folder: Path, body: bytes, **bounds: int) -> StageResult:
    (folder / "a.pdf").write_bytes(body)
    return run_stage(av.pdf_text(REF, **bounds), {"in": str(folder)})


def facts_of(result: StageResult) -> PdfFacts:
    assert result.code is None, result
    return av.pdf_facts(result)


def test_the_text_of_all_pages_comes_out_in_order(tmp_path: Path) -> None:
    assert facts_of(read(tmp_path, pdf("First page", "", "Third page"))) == PdfFacts(
        text="First page\n\nThird page", pages=3
    )


def test_more_pages_than_allowed_are_refused(tmp_path: Path) -> None:
    assert read(tmp_path, pdf("a", "b"), max_pages=1).code == "limit-pages"
    assert read(tmp_path, pdf("a", "b"), max_pages=2).code is None


def test_more_characters_than_allowed_are_refused(tmp_path: Path) -> None:
    assert read(tmp_path, pdf("abc", "def"), max_chars=5).code == "limit-chars"
    assert read(tmp_path, pdf("abc", "def"), max_chars=6).code is None


def test_an_encrypted_pdf_is_refused_and_the_way_out_is_told(tmp_path: Path) -> None:
    writer = pypdf.PdfWriter()
    writer.add_blank_page(100, 100)
    writer.encrypt("secret", algorithm="RC4-40")
    writer.write(str(tmp_path / "locked.pdf"))
    result = read(tmp_path, (tmp_path / "locked.pdf").read_bytes())
    assert result.code == "input-unreadable"
    assert "without a password" in result.message


@pytest.mark.parametrize("body", [b"", b"%PDF-1.4\n", b"hello", b"%PDF-1.4\n" + b"1 0 obj <<" * 50])
def test_what_is_no_pdf_is_damaged(tmp_path: Path, body: bytes) -> None:
    assert read(tmp_path, body).code == "input-damaged"


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 900), byte=st.integers(0, 255), cut=st.integers(0, 900))
def test_a_mutilated_pdf_is_text_or_a_refusal_and_never_an_accident(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int, cut: int
) -> None:
    body = bytearray(pdf("First page", "Second page"))
    body[at % len(body)] = byte
    result = read(tmp_path_factory.mktemp("pdf"), bytes(body[: len(body) - cut % 200]))
    assert result.code in (None, "input-damaged", "input-unreadable", "limit-pages")
