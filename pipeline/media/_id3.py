"""ID3 tags around audio: how long they are, so that what follows or precedes can be looked at.

Owns only the arithmetic of tag headers. Never reads the contents of a tag.
"""

ID3V2_HEADER_BYTES = 10
ID3V1_BYTES = 128
MAX_TAGS = 16
_FOOTER_FLAG = 0x10


def tag_bytes(head: bytes, at: int = 0) -> int:
    """The whole length of the ID3v2 tag at `at`, or 0 where there is none."""
    header = head[at : at + ID3V2_HEADER_BYTES]
    if len(header) < ID3V2_HEADER_BYTES or header[:3] != b"ID3" or header[3] not in (2, 3, 4) or header[4] == 0xFF:
        return 0
    if any(byte & 0x80 for byte in header[6:10]):
        return 0
    size = header[6] << 21 | header[7] << 14 | header[8] << 7 | header[9]
    footer = ID3V2_HEADER_BYTES if header[3] == 4 and header[5] & _FOOTER_FLAG else 0
    return ID3V2_HEADER_BYTES + size + footer


def content_start(head: bytes) -> int:
    """Where the content begins behind ID3v2 tags and the zeros some writers pad them with; may lie beyond `head`."""
    at = 0
    for _ in range(MAX_TAGS):
        length = tag_bytes(head, at)
        if not length:
            break
        at += length
        if at >= len(head):
            return at
    return at + _zeros(head, at) if at else 0


def _zeros(head: bytes, at: int) -> int:
    rest = head[at:]
    return len(rest) - len(rest.lstrip(b"\0"))


def is_id3v1(tail: bytes) -> bool:
    return len(tail) == ID3V1_BYTES and tail[:3] == b"TAG"
