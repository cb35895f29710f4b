"""The way out: one row per driver, as text, loaded when first needed; a broken driver breaks only its own jobs."""

import sys

# httpx brings its own command line along where it finds rich: five megabytes and 40 ms in every run, for nobody.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # None: importing it is refused, as where it lacks

DRIVERS: dict[str, str] = {
    "whisper": "pipeline.routes.whisper:open_driver",
    "hibari": "pipeline.routes.hibari:open_driver",
    "pico": "pipeline.routes.pico:open_driver",
    "pillow": "pipeline.routes.pillow:open_driver",
    "stills": "pipeline.routes.stills:open_driver",
    "openrouter": "pipeline.routes.openrouter:open_driver",
    "openai": "pipeline.routes.openai:open_driver",
    "loopback": "pipeline.routes.loopback:open_driver",
}
