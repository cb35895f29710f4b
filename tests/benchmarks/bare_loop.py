"""The bare engine's usual loop: one process, two threads, features padded to 30 s, one clip after another.

`python -m tests.benchmarks.bare_loop CLIPS RESULT.json`. Same weights and settings as the whisper route.
"""

import json
import sys
from pathlib import Path

from faster_whisper import WhisperModel

from pipeline.children import weights


def main(clips: str, result: str) -> None:
    model = WhisperModel(
        "base", device="cpu", compute_type="int8", cpu_threads=2, files=weights.load(weights.WHISPER["base"])
    )
    texts = {}
    for path in sorted(Path(clips).glob("*.wav")):
        segments, _ = model.transcribe(
            str(path),
            language="en",
            vad_filter=True,
            temperature=0.0,
            condition_on_previous_text=False,
            beam_size=5,
            word_timestamps=True,
        )
        texts[path.stem] = " ".join(segment.text.strip() for segment in segments)
    Path(result).write_text(json.dumps(texts))


if __name__ == "__main__":
    main(*sys.argv[1:])
