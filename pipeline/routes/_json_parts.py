"""Media inside a JSON request: as bare base64 or as a data URL, encoded only while it is sent."""

from pipeline.core.operations import MediaRef
from pipeline.routes._body import Base64File


def base64_of(ref: MediaRef) -> Base64File:
    return Base64File(path=ref.path, size=ref.size, sha256=ref.sha256)


def data_url(ref: MediaRef) -> Base64File:
    return Base64File(path=ref.path, size=ref.size, sha256=ref.sha256, prefix=f"data:{ref.media.media_type};base64,")


def encoded_size(size: int) -> int:
    """Bytes of base64 for so many bytes."""
    return 4 * ((size + 2) // 3)
