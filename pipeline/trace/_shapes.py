"""What is private by its name or by its look: tables only, read by `redact`.

`by_name` judges a field. `shapes` finds keys, tokens, URLs with secrets, media in text form and `name: value` pairs in
free text. Both prefer to hide too much: a message with a hole still has its error code beside it.
"""

import re
from collections.abc import Iterator
from typing import Literal

from pipeline.trace._readings import Span

Privacy = Literal["secret", "content"]

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_HIDE_ALL = re.compile(
    r"auth|authorization|bearer|cookie|credentials?|jwt|key|otp|pin|private|pwd|session|sig|signature|token"
)
_HIDE_ALL_WITHIN = re.compile(r"apikey|accesskey|accesstoken|authorization|cookie|credential|passw|passphrase|secret")
# Numbers under these names are counts (input_tokens = 12) and stay. `job`, because its id is often a file's name.
_HIDE_WORDS = re.compile(
    r"(?:address|body|caption|comment|content|email|file|filename|folder|input|instruction|job|key|line|lyrics|name"
    r"|note|output|path|phone|prompt|query|quote|reference|stem|subject|summary|system|text|title|token|transcript"
    r"|uri|url|user|utterance|word)s?"
)

_TO_END_OF_LINE = (
    r"(?i)(?:authorization|cookie|passw(?:or)?d|passphrase|(?<![a-z])pwd|secret|credential|signature"
    r"|api[_ -]?key|access[_-]?key|private[_-]?key|(?<![a-z])key|session[_-]?id|token(?!s)|tokens(?!\W{1,6}\d+\b))"
    r"[\w-]{0,40}(?:\s(?:provided|given|used|is|was))?\\{0,8}[\"']?\s{0,8}[:=](?P<hide>[^\r\n]*)"
)
_TO_END_OF_TEXT = (
    r"(?is)(?<![a-z])(?:prompt|text|input|content|instruction|lyrics|caption|transcript|utterance|query|body|quote)s?"
    r"\\{0,8}[\"']?\s{0,8}[:=](?P<hide>.*)"
)
_TEXT_SHAPES = tuple(
    re.compile(shape)
    for shape in (
        _TO_END_OF_LINE,
        _TO_END_OF_TEXT,
        r"(?P<hide>\b(?:sk|pk|rk)[-_][\w-]{6,})",
        r"(?P<hide>\b(?:gh[pousr]_|github_pat_|glpat-|hf_|gsk_|xai-|r8_|xox[a-z]-|AIza|ya29\.|AKIA|ASIA)[\w.-]{8,})",
        r"(?i)\bbearer\s+(?P<hide>[^\s\"']+)",
        r"(?i)\bbasic\s+(?P<hide>[\w+/=-]{8,})",
        r"(?P<hide>\beyJ[\w-]{4,}(?:\.[\w-]*){0,4})",
        r"(?s)(?P<hide>-----BEGIN[ A-Z]{0,40}PRIVATE KEY-----.*?(?:-----END|$))",
        r"(?i)(?P<hide>\bdata:[\w.+/-]*(?:;[\w.+=-]*)*,\S*)",
        # Hashes in hex name our own bytes and stay readable; every other long run may be a key or media.
        r"(?P<hide>(?<![\w+/=-])(?![0-9a-f]{64}(?![\w+/=-]))[A-Za-z0-9+/_=-]{40,})",
        r"(?<=//)(?P<hide>[^\s\"'<>?#]{1,512}@)",
        r"\b[a-zA-Z][\w+.-]{1,20}://[^\s\"'<>?#]*(?P<hide>[?#][^\s\"'<>]*)",
        r"(?P<hide>[?&][\w.~\[\]-]{1,80}=[^\s\"'<>]*)",
        r"(?P<hide>[\w.+-]{1,64}@[\w-]{1,63}\.[\w.-]{1,190})",
    )
)

# Ids and hashes of ours, new with every call: no shape has so few kinds of characters, and to try them all takes long.
_OURS = re.compile(r"[0-9a-f]{1,39}|[0-9a-f]{64}")


def by_name(name: str) -> Privacy | None:
    """Is what a field of this name holds a secret (hide all), content (hide all but numbers), or neither?"""
    words = [word.lower() for word in _WORD.findall(name)]
    if any(map(_HIDE_ALL.fullmatch, words)) or _HIDE_ALL_WITHIN.search("".join(words)):
        return "secret"
    return "content" if any(map(_HIDE_WORDS.fullmatch, words)) else None


def shapes(text: str) -> Iterator[Span]:
    """Stretches of a text that look private, whatever their value."""
    if _OURS.fullmatch(text):
        return
    for shape in _TEXT_SHAPES:
        for match in shape.finditer(text):
            if match.end("hide") > match.start("hide"):
                yield match.span("hide")
