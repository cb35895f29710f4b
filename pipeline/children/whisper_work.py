"""What the whisper stage is asked and what it answers, on both sides of the process border. No engine here."""

from msgspec import Struct


class WhisperParams(Struct, frozen=True, kw_only=True):
    """`model` is a packaged name or the absolute path of a CTranslate2 folder. `language` None means detect.

    `expected_seconds` is what the container declares; fewer decoded seconds are damage. `name` and `engine` are what
    the transcript says of who made it.
    """

    model: str
    name: str
    engine: str
    demuxer: str
    language: str | None = None
    words: bool = True
    track: int = 0
    multilingual: bool = True
    expected_seconds: float | None = None


class WhisperFacts(Struct, frozen=True, kw_only=True):
    """Numbers about a transcript, never a word of it."""

    seconds: float
    speech_seconds: float
    segments: int
    windows: int
    language: str | None
    size: int
