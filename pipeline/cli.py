"""The commands about jobs: parse, call one function, tell the answer.

Imports stand inside the commands, so that help and usage errors cost nothing.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline import __version__, cli_upkeep
from pipeline.cli_words import Config, Jobs, Json, Manifests, Spool, examples, seat_of, seconds
from pipeline.core.errors import ConfigError
from pipeline.telling import tell
from pipeline.trace.logs import say

if TYPE_CHECKING:
    from pipeline.core.model import Verdict
    from pipeline.runtime import World

USAGE = 2

commands = typer.Typer(
    name="mediaspool",
    help="Point it at a folder of recordings and leave: transcripts, clean text and speech, with a verdict per job.",
    rich_markup_mode=None,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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


@commands.command(epilog=examples("init"))
def init(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", exists=True, file_okay=False, help="A folder of recordings.")
    ],
    as_json: Json = False,
) -> int:
    """Write a commented manifest beside FOLDER. Prints the line for your crontab."""
    from pipeline import starter

    return tell(lambda: starter.start(str(folder)), as_json=as_json)


@commands.command(epilog=examples("plan"))
def plan(
    context: typer.Context,
    manifests: Manifests = None,
    spool: Spool = None,
    config: Config = None,
    force: Annotated[bool, typer.Option("--force", help="As `run --force` would.")] = False,
    rehash: Annotated[bool, typer.Option("--rehash", help="As `run --rehash` would.")] = False,
    ask: Annotated[bool, typer.Option("--ask", help="Ask the routes for models and prices first, for free.")] = False,
    as_json: Json = False,
) -> int:
    """Say what would run and what is refused. Sends no work, changes nothing."""
    from pipeline import preview

    files = tuple(manifests or ())
    return tell(
        lambda: preview.plan(
            seat_of(context, spool, config), files, is_forced=force, is_rehashing=rehash, is_asking=ask
        ),
        as_json=as_json,
    )


@commands.command(epilog=examples("run"))
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
    events: Annotated[
        str | None, typer.Option("--events", metavar="FILE", help="Add a line of JSON per event to FILE; - is stdout.")
    ] = None,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing unless something needs you.")] = False,
) -> int:
    """Run manifests, or what waits in the spool. The exit code says how it went."""
    from pipeline import shift

    if events == "-" and as_json:
        raise typer.BadParameter("--events - and --json both want stdout")
    order = shift.Order(
        files=tuple(manifests or ()),
        is_skipping_busy=if_busy == "skip",
        is_forced=force,
        is_rehashing=rehash,
        time_limit_s=seconds(time_limit, "--time-limit"),
        is_quiet=quiet or as_json,
        events=events,
    )
    return tell(lambda: shift.work(seat_of(context, spool, config), order), as_json=as_json)


@commands.command(epilog=examples("status"))
def status(context: typer.Context, spool: Spool = None, config: Config = None, as_json: Json = False) -> int:
    """Show how everything stands. Each problem comes with the next command to type."""
    from pipeline import overview

    return tell(lambda: overview.status(seat_of(context, spool, config)), as_json=as_json)


@commands.command(epilog=examples("spend"))
def spend(
    context: typer.Context,
    by: Annotated[
        Literal["route", "kind", "manifest", "day"], typer.Option("--by", help="What the lines stand for.")
    ] = "route",
    spool: Spool = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Show what was spent. Unknown prices are told as unknown, doubtful calls apart."""
    from pipeline import spending

    return tell(lambda: spending.spend(seat_of(context, spool, config), by), as_json=as_json)


@commands.command(epilog=examples("retry"))
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
    return tell(
        lambda: desk.retry(seat_of(context, spool, config), tuple(jobs or ()), verdicts),
        as_json=as_json,
    )


@commands.command(epilog=examples("resolve"))
def resolve(
    context: typer.Context,
    jobs: Annotated[list[str] | None, typer.Argument(metavar="JOB", help="Ids of held jobs or attempts.")] = None,
    pay_again: Annotated[bool, typer.Option("--pay-again", help="Send its call once more.")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Let the job fail.")] = False,
    spool: Spool = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Decide calls that may have been paid for. Without a decision it lists them."""
    from pipeline import desk

    for word in {"--pay-again", "--drop"}.intersection(jobs or ()):
        raise typer.BadParameter(f"behind -- stand names of jobs only: put {word} before it")
    if pay_again and drop:
        raise typer.BadParameter("--pay-again and --drop exclude each other")
    decision: Literal["pay-again", "drop"] | None = "pay-again" if pay_again else "drop" if drop else None
    return tell(lambda: desk.resolve(seat_of(context, spool, config), tuple(jobs or ()), decision), as_json=as_json)


for word, command in cli_upkeep.COMMANDS.items():
    commands.command(word, epilog=examples(word))(command)


def invoke(arguments: Sequence[str], world: "World | None") -> int:
    program = typer.main.get_command(commands)
    try:
        return program.main(args=list(arguments), prog_name="mediaspool", standalone_mode=False, obj=world) or 0
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

    message = error.format_message().replace("Value error, ", "", 1)  # the parser's library says so, not a person
    within = error.ctx if isinstance(error, typer.BadParameter) else None
    hint = f"{within.command_path if within else 'mediaspool'} --help"
    answer = refused([ConfigError(message, hint=hint)], code=USAGE)
    if is_json and answer.record is not None:
        say(sys.stdout, json_line(answer.record))
    say(sys.stderr, f"mediaspool: {message}\n  {hint}\n")
    return USAGE
