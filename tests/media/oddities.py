"""What must be refused: other formats, files that only begin like one, files inside files, headers that lie."""

import gzip
import io
import random
import struct
import zipfile

from tests.media.foundry import Recipe, made
from tests.media.zoo import PAGE, SAMPLES, Specimen, chunk, id3, png, sound_format, wave

FOREIGN: dict[str, Recipe] = {
    "avi": Recipe(muxer="avi", sound="libmp3lame", picture="libx264"),
    "flv": Recipe(muxer="flv", sound="aac", picture="libx264", rate=44100),
    "mpeg-ts": Recipe(muxer="mpegts", sound="aac", picture="libx264"),
    "w64": Recipe(muxer="w64", sound="pcm_s16le"),
    "aiff": Recipe(muxer="aiff", sound="pcm_s16be"),
    "au": Recipe(muxer="au", sound="pcm_s16be"),
    "caf": Recipe(muxer="caf", sound="pcm_s16le"),
}


def archive() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as file:
        file.writestr("a.txt", "hello")
    return target.getvalue()


def box(name: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body) + 8) + name + body


def _foreign() -> dict[str, bytes]:
    noise = random.Random(1)
    made_here = {name: made(recipe) for name, recipe in FOREIGN.items()}
    return made_here | {
        "nothing": b"",
        "zip": archive(),
        "gzip": gzip.compress(b"hello" * 100),
        "elf": b"\x7fELF\x02\x01\x01" + bytes(57),
        "svg": b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"></svg>\n',
        "xml": b'<?xml version="1.0"?>\n<rss version="2.0"></rss>\n',
        "zeros": bytes(4000),
        "noise": noise.randbytes(20_000),
        "pcm": b"".join(struct.pack("<h", at * 300 % 20000 - 10000) for at in range(4000)),
        "latin-1-text": "Grüße aus Köln, wie geht es dir?\n".encode("latin-1") * 20,
        "text-with-nul": b"hello world\n" * 300 + b"\0",
    }


def _dressed_up(whole: dict[str, Specimen]) -> dict[str, bytes]:
    """The polyglots: a signature of one thing around another."""
    playlist, page = whole["playlist"].body, PAGE.encode()
    return {
        "riff-around-playlist": b"RIFF" + struct.pack("<I", 200) + b"WAVE" + playlist + bytes(180),
        "riff-around-page": b"RIFF\xff\xff\xff\xffWAVE" + page,
        "12-byte-webp": b"RIFF\x04\0\0\0WEBP",
        "24-byte-mp4": b"\0\0\0\x18ftypisom\0\0\2\0isommp42",
        "avif-around-script": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1<script>alert(1)</script>" * 3,
        "jpeg-magic-and-page": b"\xff\xd8\xff\xe0" + page,
        "jpeg-start-and-page": whole["jpeg"].body[:20] + page,
        "png-and-zip": png() + archive(),
        "gif-and-script": b"GIF89a/*" + bytes(5) + b"*/=1;alert(1);",
        "gif-and-zip": whole["gif"].body + archive(),
        "webp-and-zip": whole["webp"].body + archive(),
        "wav-and-zip": whole["wav"].body + archive(),
        "wav-and-page": whole["wav"].body + page,
        "mp3-and-page": whole["mp3-bare"].body + page,
        "mp3-and-zip": whole["mp3-bare"].body + archive(),
        "ogg-and-zip": whole["ogg-opus"].body + archive(),
        "flac-and-zip": whole["flac"].body + archive(),
        "mp4-and-zip": whole["mp4"].body + archive(),
        "webm-and-zip": whole["webm"].body + archive(),
        "pdf-and-zip": whole["pdf"].body + archive(),
        "jpeg-and-zip": whole["jpeg"].body + archive(),
        "page-behind-tag": id3(padding=100) + page,
        "png-behind-tag": id3(padding=100) + png(),
        "nothing-behind-tag": id3(padding=100),
        "mp3-behind-junk": b"\x01\x02\x03junk" * 9 + whole["mp3-bare"].body,
        "mp3-cut-at-the-front": whole["mp3-bare"].body[50:],
        "reference-movie": box(b"ftyp", b"qt  \0\0\0\0qt  ") + box(b"moov", box(b"rmra", box(b"rmda", bytes(40)))),
    }


def _lying(whole: dict[str, Specimen]) -> dict[str, bytes]:
    """Headers that state what is not so."""
    data = chunk(b"data", SAMPLES)
    wav, flac = whole["wav-plain"].body, whole["flac"].body
    return {
        "wav-header-only": wave(sound_format(), chunk(b"data", b"")),
        "wav-size-open": wav[:40] + b"\xff\xff\xff\xff" + wav[44:],
        "wav-size-zero": wav[:4] + bytes(4) + wav[8:40] + bytes(4) + wav[44:],
        "wav-riff-too-short": wav[:4] + struct.pack("<I", 100) + wav[8:],
        "wav-riff-too-long": wav[:4] + struct.pack("<I", 99_999) + wav[8:],
        "wav-1-hz": wave(sound_format(rate=1), data),
        "wav-no-channels": wave(sound_format(channels=0), data),
        "wav-without-format": wave(data),
        "wav-half-a-sample": wave(sound_format(), chunk(b"data", SAMPLES[:-1])),
        "wav-wrong-pace": wave(chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 16000, 99, 2, 16)), data),
        "wav-wrong-frame": wave(chunk(b"fmt ", struct.pack("<HHIIHH", 1, 2, 16000, 32000, 2, 16)), data),
        "wav-unknown-codec": wave(chunk(b"fmt ", struct.pack("<HHIIHH", 0x7777, 1, 16000, 32000, 2, 16)), data),
        "flac-more-samples": flac[:22] + b"\xff" + flac[23:],
        "flac-headers-only": flac[:42],
        "png-bad-checksum": png()[:-5] + b"\0" + png()[-4:],
        "png-headers-only": png()[:33] + png()[-12:],
        "ogg-bad-checksum": whole["ogg-opus"].body[:-1] + b"\0",
        "mp3-frames-missing": whole["mp3"].body[: -5 * 192],
        "json-too-early": b'{"text": "it stops he',
    }


def odd_files(whole: dict[str, Specimen]) -> dict[str, Specimen]:
    """Everything that must be refused, by name."""
    bodies = _foreign() | _dressed_up(whole) | _lying(whole)
    return {name: Specimen(name=name, body=body, cuts="untold") for name, body in bodies.items()}
