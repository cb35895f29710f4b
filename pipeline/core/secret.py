"""A secret value: it prints as stars, is not copied to other processes, and shows itself only when asked by name."""

from collections.abc import Callable


class Secret:
    """Held as short as possible: fetched when a request is built, never stored on an object that prints."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "Secret(********)"

    def __str__(self) -> str:
        return "********"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a secret is not pickled or copied to another process")

    def reveal(self) -> str:
        return self._value


FindKey = Callable[[str], Secret | None]
"""The secret of a name, None where there is none. ConfigError where it cannot be read."""
