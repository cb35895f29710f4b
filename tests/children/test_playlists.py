"""Invariant 27: a playlist dressed as audio never makes a child open another file or reach a network.

The zoo is HLS and ffconcat, absolute, relative and over HTTP. Watched are the canary files (inotify) and a port.
"""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import av as pyav
import msgspec
import pytest

from pipeline.children import audio, files
from pipeline.children.lanes import Lane, Lanes
from pipeline.children.stage import FileRef, StageSpec
from pipeline.children.whisper_work import WhisperParams
from pipeline.core.errors import InputError
from pipeline.media import av
from tests.children.conftest import Watch, tone

DEMUXERS = ("wav", "mp3", "ogg", "flac", "aac", "mov", "matroska")
pytestmark = pytest.mark.real_time


class Zoo:
    """Playlists in a folder, and what would notice if one were followed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        canaries = [folder / "canary.wav", folder / "canary.ts", folder / "relative.wav"]
        for canary in canaries:
            canary.write_bytes(tone(1.0))
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.setblocking(False)
        self._write(canaries[1], self.server.getsockname()[1])
        self.watch = Watch(*canaries)

    def _write(self, canary: Path, port: int) -> None:
        hls = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:9\n#EXTINF:9.0,\n{}\n#EXT-X-ENDLIST\n"
        web = f"http://127.0.0.1:{port}/canary.wav"
        for name, text in {
            "hls-file": hls.format(f"file://{canary}"),
            "hls-path": hls.format(canary),
            "hls-concat": hls.format(f"concat:{canary}|{canary}"),
            "hls-web": hls.format(web),
            "concat-relative": "ffconcat version 1.0\nfile relative.wav\n",
            "concat-absolute": f"ffconcat version 1.0\nfile '{canary}'\n",
            "concat-web": f"ffconcat version 1.0\nfile '{web}'\n",
        }.items():
            (self.folder / f"{name}.list").write_text(text)

    def playlists(self) -> list[Path]:
        return sorted(self.folder.glob("*.list"))

    def was_fooled(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            self.server.accept()[0].close()
            return True
        return self.watch.was_touched()


@pytest.fixture
def zoo(tmp_path: Path, lanes: Lanes) -> Iterator[Zoo]:
    made = Zoo(tmp_path / "in")
    yield made
    made.server.close()
    made.watch.close()


def is_heard(playlist: Path, demuxer: str) -> bool:
    """Does our own opening find a single frame in it?"""
    ref = FileRef(root="in", path=playlist.name)
    try:
        with files.source(ref, {"in": str(playlist.parent)}) as source, audio.opened(source, demuxer) as container:
            decoder = audio.Decoder(container, audio.audio_stream(container, 0), max_seconds=60)
            return next(decoder.frames(), None) is not None
    except InputError:
        return False


def transcribe(ref: FileRef, demuxer: str) -> StageSpec:
    params = WhisperParams(model="tiny.en", name="tiny.en", engine="e", demuxer=demuxer)
    output = FileRef(root="staging", path="heard.json")
    raw = msgspec.Raw(msgspec.json.encode(params))
    return StageSpec(stage="whisper_stage:transcribe", inputs=(ref,), output=output, params=raw)


async def refused(lanes: Lanes, lane: Lane, spec: StageSpec) -> bool:
    try:
        await lanes.run(lane, spec)
    except InputError:
        return True
    return False


def test_invariant_27_decoding_a_playlist_opens_nothing_else(zoo: Zoo) -> None:
    assert len(zoo.playlists()) == 7
    for playlist in zoo.playlists():
        for demuxer in DEMUXERS:
            assert not is_heard(playlist, demuxer), (playlist.name, demuxer)
            assert not zoo.was_fooled(), (playlist.name, demuxer)


async def test_invariant_27_encoding_a_playlist_opens_nothing_else(lanes: Lanes, zoo: Zoo) -> None:
    for playlist in zoo.playlists():
        spec = av.encode([lanes.ref(str(playlist))], lanes.scratch(".flac"), media_type="audio/flac")
        assert await refused(lanes, "media", spec), playlist.name
        assert not zoo.was_fooled(), playlist.name


@pytest.mark.engines
async def test_invariant_27_transcribing_a_playlist_opens_nothing_else(lanes: Lanes, zoo: Zoo) -> None:
    for playlist in zoo.playlists():
        for demuxer in DEMUXERS:
            assert await refused(lanes, "engine", transcribe(lanes.ref(str(playlist)), demuxer)), (playlist, demuxer)
            assert not zoo.was_fooled(), (playlist.name, demuxer)


def test_invariant_27_even_as_a_playlist_no_entry_is_followed(zoo: Zoo) -> None:
    """The second guard alone: with the playlist's own demuxer forced, the opening of its entries is refused."""
    for playlist in zoo.playlists():
        demuxer = playlist.name.partition("-")[0]
        assert not is_heard(playlist, demuxer), playlist.name
        assert not zoo.was_fooled(), playlist.name


def test_the_canary_notices_an_unguarded_open(zoo: Zoo) -> None:
    with pyav.open(str(zoo.folder / "concat-relative.list")) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) == 16_000
    assert zoo.was_fooled()
    assert not zoo.was_fooled()
