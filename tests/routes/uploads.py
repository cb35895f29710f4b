"""A process that sends one file many times at once and prints the most memory it ever had, in kilobytes."""

import re
import sys
from pathlib import Path

import trio

from pipeline.core.drivers import Timeouts
from pipeline.routes._body import Base64File, JsonBody
from pipeline.routes.http import Http
from tests.exchanges import RecordingExchange

PATIENT = Timeouts(connect_s=30, first_byte_s=120, idle_s=120, total_s=200)


async def _one(http: Http, body: JsonBody, together: trio.Event) -> None:
    await together.wait()
    async with http.post("/audio/transcriptions", body, exchange=RecordingExchange(), expect=None) as stream:
        await stream.read_all(1000)


async def main(base: str, count: int, path: str) -> None:
    body = JsonBody.of({"input_audio": {"data": Base64File(path=path, size=24_000_000)}})
    http = Http(base, timeouts=PATIENT, key=lambda: None, headers={}, safe=str)
    together = trio.Event()
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(_one, http, body, together)
        together.set()
    await http.aclose()
    print(_peak_kb())


def _peak_kb() -> int:
    """Of this process alone: `ru_maxrss` would begin with that of the process that started it."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1])


if __name__ == "__main__":
    trio.run(main, sys.argv[1], int(sys.argv[2]), sys.argv[3])
