"""The bare engine on one long recording: its sequential call, or its batched mode. One process, two threads.

`python -m tests.benchmarks.long_loop RECORDING RESULT.json sequential|batched`. Same weights and settings as our route.
"""

import json
import sys
from pathlib import Path

from faster_whisper import BatchedInferencePipeline, WhisperModel

from pipeline.children import weights


def main(recording: str, result: str, mode: str) -> None:
    model = WhisperModel(
        "base", device="cpu", compute_type="int8", cpu_threads=2, files=weights.load(weights.WHISPER["base"])
    )
    engine = BatchedInferencePipeline(model) if mode == "batched" else model
    segments, _ = engine.transcribe(
        recording,
        language="en",
        vad_filter=True,
        temperature=0.0,
        condition_on_previous_text=False,
        beam_size=5,
        word_timestamps=True,
    )
    told = [{"text": segment.text.strip(), "words": [[w.start, w.word] for w in segment.words]} for segment in segments]
    Path(result).write_text(json.dumps({"segments": told}))


if __name__ == "__main__":
    main(*sys.argv[1:])
