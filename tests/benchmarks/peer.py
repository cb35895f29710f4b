"""`.venv-bench/bin/python peer.py openai|litellm speech|transcription`: bare calls of an SDK, and nothing around them.

Runs with the packages of `.venv-bench` alone, so it imports nothing of this project. The files are read and the answers
are taken whole; nothing is checked, kept or written.
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

KEY = "sk-none"
Call = Callable[[str], Awaitable[object]]


def openai_calls(base_url: str, kind: str) -> Call:
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=base_url, api_key=KEY, max_retries=0)

    async def hear(path: str) -> object:
        with open(path, "rb") as file:
            return await client.audio.transcriptions.create(
                model="whisper-1", file=file, response_format="verbose_json", timestamp_granularities=["segment"]
            )

    async def speak(text: str) -> object:
        answer = await client.audio.speech.create(model="tts-1", voice="alloy", input=text, response_format="wav")
        return await answer.aread()

    return speak if kind == "speech" else hear


def litellm_calls(base_url: str, kind: str) -> Call:
    import litellm

    async def hear(path: str) -> object:
        with open(path, "rb") as file:
            return await litellm.atranscription(
                model="openai/whisper-1", file=file, response_format="verbose_json", api_base=base_url, api_key=KEY
            )

    async def speak(text: str) -> object:
        answer = await litellm.aspeech(
            model="openai/tts-1", voice="alloy", input=text, response_format="wav", api_base=base_url, api_key=KEY
        )
        return answer.content

    return speak if kind == "speech" else hear


async def make_all(call: Call, asks: list[str], width: int) -> None:
    """Every call once, `width` of them at a time."""
    rest = iter(asks)

    async def work() -> None:
        for ask in rest:
            assert await call(ask)

    await asyncio.gather(*(work() for _ in range(width)))


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sdk", choices=("openai", "litellm"))
    parser.add_argument("kind", choices=("speech", "transcription"))
    parser.add_argument("--url", required=True)
    parser.add_argument("--asks", required=True, help="a file with one text or path a line")
    parser.add_argument("--width", type=int, required=True)
    given = parser.parse_args(words)
    make = openai_calls if given.sdk == "openai" else litellm_calls
    asks = Path(given.asks).read_text().splitlines()
    asyncio.run(make_all(make(given.url, given.kind), asks, given.width))


if __name__ == "__main__":
    main(sys.argv[1:])
