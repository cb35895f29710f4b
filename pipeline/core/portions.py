"""How much text one call may carry, in characters and in tokens that are estimated.

The estimate counts bytes: three to a token is a character of Chinese or Hindi, one and a half of Cyrillic or Arabic,
and less than the four letters of English that a real tokenizer takes at once. It never loads a tokenizer.
"""

from msgspec import Struct

BYTES_PER_TOKEN = 3


class Portion(Struct, frozen=True, kw_only=True):
    """The most that one call may carry; `max_tokens` None is no bound on tokens."""

    max_chars: int
    max_tokens: int | None = None

    def holds(self, text: str) -> bool:
        return len(text) <= self.max_chars and (self.max_tokens is None or estimated_tokens(text) <= self.max_tokens)

    def head(self, text: str) -> str:
        """The longest beginning of `text` that it holds; at least one character, whatever the bounds say."""
        head = text[: self.max_chars]
        if self.max_tokens is not None:
            room = BYTES_PER_TOKEN * self.max_tokens
            head = head.encode("utf-8", "surrogatepass")[:room].decode("utf-8", "ignore")
        return head or text[:1]


DEFAULT_PORTION = Portion(max_chars=500)
"""Where a route says nothing: about 35 seconds of speech, little to lose when a call fails."""


def estimated_tokens(text: str) -> int:
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)
