"""WAVs whose writer could not seek back: the sizes that a streaming server left open get their true values.

For a file that is here whole and ends with its samples. Touches eight bytes of the header and cuts off a last sample
that is not whole; judges nothing: whether the result is a WAV is for `media.wav` to say.
"""

from typing import BinaryIO

HEAD_BYTES = 1 << 16
OPEN_SIZE = 0x7FFF_0000  # from here up a size that does not fit is a placeholder: 0x7FFFFFFF and all ones are seen


def close_sizes(file: BinaryIO, size: int) -> bool:
    """Put the true sizes in where they were left open; True where it did. Safe to call twice."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    found = _data_chunk(head)
    if found is None:
        return False
    at, frame = found
    told, riff = int.from_bytes(head[at - 4 : at], "little"), int.from_bytes(head[4:8], "little")
    here = size - at
    is_open = here > 0 and (told == 0 or (told >= OPEN_SIZE and told > here))
    if not is_open and not (riff == 0 or (riff >= OPEN_SIZE and riff > size)):
        return False
    data = here - here % frame if is_open else told
    end = at + data if is_open else size
    file.truncate(end)
    _put(file, at - 4, data)
    _put(file, 4, end - 8)
    file.flush()
    return True


def _data_chunk(head: bytes) -> tuple[int, int] | None:
    """Where the samples begin, and the bytes of one in all channels; None for what is no plain WAV."""
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return None
    at, frame = 12, 1
    while at + 8 <= len(head):
        name, size = head[at : at + 4], int.from_bytes(head[at + 4 : at + 8], "little")
        if name == b"data":
            return at + 8, max(1, frame)
        if name == b"fmt ":
            frame = int.from_bytes(head[at + 20 : at + 22], "little")
        at += 8 + size + (size & 1)
    return None


def _put(file: BinaryIO, at: int, value: int) -> None:
    file.seek(at)
    file.write(min(value, 0xFFFF_FFFF).to_bytes(4, "little"))
