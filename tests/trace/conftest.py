"""Makers for the tests of what is told: secrets, every way to write them, and a debug artifact."""

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import msgspec
import pytest
from hypothesis import strategies as st

from pipeline.core.errors import CODES
from pipeline.trace.debug import DebugArtifact, ReplyFacts, RequestFacts
from pipeline.trace.redact import MASK

VOCABULARY = " ".join([MASK, *CODES, *DebugArtifact.__struct_fields__, *ReplyFacts.__struct_fields__])
SECRETS = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x24F, exclude_categories=["Cs", "Cc"]), min_size=8, max_size=40
).filter(lambda text: len(set(text)) > 4 and text.lower() not in VOCABULARY)
"""Long enough to be secret, and not a piece of what is always written."""

Encode = Callable[[str], str]


def _base64_at(offset: int, encode: Callable[[bytes], bytes]) -> Encode:
    return lambda secret: encode(b"user:pass"[:offset] + secret.encode() + b"\n..").decode()


ENCODINGS: dict[str, Encode] = {
    "plain": str,
    "upper case": str.upper,
    "percent": lambda secret: quote(secret, safe=""),
    "percent, form": quote_plus,
    "percent of every byte": lambda secret: "".join(f"%{byte:02x}" for byte in secret.encode()),
    "percent twice": lambda secret: quote(quote(secret, safe=""), safe=""),
    "json": lambda secret: json.dumps(secret)[1:-1],
    "json in json": lambda secret: json.dumps(json.dumps(secret)),
    "json, every character": lambda secret: "".join(f"\\u{ord(char):04X}" for char in secret),
    "percent of json": lambda secret: quote(json.dumps({"a": secret})),
    "python": lambda secret: ascii(secret)[1:-1],
    "python bytes": lambda secret: repr(secret.encode())[2:-1],
    "html": html.escape,
    "html numbers": lambda secret: "".join(f"&#{ord(char)};" for char in secret),
    "hex": lambda secret: secret.encode().hex(),
    "hex with spaces": lambda secret: secret.encode().hex(" ").upper(),
    "base64 at 0": _base64_at(0, base64.b64encode),
    "base64 at 1": _base64_at(1, base64.b64encode),
    "base64 at 2": _base64_at(2, base64.urlsafe_b64encode),
    "base64 in lines": _base64_at(7, base64.encodebytes),
    "base64 of json": lambda secret: base64.b64encode(json.dumps({"k": secret}).encode()).decode(),
}


def carries(secret: str, shown: str) -> bool:
    """Can the secret be got back from what is shown? Judged without the product's own code."""
    folded = shown.lower()
    whole = [
        name for name in ENCODINGS if "base64" not in name and "json in json" not in name and " of json" not in name
    ]
    forms = {ENCODINGS[name](secret).lower() for name in whole}
    forms |= {json.dumps(json.dumps(secret))[3:-3].lower(), quote(json.dumps(secret)[1:-1]).lower()}
    if any(form in folded for form in forms):
        return True
    body, joined = secret.encode(), "".join(shown.split()).replace("-", "+").replace("_", "/")
    cores = (base64.b64encode(b"\0" * offset + body + b"\0\0").decode()[4:][: len(body)] for offset in range(3))
    return any(core in joined for core in cores)


@pytest.fixture
def artifact() -> DebugArtifact:
    return DebugArtifact(
        run="run-1",
        attempt="attempt-1",
        place="0123456789abcdef" * 2,
        kind="transcription",
        route="whisper",
        model="base",
        engine="faster-whisper 1.2.1 base d01c3014",
        operation="transcribe",
        try_number=1,
        request=RequestFacts(bytes=10, media_type="audio/wav", seconds=1.5, sha256="ab" * 32),
        verdict="failed",
        code="engine-failed",
    )


def changed(artifact: DebugArtifact, **fields: object) -> DebugArtifact:
    return msgspec.structs.replace(artifact, **fields)
