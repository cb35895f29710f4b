"""The first opinion on bytes: what libmagic says of their head.

Owns the choice of the library: the system's, or the one inside the pylibmagic package where the system has none (or
where MEDIASPOOL_LIBMAGIC=bundled asks for it). Promises an answer for any bytes. It is an opinion, never a verdict:
`containers` decides, and only together with a check of its own.
"""

import ctypes
import functools
import importlib
import importlib.util
import os
from typing import Protocol

from pipeline.core.errors import ConfigError
from pipeline.media._id3 import content_start

HEAD_BYTES = 2048
KEPT_OPINIONS = 1024  # more than jobs are under way at once, or each look at one content asks again; two megabytes
NO_OPINION = "application/octet-stream"
CHOICE_VARIABLE = "MEDIASPOOL_LIBMAGIC"


class _Magic(Protocol):
    def from_buffer(self, buffer: bytes) -> str: ...


def sniff(head: bytes) -> str:
    """The MIME type libmagic sees in the first HEAD_BYTES behind any ID3v2 tags. No bytes give no opinion."""
    start = content_start(head)
    window = head[start : start + HEAD_BYTES] or head[:HEAD_BYTES]
    return _opinion(bytes(window)) if window else NO_OPINION


@functools.lru_cache(maxsize=KEPT_OPINIONS)
def _opinion(window: bytes) -> str:
    """One content is looked at several times on its way in, and libmagic takes longer than all the rest of a look."""
    try:
        opinion = _database().from_buffer(window)
    except _library()[0].MagicException:
        return NO_OPINION
    return opinion.split(";")[0].strip().lower() or NO_OPINION


def libmagic_version() -> str:
    """Such as "5.44 system" or "5.41 bundled": kept with verdicts, since another library may think otherwise."""
    module, bundled = _library()
    number = int(module.version())
    return f"{number // 100}.{number % 100:02d} {'bundled' if bundled else 'system'}"


class _MagicModule(Protocol):
    MagicException: type[Exception]

    def version(self) -> int: ...
    def Magic(self, *, mime: bool, magic_file: str | None) -> _Magic: ...  # noqa: N802 - python-magic's own name


@functools.cache
def _database() -> _Magic:
    module, bundled = _library()
    return module.Magic(mime=True, magic_file=bundled)


@functools.cache
def _library() -> tuple[_MagicModule, str | None]:
    """python-magic, and the path of the database to use with it. Imported here because it binds its library as it is
    imported: a library of our choice must be in the process before that.
    """
    if os.environ.get(CHOICE_VARIABLE) == "bundled":
        return _bundled()
    try:
        return _python_magic(), None
    except ImportError:
        return _bundled()


def _bundled() -> tuple[_MagicModule, str]:
    # pylibmagic is located, never imported: importing it rewrites ctypes.CDLL for the whole process.
    spec = importlib.util.find_spec("pylibmagic")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        raise ConfigError(
            "there is no libmagic on this system and the package pylibmagic is not installed",
            code="extra-missing",
            hint="pip install pylibmagic, or install the system's libmagic",
        )
    # python-magic then asks the loader for libmagic.so.1 and is given the one that is already here.
    ctypes.CDLL(os.path.join(folders[0], "libmagic.so.1"))
    return _python_magic(), os.path.join(folders[0], "magic.mgc")


def _python_magic() -> _MagicModule:
    module: _MagicModule = importlib.import_module("magic")
    return module
