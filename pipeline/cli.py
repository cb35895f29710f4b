"""The command line: parse, call one function, print, exit.

Text for people goes to stderr, data to stdout; `--json` prints one object there and no text. What a stream does not
take is lost without a word and never changes the exit code. A signal ends any command with 130 or 143; a run drains
first. Imports stand inside the commands, so that help and usage errors cost nothing.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from pipeline import __version__
from pipeline.core.errors import ConfigError, MediaspoolError, StoreError
from pipeline.trace.logs import say

if TYPE_CHECKING:
    from pipeline.answer import Answer
    from pipeline.core.model import Verdict
    from pipeline.runtime import World
    from pipeline.seat import Seat

SIGNALS = (signal.SIGTERM, signal.SIGINT)
USAGE = 2

Manifests = Annotated[list[str] | None, typer.Argument(metavar="MANIFEST", help="Manifest files; they stay.")]
Spool = Annotated[
    str | None, typer.Option("--spool", metavar="DIR", help="The spool. [default: $XDG_STATE_HOME/mediaspool]")
]
Config = Annotated[str | None, typer.Option("--config", metavar="FILE", help="The settings file.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout instead of text.")]
Jobs = Annotated[list[str] | None, typer.Argument(metavar="JOB", help="Ids of jobs, as `status` shows them.")]

commands = typer.Typer(
    name="mediaspool",
    help="Point it at a folder of recordings and leave: transcripts, clean text and speech, with a verdict per job.",
    rich_markup_mode=None,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(world: "World | None" = None) -> NoReturn:
    """The program. Tests bring their own world."""
    _mend_streams()
    os.environ.setdefault("PATH", os.defpath)  # an empty environment must not stop a library that looks for programs
    for number in SIGNALS:
        signal.signal(number, _leave)
    code = _invoke(sys.argv[1:], world)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # what comes now comes too late to change how this ends
    for stream in (sys.stdout, sys.stderr):
        say(stream, "")  # what cannot be flushed is let go, or the interpreter would exit with 120
    sys.exit(code)


def _version(is_asked: bool) -> None:
    if is_asked:
        say(sys.stdout, f"mediaspool {__version__}\n")
        raise typer.Exit


@commands.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Nothing but help where no command is given."""
    if context.invoked_subcommand is None:
        say(sys.stderr, context.get_help() + "\n")
        raise typer.Exit(USAGE)


@commands.command()
def init(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="A folder of recordings.")],
    as_json: Json = False,
) -> int:
    """Write a commented manifest beside FOLDER; print the crontab line."""
    from pipeline import starter

    return _tell(lambda: starter.start(str(folder)), as_json=as_json)


@commands.command()
def plan(
    context: typer.Context,
    manifests: Manifests = None,
    spool: Spool = None,
    config: Config = None,
    force: Annotated[bool, typer.Option("--force", help="As `run --force` would.")] = False,
    rehash: Annotated[bool, typer.Option("--rehash", help="As `run --rehash` would.")] = False,
    as_json: Json = False,
) -> int:
    """Say what would run and what is refused. Sends nothing, changes nothing."""
    from pipeline import preview

    files = tuple(manifests or ())
    return _tell(
        lambda: preview.plan(_seat(context, spool, config), files, is_forced=force, is_rehashing=rehash),
        as_json=as_json,
    )


@commands.command()
def run(
    context: typer.Context,
    manifests: Manifests = None,
    spool: Spool = None,
    config: Config = None,
    if_busy: Annotated[
        Literal["fail", "skip"], typer.Option(help="When another run is at work: 75, or quietly 0.")
    ] = "fail",
    force: Annotated[
        bool,
        typer.Option("--force", help="Publish again from kept answers; replace edited and foreign files."),
    ] = False,
    rehash: Annotated[bool, typer.Option("--rehash", help="Read all inputs again, whatever their times say.")] = False,
    time_limit: Annotated[str | None, typer.Option(metavar="TIME", help="Drain after so long, such as 50m.")] = None,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing unless something needs you.")] = False,
) -> int:
    """Run manifests, or what waits in the spool. The exit code says how it went."""
    from pipeline import shift

    order = shift.Order(
        files=tuple(manifests or ()),
        is_skipping_busy=if_busy == "skip",
        is_forced=force,
        is_rehashing=rehash,
        time_limit_s=_seconds(time_limit),
        is_quiet=quiet or as_json,
    )
    return _tell(lambda: shift.work(_seat(context, spool, config), order), as_json=as_json)


@commands.command()
def status(context: typer.Context, spool: Spool = None, config: Config = None, as_json: Json = False) -> int:
    """Show how everything stands. Each problem comes with the next command to type."""
    from pipeline import overview

    return _tell(lambda: overview.status(_seat(context, spool, config)), as_json=as_json)


@commands.command()
def retry(
    context: typer.Context,
    jobs: Jobs = None,
    failed: Annotated[bool, typer.Option("--failed", help="All that failed; also what a bare `retry` means.")] = False,
    suspect: Annotated[bool, typer.Option("--suspect", help="All whose products are suspect.")] = False,
    refused: Annotated[bool, typer.Option("--refused", help="All that were refused.")] = False,
    empty: Annotated[bool, typer.Option("--empty", help="All that were validly empty.")] = False,
    spool: Spool = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Let settled jobs run again. Verdicts and answers are forgotten; the next run makes them anew."""
    from pipeline import desk

    chosen: dict[Verdict, bool] = {"failed": failed, "suspect": suspect, "refused": refused, "empty": empty}
    verdicts = tuple(name for name, is_chosen in chosen.items() if is_chosen)
    return _tell(
        lambda: desk.retry(_seat(context, spool, config), tuple(jobs or ()), verdicts),
        as_json=as_json,
    )


@commands.command()
def resolve(
    context: typer.Context,
    job: Annotated[str | None, typer.Argument(metavar="JOB", help="The id of a held job or attempt.")] = None,
    pay_again: Annotated[bool, typer.Option("--pay-again", help="Send its call once more.")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Let the job fail.")] = False,
    spool: Spool = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Decide calls that may have been paid for. Without a decision it lists them."""
    from pipeline import desk

    if pay_again and drop:
        raise typer.BadParameter("--pay-again and --drop exclude each other")
    decision: Literal["pay-again", "drop"] | None = "pay-again" if pay_again else "drop" if drop else None
    return _tell(lambda: desk.resolve(_seat(context, spool, config), job, decision), as_json=as_json)


@commands.command()
def clean(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Really delete; without it only show.")] = False,
    assets_days: Annotated[
        float | None,
        typer.Option(min=0, metavar="N", help="Also the answers of finished jobs, when older than N days."),
    ] = None,
    spool: Spool = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Show or delete what may go. Old reports, artifacts, quarantine, finished manifests, unused assets."""
    from pipeline import retention

    return _tell(
        lambda: retention.clean(_seat(context, spool, config), is_real=yes, asset_days=assets_days), as_json=as_json
    )


@commands.command()
def routes(
    context: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[show] ROUTE", help="One route with each yes and no and its reason.")
    ] = None,
    spool: Spool = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """List the routes. What each can do, and whether it works here."""
    from pipeline import doctor, showcase

    match words or []:
        case []:
            return _tell(lambda: doctor.routes(_seat(context, spool, config)), as_json=as_json)
        case ["show", route] | [route] if route != "show":
            return _tell(lambda: showcase.show(_seat(context, spool, config), route), as_json=as_json)
        case _:
            raise typer.BadParameter("name one route: routes show ROUTE")


@commands.command()
def models(
    context: typer.Context,
    route: Annotated[str | None, typer.Option("--route", metavar="ROUTE", help="Of this route or group alone.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", metavar="KIND", help="Those for this kind of job.")] = None,
    search: Annotated[
        str | None, typer.Option("--search", metavar="TEXT", help="Those with this in id or name.")
    ] = None,
    spool: Spool = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """List the models that are known, and what each can do here. Asks nobody: what runs have kept, and tables."""
    from pipeline import showcase

    return _tell(lambda: showcase.models(_seat(context, spool, config), route, kind, search), as_json=as_json)


@commands.command()
def voices(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model that speaks, as `models` shows it.")],
    route: Annotated[str | None, typer.Option("--route", metavar="ROUTE", help="On this route or group alone.")] = None,
    spool: Spool = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """List the voices and formats of a model."""
    from pipeline import showcase

    return _tell(lambda: showcase.voices(_seat(context, spool, config), model, route), as_json=as_json)


@commands.command("doctor")
def check(
    context: typer.Context,
    part: Annotated[
        Literal["routes"] | None, typer.Argument(metavar="[routes]", help="`routes`: the routes alone.")
    ] = None,
    spool: Spool = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Check what must work here. Engines, weights, libmagic, disk, spool, clock, ledger, other packages."""
    from pipeline import doctor

    return _tell(lambda: doctor.check(_seat(context, spool, config), only_routes=part is not None), as_json=as_json)


def _seat(context: typer.Context, spool: str | None, config: str | None) -> "Seat":
    from pipeline.seat import take_seat

    return take_seat(context.obj, spool, config)


def _tell(ask: "Callable[[], Answer]", *, as_json: bool) -> int:
    """Print the answer of a command, whatever it is, and give its exit code."""
    from pipeline.answer import json_line, refused

    try:
        answer = ask()
    except MediaspoolError as error:
        answer = refused([error])
    except ExceptionGroup as group:
        answer = refused(_expected(group))
    except OSError as error:
        answer = refused([StoreError(f"the operating system said: {error.strerror}", hint="mediaspool doctor")])
    is_told = as_json and answer.record is not None and say(sys.stdout, json_line(answer.record))
    if answer.lines and not as_json:
        say(sys.stdout, answer.lines)
    if answer.text and not is_told:
        say(sys.stderr, answer.text)
    return answer.exit_code


def _expected(group: ExceptionGroup[Exception]) -> Sequence[MediaspoolError]:
    """The errors of a nursery, if all of them are expected ones; else it is a bug, and the traceback is due."""
    expected, bugs = group.split(MediaspoolError)
    if bugs is not None or expected is None:
        raise group
    found: list[MediaspoolError] = []
    waiting: list[Exception] = [expected]
    while waiting:
        error = waiting.pop()
        if isinstance(error, ExceptionGroup):
            waiting += error.exceptions
        elif isinstance(error, MediaspoolError):
            found.append(error)
    return found


def _invoke(arguments: Sequence[str], world: "World | None") -> int:
    command = typer.main.get_command(commands)
    try:
        return command.main(args=list(arguments), prog_name="mediaspool", standalone_mode=False, obj=world) or 0
    except typer.TyperException as error:
        return _usage(error, is_json="--json" in arguments)
    except OSError:  # only help is written by others than `say`, and nobody reads it
        return 0
    except SystemExit as end:
        if end.code != 1:  # a signal; Typer itself gives 1 when the reader of its help has gone
            raise
        return 0


def _usage(error: typer.TyperException, *, is_json: bool) -> int:
    from pipeline.answer import json_line, refused

    answer = refused([ConfigError(error.format_message(), hint="mediaspool --help")], code=USAGE)
    if is_json and answer.record is not None:
        say(sys.stdout, json_line(answer.record))
    say(sys.stderr, f"mediaspool: {error.format_message()}\n  mediaspool --help\n")
    return USAGE


def _seconds(text: str | None) -> float | None:
    from pipeline.core.limits import parse_duration

    try:
        return None if text is None else parse_duration(text)
    except ConfigError as error:
        raise typer.BadParameter(f"{error.message}; {error.hint}", param_hint="--time-limit") from error


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    """Until a run is under way there is nothing to drain."""
    sys.exit(128 + number)


def _mend_streams() -> None:
    """A stream that was closed by the caller leads nowhere; else the next file to be opened would take its place."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or os.fdopen(os.dup(1), "w", encoding="utf-8")
    sys.stderr = sys.stderr or os.fdopen(os.dup(2), "w", encoding="utf-8")
