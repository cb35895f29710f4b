"""Rows of the two tables: text such as `"jobs.tts:Tts"`, loaded when first needed."""

import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import cast

from pipeline.core.kinds import Kind


def load_row(row: str) -> Callable[..., object]:
    module, _, name = row.partition(":")
    return cast("Callable[..., object]", getattr(importlib.import_module(module), name))


class Kinds(Mapping[str, Kind]):
    """The kinds by name. A run pays for loading those that its jobs are of, and no others."""

    def __init__(self, table: Mapping[str, str]) -> None:
        self._table = table
        self._loaded: dict[str, Kind] = {}

    def __getitem__(self, name: str) -> Kind:
        if name not in self._loaded:
            self._loaded[name] = cast("Kind", load_row(self._table[name])())
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._table

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)
