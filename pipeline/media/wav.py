"""Where the samples of a WAV lie. Never resamples, never decodes; the writer is `core.wav`."""

from typing import BinaryIO

from pipeline.core.errors import InputError
from pipeline.media._examination import DamagedError, Window
from pipeline.media._riff import WavLayout, layout


def read_layout(file: BinaryIO, size: int) -> WavLayout:
    """Where the samples of a WAV lie; InputError with the reason where it is not a whole one."""
    try:
        return layout(Window(file, size))
    except DamagedError as damage:
        raise InputError(f"not a WAV that can be read: {damage.reason}", code=damage.code) from damage
