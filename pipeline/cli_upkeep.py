"""Commands about what is there: routes, models, the machine, timers, and what may go. `cli` has those about jobs."""

from collections.abc import Callable
from typing import Annotated, Literal

import typer

from pipeline.cli_words import Config, Json, Spool, seat_of, seconds
from pipeline.telling import tell

To = Annotated[str | None, typer.Option("--to", metavar="DIR", help="Write into this folder instead.")]


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

    return tell(
        lambda: retention.clean(seat_of(context, spool, config), is_real=yes, asset_days=assets_days), as_json=as_json
    )


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
            return tell(lambda: doctor.routes(seat_of(context, spool, config)), as_json=as_json)
        case ["show", route] | [route] if route != "show":
            return tell(lambda: showcase.show(seat_of(context, spool, config), route), as_json=as_json)
        case _:
            raise typer.BadParameter("name one route: routes show ROUTE")


def models(
    context: typer.Context,
    route: Annotated[str | None, typer.Option("--route", metavar="ROUTE", help="Of this route or group alone.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", metavar="KIND", help="Those for this kind of job.")] = None,
    search: Annotated[
        str | None, typer.Option("--search", metavar="TEXT", help="Those with this in route, id or name.")
    ] = None,
    spool: Spool = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """List the models that are known. What each can do here, asking nobody: what runs have kept, and tables."""
    from pipeline import showcase

    return tell(lambda: showcase.models(seat_of(context, spool, config), route, kind, search), as_json=as_json)


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

    return tell(lambda: showcase.voices(seat_of(context, spool, config), model, route), as_json=as_json)


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

    return tell(lambda: doctor.check(seat_of(context, spool, config), only_routes=part is not None), as_json=as_json)


def install_cron(
    context: typer.Context,
    spool: Spool = None,
    config: Config = None,
    every: Annotated[str, typer.Option(metavar="TIME", help="How often, such as 5m or 1h.")] = "5m",
    write: Annotated[bool, typer.Option("--write", help="As root: write it to /etc/cron.d.")] = False,
    user: Annotated[str | None, typer.Option("--as", metavar="USER", help="With --write: whose runs they are.")] = None,
    to: To = None,
    as_json: Json = False,
) -> int:
    """Print the crontab line for a spool. `(crontab -l; mediaspool install-cron --spool DIR) | crontab -` adds it."""
    from pipeline import timers

    where = timers.Where(is_real=write or to is not None, folder=to)
    every_s = seconds(every, "--every")
    return tell(lambda: timers.cron(seat_of(context, spool, config), every_s, user, where), as_json=as_json)


def install_systemd(
    context: typer.Context,
    spool: Spool = None,
    config: Config = None,
    every: Annotated[str, typer.Option(metavar="TIME", help="How often, such as 5m or 1h.")] = "5m",
    write: Annotated[bool, typer.Option("--write", help="Write them where systemd looks.")] = False,
    user: Annotated[
        str | None, typer.Option("--as", metavar="USER", help="Units of the whole system, run as USER.")
    ] = None,
    to: To = None,
    as_json: Json = False,
) -> int:
    """Print units for a spool: service, timer and path. Your own, or with --as those of the system."""
    from pipeline import timers

    where = timers.Where(is_real=write or to is not None, folder=to)
    every_s = seconds(every, "--every")
    return tell(lambda: timers.systemd(seat_of(context, spool, config), every_s, user, where), as_json=as_json)


def watch(
    context: typer.Context,
    spool: Spool = None,
    config: Config = None,
    every: Annotated[str, typer.Option(metavar="TIME", help="Look so often, such as 30s.")] = "30s",
    time_limit: Annotated[str | None, typer.Option(metavar="TIME", help="Of each run, such as 50m.")] = None,
) -> int:
    """Run a spool whenever something is due. Until a signal comes, for those who want a process instead of cron."""
    from pipeline import watch as watching

    every_s = seconds(every, "--every")
    return tell(lambda: watching.watch(seat_of(context, spool, config), every_s, time_limit), as_json=False)


def verify(
    context: typer.Context,
    repair: Annotated[bool, typer.Option("--repair", help="Set damaged answers aside; put back what can be.")] = False,
    spool: Spool = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Read every answer and product once. Are they what they were made as?"""
    from pipeline import verify as verifying

    return tell(lambda: verifying.verify(seat_of(context, spool, config), is_repairing=repair), as_json=as_json)


def rebuild(
    context: typer.Context,
    folders: Annotated[
        list[str] | None, typer.Argument(metavar="FOLDER", help="Where products lie. [default: roots of the settings]")
    ] = None,
    spool: Spool = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Make a lost ledger anew from receipts. Calls nobody and pays nothing; may be done again."""
    from pipeline import rebuild as rebuilding

    return tell(lambda: rebuilding.rebuild(seat_of(context, spool, config), tuple(folders or ())), as_json=as_json)


COMMANDS: dict[str, Callable[..., int]] = {
    "clean": clean,
    "routes": routes,
    "models": models,
    "voices": voices,
    "doctor": check,
    "install-cron": install_cron,
    "install-systemd": install_systemd,
    "watch": watch,
    "verify": verify,
    "rebuild": rebuild,
}
