"""The JSON Schemas in docs/schema, made from the code: `python -m tests.schemas` writes them, a test compares them.

Kept with the tests because only the repository needs it; the product carries no path to its own documentation.
"""

import json
from pathlib import Path

import msgspec

from pipeline.events import Event
from pipeline.manifest import manifest_schema
from pipeline.runtime import load_kinds
from pipeline.shift import ShiftReport
from pipeline.state.settings import settings_schema

FOLDER = Path(__file__).parents[1] / "docs" / "schema"


def schemas() -> dict[Path, str]:
    """What each file must hold."""
    made = {
        "manifest": manifest_schema(load_kinds()),
        "settings": settings_schema(),
        "report": dict(msgspec.json.schema(ShiftReport)),
        "events": dict(msgspec.json.schema(Event)),
    }
    return {
        FOLDER / f"{name}.schema.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        for name, schema in made.items()
    }


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, text in schemas().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
