"""`python -m tests.standin`: serve until stopped, and say where, in one line of JSON."""

import argparse
import json
import sys

import trio

from tests.standin.server import serving
from tests.standin.world import KEY, World


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.standin", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--state", help="a file that keeps counts and videos over a restart")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before every answer")
    parser.add_argument("--while-stdin", action="store_true", help="end when standard input ends")
    given = parser.parse_args(words)
    world = World(given.state)
    if given.latency:
        world.memory.latency_s = given.latency
    try:
        trio.run(_serve, world, given.port, given.while_stdin)
    except KeyboardInterrupt:
        return 130
    return 0


async def _serve(world: World, port: int, while_stdin: bool) -> None:
    async with serving(world, port=port) as server:
        where = {"base_url": f"{server.origin}/api/v1", "openai": f"{server.origin}/v1", "elsewhere": server.elsewhere}
        print(json.dumps({**where, "key": KEY}), flush=True)
        if while_stdin:
            await trio.to_thread.run_sync(sys.stdin.buffer.read, abandon_on_cancel=True)
        else:
            await trio.sleep_forever()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
