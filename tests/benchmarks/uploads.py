"""(7) The memory of a client that sends 1, 8 and 64 recordings of 24 MB at once, in both bodies, beside the SDKs'."""

from tests.benchmarks.clients import (
    NO_PEERS,
    PEER_PYTHON,
    SDKS,
    Work,
    answering,
    durable,
    folder,
    long_recordings,
    peer,
)
from tests.benchmarks.table import Row

SIZE = 24_000_000
WIDTHS = (1, 8, 64)
MAX_MB = 120
LATENCY_S = 0.2
BODIES = {
    "a form (openai dialect)": ("openai", ""),
    "base64 in JSON (openrouter dialect)": ("openrouter", '[routes.bench.options]\ntranscribe_body = "json"\n'),
}


def measure() -> list[Row]:
    with folder() as root, answering(LATENCY_S) as url:
        asks = long_recordings(root, max(WIDTHS), SIZE)
        works = [Work(folder=root, kind="transcription", asks=asks, width=width) for width in WIDTHS]
        ours = [row(name, works, url, *how) for name, how in BODIES.items()]
        if not PEER_PYTHON.exists():
            return [*ours, Row(name=f"    {NO_PEERS}", figure="")]
        return [*ours, *(Row(name=f"    {sdk}, a form", figure=peaks(theirs(sdk, works, url))) for sdk in SDKS)]


def row(name: str, works: list[Work], url: str, driver: str, more: str) -> Row:
    found = [durable(work, url, work.width, driver=driver, more=more).peak_mb for work in works]
    return Row(
        name=f"(7) memory with {', '.join(map(str, WIDTHS))} uploads of 24 MB, {name}",
        figure=peaks(found),
        target=f"<= {MAX_MB} MB at {WIDTHS[-1]}",
        is_met=found[-1] <= MAX_MB,
    )


def theirs(sdk: str, works: list[Work], url: str) -> list[float]:
    return [peer(sdk, work, url, work.width).peak_mb for work in works]


def peaks(found: list[float]) -> str:
    return ", ".join(f"{peak:.0f}" for peak in found) + " MB"
