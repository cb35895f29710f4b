"""(1) A folder of short clips: mediaspool against the bare engine's usual loop, and against its own children alone.

The clips are the sample recordings at six loudnesses each, so that no two have the same bytes: generated variants of
real speech. Both sides use Whisper base int8, VAD, beam 5, temperature 0 and word times; each run is a whole process.
"""

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import av
import jiwer
import numpy as np
import trio

from pipeline.children.lanes import Lanes, auto_workers
from pipeline.core.drivers import RouteConfig
from pipeline.core.model import Media, RouteId, Sha256
from pipeline.core.operations import MediaRef, Transcribe
from pipeline.core.wav import wrap_pcm
from pipeline.routes.whisper import open_driver
from tests.benchmarks.table import Row, interleaved, timed
from tests.exchanges import RecordingExchange, tools

SAMPLES = Path(__file__).parents[2] / "samples/media"
SPOKEN = {
    "jfk.wav": "and so my fellow americans ask not what your country can do for you"
    " ask what you can do for your country",
    "austen-0870.wav": "and mister john dashwood had then leisure to consider how much there might be prudently in his"
    " power to do for them",
    "austen-0880.wav": "he was not an ill disposed young man",
    "austen-0930.wav": "he might even have been made amiable himself",
    "commonvoice-22058266.mp3": "firefox",
}
GAINS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75)
RATE = 16_000
ROUNDS = 3
Samples = np.ndarray[tuple[int], np.dtype[np.float32]]
MIN_SPEEDUP = 3.0
MAX_OVERHEAD = 0.05
MAX_WER_LOSS = 0.005
MANIFEST = """
schema = 1
name = "bench"
[[folder]]
id = "clips"
glob = "clips/*.wav"
accept = ["audio"]
settle = "0s"
out = "out/{stem}.{ext}"
  [[folder.step]]
  id = "text"
  kind = "transcription"
  language = "en"
  formats = ["json"]
"""


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        expected = make_clips(root / "clips")
        (root / "bench.toml").write_text(MANIFEST)
        rounds = iter(range(100))
        bare, ours, children = interleaved(
            ROUNDS,
            lambda: timed(
                [sys.executable, "-m", "tests.benchmarks.bare_loop", str(root / "clips"), str(root / "bare.json")]
            ),
            lambda: run_ours(root, next(rounds)),
            lambda: trio.run(run_children, root),
        )
        wer_bare = word_error_rate(json.loads((root / "bare.json").read_text()), expected)
        wer_ours = word_error_rate(our_texts(root), expected)
    ratio, overhead = bare / ours, ours / children - 1
    return [
        Row(
            name=f"(1) {len(expected)} short clips",
            figure=f"{ours:.1f} s, WER {wer_ours:.1%}",
            beside=f"bare loop {bare:.1f} s, WER {wer_bare:.1%}: {ratio:.2f} x",
            target=f">= {MIN_SPEEDUP:g} x at equal WER",
            is_met=ratio >= MIN_SPEEDUP and wer_ours <= wer_bare + MAX_WER_LOSS,
        ),
        Row(
            name="    our overhead over the engine's own work",
            figure=f"{overhead:.1%}",
            beside=f"the same children alone {children:.1f} s",
            target=f"< {MAX_OVERHEAD:.0%}",
            is_met=overhead < MAX_OVERHEAD,
        ),
    ]


def make_clips(folder: Path, gains: Sequence[float] = GAINS) -> dict[str, str]:
    """The clips as 16 kHz mono WAV, and what is said in each."""
    folder.mkdir()
    expected = {}
    for name, text in SPOKEN.items():
        samples = decode(SAMPLES / name)
        for number, gain in enumerate(gains):
            stem = f"{Path(name).stem}-{number}"
            body = (samples * gain * 32767).clip(-32768, 32767).astype("<i2").tobytes()
            (folder / f"{stem}.wav").write_bytes(wrap_pcm(body, rate=RATE, channels=1))
            expected[stem] = text
    return expected


def decode(path: Path) -> Samples:
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
    with av.open(str(path)) as container:
        frames = [out.to_ndarray() for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    samples: Samples = np.concatenate(frames, axis=1)[0]
    return samples


def run_ours(root: Path, number: int) -> float:
    """A whole process on a fresh spool and a fresh output folder, so that nothing is unchanged."""
    manifest = root / f"bench{number}.toml"
    manifest.write_text(MANIFEST.replace("out/", f"out{number}/"))
    (root / "latest").write_text(f"out{number}")
    return timed([sys.executable, "-m", "pipeline", "run", str(manifest), "--spool", str(root / f"spool{number}")])


def our_texts(root: Path) -> dict[str, str]:
    out = root / (root / "latest").read_text()
    texts = {}
    for path in out.glob("*.json"):
        if not path.name.endswith(".receipt.json"):
            texts[path.stem] = " ".join(segment["text"] for segment in json.loads(path.read_text())["segments"])
    return texts


async def run_children(root: Path) -> float:
    """The engine's own work: the same stage in the same children, without ledger, store or products."""
    started = time.perf_counter()
    staging = root / "staging"
    staging.mkdir(exist_ok=True)
    workers = auto_workers()
    lanes = Lanes(
        roots={"r0": str(root)}, staging=str(staging), engine_workers=workers, media_workers=1, memory_mb=2500
    )
    driver = open_driver(RouteConfig(id=RouteId("whisper"), driver="whisper", width=workers), tools(lanes))
    binding = driver.bind("transcribe", None)
    try:
        async with trio.open_nursery() as nursery:
            for path in sorted((root / "clips").glob("*.wav")):
                nursery.start_soon(driver.perform, ask(path), binding, RecordingExchange())
    finally:
        lanes.close()
    return time.perf_counter() - started


def ask(path: Path) -> Transcribe:
    media = Media(media_type="audio/wav", family="audio", extension="wav", demuxer="wav")
    size = path.stat().st_size
    audio = MediaRef(sha256=Sha256("0" * 64), path=str(path), size=size, media=media, seconds=(size - 44) / RATE / 2)
    return Transcribe(audio=audio, language="en")


def word_error_rate(texts: dict[str, str], expected: dict[str, str]) -> float:
    """On lower case words without punctuation; a missing text counts all its words."""
    normal = jiwer.Compose(
        [jiwer.ToLowerCase(), jiwer.RemovePunctuation(), jiwer.Strip()]  # type: ignore[no-untyped-call]  # untyped there
    )
    stems = sorted(expected)
    spoken = [normal(texts.get(stem, "").replace("Mr.", "mister")) for stem in stems]
    return float(jiwer.wer([expected[stem] for stem in stems], spoken))
