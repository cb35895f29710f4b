"""Words that the commands have in common: options, and examples of each."""

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.core.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.seat import Seat

Manifests = Annotated[list[str] | None, typer.Argument(metavar="MANIFEST", help="Manifest files; they stay.")]
Spool = Annotated[
    str | None, typer.Option("--spool", metavar="DIR", help="The spool. [default: $XDG_STATE_HOME/mediaspool]")
]
Config = Annotated[str | None, typer.Option("--config", metavar="FILE", help="The settings file.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout instead of text.")]
Jobs = Annotated[list[str] | None, typer.Argument(metavar="JOB", help="Ids of jobs, as `status` shows them.")]

EXAMPLES: dict[str, tuple[str, ...]] = {
    "init": ("init recordings/",),
    "plan": ("plan notes.toml", "plan --ask --json notes.toml"),
    "run": ("run notes.toml", "run --spool /srv/spool --if-busy=skip --time-limit 50m"),
    "status": ("status", "status --spool /srv/spool --json"),
    "spend": ("spend --by day", "spend --by manifest --spool /srv/spool"),
    "retry": ("retry", "retry notes/monday.m4a#text", "retry --suspect"),
    "resolve": ("resolve", "resolve film --pay-again", "resolve film clip --drop"),
    "clean": ("clean", "clean --yes --assets-days 90"),
    "routes": ("routes", "routes show whisper"),
    "models": ("models --kind tts", "models --search whisper"),
    "voices": ("voices hibari/heart", "voices hexgrad/kokoro-82m"),
    "doctor": ("doctor", "doctor routes"),
    "install-cron": ("install-cron --spool /srv/spool --every 10m",),
    "install-systemd": ("install-systemd --spool /srv/spool --as mediaspool --write",),
    "watch": ("watch --spool /srv/spool --every 30s",),
    "verify": ("verify", "verify --repair"),
    "rebuild": ("rebuild transcripts/ speech/",),
}


def examples(command: str) -> str:
    """What stands at the end of a command's help."""
    lines = "\n".join(f"  mediaspool {words}" for words in EXAMPLES[command])
    return f"\b\nFor example:\n{lines}"


def seat_of(context: typer.Context, spool: str | None, config: str | None) -> "Seat":
    from pipeline.seat import take_seat

    return take_seat(context.obj, spool, config)


def seconds(text: str | None, option: str) -> float | None:
    from pipeline.core.limits import parse_duration

    try:
        return None if text is None else parse_duration(text)
    except ConfigError as error:
        raise typer.BadParameter(f"{error.message}; {error.hint}", param_hint=option) from error
