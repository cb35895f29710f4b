"""Multipart forms, read as strictly as the real services do."""

from email.message import Message
from email.parser import BytesHeaderParser

from tests.standin.nouns import Part

MAX_PARTS = 200


class BadForm(Exception):
    """The body is not the form that its content type announces."""


def parts(body: bytes, content_type: str) -> tuple[Part, ...]:
    """The parts of a form, in order; BadForm when a boundary or a header is missing."""
    head = Message()
    head["content-type"] = content_type
    boundary = head.get_param("boundary")
    if not isinstance(boundary, str) or not boundary:
        raise BadForm("the content type names no boundary")
    mark = b"--" + boundary.encode("latin-1")
    pieces = (b"\r\n" + body).split(b"\r\n" + mark)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--") or len(pieces) > MAX_PARTS:
        raise BadForm("the closing boundary is missing")
    return tuple(_part(piece) for piece in pieces[1:-1])


def _part(piece: bytes) -> Part:
    head, gap, body = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
    headers = BytesHeaderParser().parsebytes(head + b"\r\n\r\n")
    name = headers.get_param("name", header="content-disposition")
    if not gap or not isinstance(name, str):
        raise BadForm("a part has no name")
    return Part(name=name, body=body, file_name=headers.get_filename(), content_type=headers.get("content-type"))
