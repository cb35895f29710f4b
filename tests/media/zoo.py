"""The zoo: whole files of every format that is taken, made by PyAV or by hand, with what each must be called."""

import struct
import zlib
from typing import Literal

from msgspec import Struct

from tests.media.foundry import Recipe, made

Cuts = Literal["refused", "boundary", "untold"]


class Specimen(Struct, frozen=True, kw_only=True):
    """`media_type` None means that it must be refused. `cuts` says what becomes of a shortened copy: refused wherever
    it is cut; refused unless it is cut exactly between two units; or not to be told from a whole one.
    """

    name: str
    body: bytes
    media_type: str | None = None
    extension: str = ""
    cuts: Cuts = "refused"


RECIPES: dict[str, tuple[Recipe, str, str, Cuts]] = {
    "wav": (Recipe(muxer="wav", sound="pcm_s16le"), "audio/wav", "wav", "refused"),
    "wav-24-bit-extensible": (Recipe(muxer="wav", sound="pcm_s24le", channels=2), "audio/wav", "wav", "refused"),
    "wav-float": (Recipe(muxer="wav", sound="pcm_f32le"), "audio/wav", "wav", "refused"),
    "wav-mu-law": (Recipe(muxer="wav", sound="pcm_mulaw"), "audio/wav", "wav", "refused"),
    "wav-a-law": (Recipe(muxer="wav", sound="pcm_alaw"), "audio/wav", "wav", "refused"),
    "wav-adpcm": (Recipe(muxer="wav", sound="adpcm_ms"), "audio/wav", "wav", "refused"),
    "wav-ima": (Recipe(muxer="wav", sound="adpcm_ima_wav"), "audio/wav", "wav", "refused"),
    "wav-rf64": (Recipe(muxer="wav", sound="pcm_s16le", options={"rf64": "always"}), "audio/wav", "wav", "refused"),
    "mp3": (Recipe(muxer="mp3", sound="libmp3lame"), "audio/mpeg", "mp3", "boundary"),
    "mp3-bare": (
        Recipe(muxer="mp3", sound="libmp3lame", options={"write_xing": "0", "id3v2_version": "0"}),
        "audio/mpeg",
        "mp3",
        "boundary",
    ),
    "mp3-id3v1": (
        Recipe(muxer="mp3", sound="libmp3lame", options={"write_id3v1": "1"}, tags={"title": "x"}),
        "audio/mpeg",
        "mp3",
        "boundary",
    ),
    "mp3-variable": (
        Recipe(muxer="mp3", sound="libmp3lame", channels=2, codec_options={"q": "4", "flags": "+qscale"}),
        "audio/mpeg",
        "mp3",
        "boundary",
    ),
    "mp3-mpeg-2": (Recipe(muxer="mp3", sound="libmp3lame", rate=22050), "audio/mpeg", "mp3", "boundary"),
    "mp3-mpeg-2.5": (Recipe(muxer="mp3", sound="libmp3lame", rate=8000), "audio/mpeg", "mp3", "boundary"),
    "mp3-live": (Recipe(muxer="mp3", sound="libmp3lame", is_live=True), "audio/mpeg", "mp3", "boundary"),
    "mp2": (Recipe(muxer="mp2", sound="mp2"), "audio/mpeg", "mp3", "boundary"),
    "ogg-opus": (Recipe(muxer="ogg", sound="libopus"), "audio/ogg", "ogg", "refused"),
    "ogg-vorbis": (
        Recipe(muxer="ogg", sound="vorbis", channels=2, codec_options={"strict": "experimental"}),
        "audio/ogg",
        "ogg",
        "refused",
    ),
    "ogg-flac": (Recipe(muxer="ogg", sound="flac"), "audio/ogg", "ogg", "refused"),
    "flac": (Recipe(muxer="flac", sound="flac"), "audio/flac", "flac", "refused"),
    "flac-live": (Recipe(muxer="flac", sound="flac", is_live=True), "audio/flac", "flac", "boundary"),
    "aac": (Recipe(muxer="adts", sound="aac"), "audio/aac", "aac", "boundary"),
    "m4a": (Recipe(muxer="ipod", sound="aac"), "audio/mp4", "m4a", "refused"),
    "m4a-alac": (Recipe(muxer="ipod", sound="alac"), "audio/mp4", "m4a", "refused"),
    "mp4-sound-only": (Recipe(muxer="mp4", sound="aac"), "audio/mp4", "m4a", "refused"),
    "mp4-sound-fast-start": (
        Recipe(muxer="mp4", sound="aac", options={"movflags": "faststart"}),
        "audio/mp4",
        "m4a",
        "refused",
    ),
    "mp4-sound-fragmented": (
        Recipe(muxer="mp4", sound="aac", options={"movflags": "frag_keyframe+empty_moov"}),
        "audio/mp4",
        "m4a",
        "boundary",
    ),
    "mov-sound-only": (Recipe(muxer="mov", sound="aac"), "audio/mp4", "mov", "refused"),
    "3gp-sound-only": (Recipe(muxer="3gp", sound="aac"), "audio/mp4", "3gp", "refused"),
    "mp4": (Recipe(muxer="mp4", sound="aac", picture="libx264"), "video/mp4", "mp4", "refused"),
    "mp4-silent": (Recipe(muxer="mp4", picture="libx264"), "video/mp4", "mp4", "refused"),
    "mp4-fast-start": (
        Recipe(muxer="mp4", sound="aac", picture="libx264", options={"movflags": "faststart"}),
        "video/mp4",
        "mp4",
        "refused",
    ),
    "mp4-fragmented": (
        Recipe(muxer="mp4", sound="aac", picture="libx264", options={"movflags": "frag_keyframe+empty_moov"}),
        "video/mp4",
        "mp4",
        "boundary",
    ),
    "mov": (Recipe(muxer="mov", sound="aac", picture="libx264"), "video/mp4", "mov", "refused"),
    "webm-sound-only": (Recipe(muxer="webm", sound="libopus"), "audio/webm", "webm", "refused"),
    "webm-sound-live": (
        Recipe(muxer="webm", sound="libopus", is_live=True, options={"live": "1"}),
        "audio/webm",
        "webm",
        "boundary",
    ),
    "webm": (Recipe(muxer="webm", sound="libopus", picture="libvpx"), "video/webm", "webm", "refused"),
    "mka": (Recipe(muxer="matroska", sound="flac"), "audio/x-matroska", "mka", "refused"),
    "mkv": (Recipe(muxer="matroska", sound="aac", picture="libx264"), "video/x-matroska", "mkv", "refused"),
    "mkv-live": (
        Recipe(muxer="matroska", sound="libopus", picture="libx264", is_live=True),
        "video/x-matroska",
        "mkv",
        "boundary",
    ),
    "png-pyav": (Recipe(muxer="image2pipe", picture="png", pixels="rgb24", frames=1), "image/png", "png", "refused"),
    "apng": (Recipe(muxer="apng", picture="apng", pixels="rgb24"), "image/png", "png", "refused"),
    "jpeg": (
        Recipe(muxer="image2pipe", picture="mjpeg", pixels="yuvj420p", frames=1),
        "image/jpeg",
        "jpg",
        "refused",
    ),
    "gif": (Recipe(muxer="gif", picture="gif", pixels="rgb8"), "image/gif", "gif", "refused"),
    "webp": (Recipe(muxer="webp", picture="libwebp", frames=1), "image/webp", "webp", "refused"),
    "webp-lossless": (
        Recipe(muxer="webp", picture="libwebp", frames=1, pixels="bgra", codec_options={"lossless": "1"}),
        "image/webp",
        "webp",
        "refused",
    ),
    "webp-animated": (Recipe(muxer="webp", picture="libwebp_anim", frames=5), "image/webp", "webp", "refused"),
}


def id3(*frames: bytes, padding: int = 0) -> bytes:
    """An ID3v2.3 tag around frames that are whole already."""
    body = b"".join(frames) + bytes(padding)
    size = bytes(len(body) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + size + body


def cover(size: int) -> bytes:
    picture = b"\0image/jpeg\0\x03\0" + b"\xff\xd8\xff\xe0" + bytes(at * 7 % 251 for at in range(size))
    return b"APIC" + struct.pack(">IH", len(picture), 0) + picture


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) & 1)


def wave(*chunks: bytes) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def sound_format(rate: int = 16000, channels: int = 1, bits: int = 16) -> bytes:
    width = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", 1, channels, rate, rate * width, width, bits))


SAMPLES = bytes(at * 37 % 256 for at in range(4000))


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int = 8, height: int = 8) -> bytes:
    rows = b"".join(b"\0" + bytes(range(3 * width)) for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [png_chunk(b"IHDR", header), png_chunk(b"IDAT", zlib.compress(rows)), png_chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def pdf(end: bytes = b"") -> bytes:
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] >>",
    ]
    body, places = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", []
    for number, text in enumerate(objects, start=1):
        places.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, text)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    trailer = b"trailer\n<< /Size 4 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % len(body)
    return body + b"xref\n0 4\n0000000000 65535 f \n" + table + trailer + end


def jpeg_with_thumbnail(plain: bytes) -> bytes:
    """The same picture with an Exif segment that holds a whole small JPEG, end marker and all."""
    inner = b"Exif\0\0" + plain
    return plain[:2] + b"\xff\xe1" + struct.pack(">H", len(inner) + 2) + inner + plain[2:]


PROSE = "Das ist ein Text.\n\nIt has several lines, and 日本語 too.\n" * 40
CUES = "1\n00:00:00,000 --> 00:00:01,500\nGood morning.\n\n2\n00:00:02,000 --> 00:00:03,000\nBye.\n"
PAGE = "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head><body>no</body></html>\n"


def _texts() -> list[Specimen]:
    def text(name: str, body: str | bytes, media_type: str, extension: str, cuts: Cuts = "untold") -> Specimen:
        data = body.encode() if isinstance(body, str) else body
        return Specimen(name=name, body=data, media_type=media_type, extension=extension, cuts=cuts)

    return [
        text("prose", PROSE, "text/plain", "txt"),
        text("prose-one-letter", "a", "text/plain", "txt"),
        text("prose-utf-8-mark", b"\xef\xbb\xbf" + PROSE.encode(), "text/plain", "txt"),
        text("prose-utf-16", PROSE.encode("utf-16"), "text/plain", "txt"),
        text("markdown", "# Title\n\n<h1 align=center>Centred</h1>\n\n* one\n", "text/plain", "txt"),
        text("event-stream", 'data: {"delta":"x"}\n\ndata: [DONE]\n\n', "text/plain", "txt"),
        text("base64", "UklGRiQAAABXQVZFZm10IBAAAAABAAEA" * 20, "text/plain", "txt"),
        text("concat-list", "ffconcat version 1.0\nfile other.wav\n", "text/plain", "txt"),
        text(
            "json",
            '{"error":{"code":429,"message":"slow down"},"list":[1,2.5,true,null]}',
            "application/json",
            "json",
            "refused",
        ),
        text("json-list", '[{"a": "b\\u00e9"}, {"c": -1.5e3}]', "application/json", "json", "refused"),
        text("html", PAGE, "text/html", "html"),
        text("html-without-doctype", "\n  <!-- x --><html><body>no</body></html>", "text/html", "html"),
        text("vtt", "WEBVTT\n\n00:00.000 --> 00:01.000\nGood morning.\n", "text/vtt", "vtt"),
        text("srt", CUES, "application/x-subrip", "srt"),
        text("srt-windows", b"\xef\xbb\xbf" + CUES.replace("\n", "\r\n").encode(), "application/x-subrip", "srt"),
        text("playlist", "#EXTM3U\n#EXTINF:1,\n/etc/passwd.ts\n", "application/vnd.apple.mpegurl", "m3u8"),
    ]


def _by_hand(real: dict[str, Specimen]) -> list[Specimen]:
    def like(base: str, name: str, body: bytes, cuts: Cuts | None = None) -> Specimen:
        other = real[base]
        return Specimen(
            name=name, body=body, media_type=other.media_type, extension=other.extension, cuts=cuts or other.cuts
        )

    bare = real["mp3-bare"].body
    return [
        like("wav", "wav-plain", wave(sound_format(), chunk(b"data", SAMPLES))),
        like("wav", "wav-junk-first", wave(chunk(b"JUNK", bytes(28)), sound_format(), chunk(b"data", SAMPLES))),
        like("wav", "wav-bext-first", wave(chunk(b"bext", bytes(3000)), sound_format(), chunk(b"data", SAMPLES))),
        like("wav", "wav-list-last", wave(sound_format(), chunk(b"data", SAMPLES), chunk(b"LIST", b"INFOISFT"))),
        like("wav", "wav-8-bit-odd", wave(sound_format(bits=8), chunk(b"data", SAMPLES[:999])), "untold"),
        like("mp3", "mp3-99-kB-cover", id3(cover(99_000)) + bare),
        like("mp3", "mp3-two-tags", id3(cover(300)) + id3(padding=500) + bare),
        like("mp3", "mp3-zeros-behind-tag", id3(cover(300)) + bytes(1000) + bare),
        like("mp3", "mp3-tag-inside", bare + id3(cover(5000)) + bare),
        like("aac", "aac-behind-tag", id3(padding=63) + real["aac"].body),
        like("flac", "flac-behind-tag", id3(cover(9000)) + real["flac"].body),
        like("ogg-opus", "ogg-chained", real["ogg-opus"].body + real["ogg-vorbis"].body, "boundary"),
        like("jpeg", "jpeg-thumbnail", jpeg_with_thumbnail(real["jpeg"].body)),
        like("jpeg", "jpeg-padded", real["jpeg"].body + bytes(64), "untold"),
        Specimen(name="png", body=png(), media_type="image/png", extension="png"),
        Specimen(name="pdf", body=pdf(), media_type="application/pdf", extension="pdf"),
        Specimen(
            name="pdf-newlines", body=pdf(b"\r\n\n"), media_type="application/pdf", extension="pdf", cuts="untold"
        ),
    ]


def whole_files() -> dict[str, Specimen]:
    """Everything that must be taken, by name."""
    real = {
        name: Specimen(name=name, body=made(recipe), media_type=media_type, extension=extension, cuts=cuts)
        for name, (recipe, media_type, extension, cuts) in RECIPES.items()
    }
    return real | {each.name: each for each in (*_by_hand(real), *_texts())}
