"""`python -m tests.benchmarks.answering`: the leanest server that SDKs and mediaspool take for the real one.

The stand-in checks, records and paints, and would be slower than its clients. This one counts the bytes of a body,
keeps none, waits for the latency it was given and answers with a recording, a transcript or words, each a little
different.
It ends with its standard input.
"""

import argparse
import asyncio
import itertools
import json
import re
import sys
from pathlib import Path

SAMPLES = Path(__file__).parents[2] / "samples/media"
SPOKEN = SAMPLES / "austen-0870.wav"
READ = 256 * 1024
MAX_HEAD = 64 * 1024
MARK = b"0000000"
MARK_AT = 1000  # among the samples, and in the head of the file that every check looks at
TRANSCRIPT = {
    "task": "transcribe",
    "language": "english",
    "duration": 11.0,
    "text": f"And so, my fellow Americans, ask not what your country can do for you. {MARK.decode()}",
    "segments": [
        {"id": 0, "start": 0.0, "end": 4.4, "text": " And so, my fellow Americans,", "avg_logprob": -0.2},
        {"id": 1, "start": 4.4, "end": 9.0, "text": " ask not what your country can do for you.", "avg_logprob": -0.2},
        {"id": 2, "start": 9.0, "end": 11.0, "text": f" {MARK.decode()}", "avg_logprob": -0.2},
    ],
    "usage": {"type": "duration", "seconds": 11},
}
SUMMARY = {
    "id": "chat-1",
    "object": "chat.completion",
    "model": "model",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": f"A man considers what to do for them. {MARK.decode()}"},
        }
    ],
    "usage": {"prompt_tokens": 600, "completion_tokens": 12, "total_tokens": 612},
}
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)


def answer(media_type: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def marked(recording: bytes, mark: bytes) -> bytes:
    """The recording with a click that no other has."""
    return recording[:MARK_AT] + mark + recording[MARK_AT + len(mark) :]


class Line(asyncio.BufferedProtocol):
    """One connection: requests one after the other, each answered `latency_s` after its last byte."""

    def __init__(self, answers: dict[bytes, bytes], numbers: "itertools.count[int]", latency_s: float) -> None:
        self._answers = answers
        self._numbers = numbers
        self._latency_s = latency_s
        self._into = bytearray(READ)
        self._head = self._answer = b""
        self._left = 0
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._into

    def buffer_updated(self, nbytes: int) -> None:
        if self._answer:
            self._left -= nbytes
        else:
            self._head += self._into[:nbytes]
            self._begin()
        if self._answer and self._left <= 0:
            whole = self._answer.replace(MARK, b"%07d" % next(self._numbers))
            self._answer = self._head = b""
            asyncio.get_running_loop().call_later(self._latency_s, self._send, whole)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def _begin(self) -> None:
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if not end:
            assert len(head) < MAX_HEAD, "a head without an end"
            return
        length = _LENGTH.search(head)
        assert length is not None, "a body without a length"
        self._left = int(length[1]) - len(rest)
        self._answer = self._answers[head.split(b" ", 2)[1].rsplit(b"/", 1)[1]]

    def _send(self, whole: bytes) -> None:
        if self._transport is not None:
            self._transport.write(whole)


async def serve(latency_s: float) -> None:
    answers = {
        b"transcriptions": answer("application/json", json.dumps(TRANSCRIPT).encode()),
        b"completions": answer("application/json", json.dumps(SUMMARY).encode()),
        b"speech": answer("audio/wav", marked(SPOKEN.read_bytes(), MARK)),
    }
    numbers, loop = itertools.count(1), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Line(answers, numbers, latency_s), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.buffer.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency", type=float, default=0.0)
    asyncio.run(serve(parser.parse_args().latency))
