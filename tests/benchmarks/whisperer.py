"""(8) A folder of 200 short clips: mediaspool against whisper-ctranslate2, with the same weights and settings.

Both are whole processes that write one JSON a clip, with word times. The weights are those of the packages, written to
a folder of the kind that the other tool reads; it comes from `make peers`.
"""

import json
import tempfile
from pathlib import Path

import numpy as np

from pipeline.children import weights
from tests.benchmarks.clients import NO_PEERS
from tests.benchmarks.clips import MANIFEST, make_clips, our_texts, run_ours, word_error_rate
from tests.benchmarks.table import Row, interleaved, timed

PEER = Path(__file__).parents[2] / ".venv-bench/bin/whisper-ctranslate2"
GAINS = tuple(np.linspace(1.0, 0.61, 40))
ROUNDS = 3
MIN_SPEEDUP = 3.5
MAX_WER_LOSS = 0.005
SETTINGS = (
    "--device cpu --compute_type int8 --threads 2 --beam_size 5 --vad_filter True --word_timestamps True --language en"
    " --temperature 0 --temperature_increment_on_fallback None --condition_on_previous_text False --output_format json"
    " --verbose False --local_files_only True"
)


def measure() -> list[Row]:
    name = f"(8) {len(GAINS) * 5} short clips, whisper-ctranslate2"
    if not PEER.exists():
        return [Row(name=name, figure="not measured", beside=NO_PEERS)]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        expected = make_clips(root / "clips", GAINS)
        (root / "bench.toml").write_text(MANIFEST)
        model = write_model(root / "model")
        rounds = iter(range(100))
        theirs, ours = interleaved(
            ROUNDS, lambda: run_theirs(root, model, next(rounds)), lambda: run_ours(root, next(rounds))
        )
        wer_theirs = word_error_rate(their_texts(root), expected)
        wer_ours = word_error_rate(our_texts(root), expected)
    ratio = theirs / ours
    return [
        Row(
            name=name,
            figure=f"{ours:.1f} s, WER {wer_ours:.1%}",
            beside=f"whisper-ctranslate2 {theirs:.1f} s, WER {wer_theirs:.1%}: {ratio:.2f} x",
            target=f">= {MIN_SPEEDUP:g} x at equal WER",
            is_met=ratio >= MIN_SPEEDUP and wer_ours <= wer_theirs + MAX_WER_LOSS,
        )
    ]


def write_model(folder: Path) -> Path:
    folder.mkdir()
    for name, body in weights.load(weights.WHISPER["base"]).items():
        (folder / name).write_bytes(body)
    return folder


def run_theirs(root: Path, model: Path, number: int) -> float:
    out = root / f"theirs{number}"
    (root / "theirs").write_text(out.name)
    clips = [str(path) for path in sorted((root / "clips").glob("*.wav"))]
    command = [str(PEER), *SETTINGS.split(), "--model_directory", str(model), "--output_dir", str(out), *clips]
    return timed(command)


def their_texts(root: Path) -> dict[str, str]:
    out = root / (root / "theirs").read_text()
    return {
        path.stem: " ".join(segment["text"].strip() for segment in json.loads(path.read_text())["segments"])
        for path in out.glob("*.json")
    }
