"""What lets cron or systemd run a spool: the crontab line and the units, printed, or written where they are read.

Ready as they are: full paths, a minute of their own, keys from credentials, and for units of the system every fence
that the work does not need to cross. A file that is there already is replaced only if it was written here.
"""

import os
import re
import shlex
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from pipeline.answer import SCHEMA, Answer, joined, shown_path
from pipeline.core.confine import display, display_path
from pipeline.core.errors import ConfigError, StoreError
from pipeline.seat import Seat
from pipeline.state.durable import border
from pipeline.state.pulse import replace_whole
from pipeline.state.settings import home_folder, secret_names

HEADER = "# Written by mediaspool; what is changed here is kept until `--write` is asked for again.\n"
CRON_FOLDER, SYSTEM_FOLDER = "/etc/cron.d", "/etc/systemd/system"
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
SETTLE_SLACK_S = 1
STOP_SLACK_S = 40
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
_PLAIN_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
_FENCES = """\
CapabilityBoundingSet=
LockPersonality=yes
NoNewPrivileges=yes
PrivateDevices=yes
PrivateTmp=yes
ProtectControlGroups=yes
ProtectHome=read-only
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectSystem=strict
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
StateDirectory=mediaspool
Environment=XDG_STATE_HOME=%S
"""


class Where(Struct, frozen=True, kw_only=True):
    """Whether files are written, and into which folder where it is not the usual one."""

    is_real: bool
    folder: str | None = None


class Installed(Struct, frozen=True, kw_only=True):
    """The object of both commands: each file by its path, and the commands that put it into force."""

    schema: int = SCHEMA
    files: dict[str, str]
    written: bool
    then: tuple[str, ...]


def cron(seat: Seat, every_s: float | None, user: str | None, where: Where) -> Answer:
    """The line for a crontab, or where it is to be written a file for /etc/cron.d."""
    line = f"{schedule(every_s or 5 * MINUTE_S, seat.root)} {{}}{for_cron(shlex.join(_command(seat)))}\n"
    if not where.is_real:
        added = f"(crontab -l; {_typed(seat, every_s)}) | crontab -"
        return Answer(
            text=joined(["add it to your crontab:", f"  {added}"]),
            lines=line.format(""),
            record=Installed(files={"crontab": line.format("")}, written=False, then=(added,)),
        )
    path = os.path.join(where.folder or CRON_FOLDER, unit_name(seat.root))
    text = f"{HEADER}SHELL=/bin/sh\n{line.format(f'{_user(user)} ')}"
    _write({path: text})
    return Answer(text=joined([f"wrote {path}"]), record=Installed(files={path: text}, written=True, then=()))


def systemd(seat: Seat, every_s: float | None, user: str | None, where: Where) -> Answer:
    """Service, timer and path unit; of the system where a user is named, else the caller's own."""
    usual = SYSTEM_FOLDER if user else _own_folder(seat.world.environ)
    name, folder = unit_name(seat.root), os.path.abspath(where.folder or usual)
    units = {
        f"{name}.service": _service(seat, _user(user) if user else None),
        f"{name}.timer": _timer(every_s or 5 * MINUTE_S, seat.root),
        f"{name}.path": _path(seat.root),
    }
    files = {os.path.join(folder, unit): text for unit, text in units.items()}
    if where.is_real:
        _write(files)
    control = "systemctl" if user else "systemctl --user"
    then = (f"{control} daemon-reload", f"{control} enable --now {name}.timer {name}.path", *_lingering(user))
    what = [f"{'wrote' if where.is_real else 'for'} {shown_path(path)}" for path in files]
    keys = [f"lay the key {key} into {_key_place(user)}/{key}" for key in sorted(secret_names(seat.settings))]
    return Answer(
        text=joined([*what, *keys, "then:", *(f"  {line}" for line in then)]),
        lines="" if where.is_real else "\n".join(f"# {os.path.basename(path)}\n{text}" for path, text in files.items()),
        record=Installed(
            files={display_path(path): text for path, text in files.items()}, written=where.is_real, then=then
        ),
    )


def schedule(every_s: float, seed: str) -> str:
    """The five fields of cron. Each seed has its own minute: two that began together would find the other one busy."""
    minutes = round(every_s / MINUTE_S)
    offset = zlib.crc32(os.fsencode(seed))
    if every_s < MINUTE_S or every_s > DAY_S:
        raise ConfigError("cron starts something every minute to once a day", hint='write it like "5m" or "1h"')
    if minutes < 60:
        return f"{offset % minutes}-59/{minutes} * * * *" if minutes > 1 else "* * * * *"
    hours, rest = divmod(minutes, 60)
    if rest:
        raise ConfigError(f"cron has no line for every {minutes} minutes", hint="beyond an hour, write whole hours")
    return f"{offset % 60} {'*' if hours == 1 else f'*/{hours}' if hours < 24 else offset % 24} * * *"


def program() -> list[str]:
    """How this very installation is started from anywhere."""
    script = os.path.join(os.path.dirname(sys.executable), "mediaspool")
    return [script] if os.access(script, os.X_OK) else [sys.executable, "-P", "-m", "pipeline"]


def unit_name(spool: str) -> str:
    """A name for the units of one spool, so that several stand beside each other."""
    name = os.path.basename(spool)
    return f"mediaspool-{name if _PLAIN_NAME.fullmatch(name) else format(zlib.crc32(os.fsencode(spool)), '08x')}"


def _typed(seat: Seat, every_s: float | None) -> str:
    """The command that prints this very line once more."""
    config = ["--config", display_path(os.path.abspath(seat.config))] if seat.config else []
    every = ["--every", f"{round(every_s / MINUTE_S)}m"] if every_s not in (None, 5 * MINUTE_S) else []
    return shlex.join(["mediaspool", "install-cron", "--spool", display_path(seat.root), *config, *every])


def _command(seat: Seat) -> list[str]:
    config = ["--config", os.path.abspath(seat.config)] if seat.config else []
    words = [*program(), "run", "--spool", seat.root, *config, "--if-busy=skip"]
    if not all(word.isprintable() for word in words):
        raise ConfigError(f"'{display(seat.root)}' has a character that no timer can name", hint="use a plain path")
    return words


def for_cron(command: str) -> str:
    """Cron reads a % as the end of the line."""
    return command.replace("%", "\\%")


def _user(name: str | None) -> str:
    if name is None or not _PLAIN_USER.fullmatch(name):
        raise ConfigError("it is not said whose runs these are", hint="add --as USER")
    return name


def _service(seat: Seat, user: str | None) -> str:
    """The whole service. A manifest is taken once it stood still; a start in the moment of the drop comes too early."""
    settle_s, grace_s = seat.settings.manifest_settle_s, seat.settings.drain_grace_s
    return "".join(
        (
            f"{HEADER}[Unit]\nDescription=mediaspool run for {_specified(seat.root)}\n",
            "# Without its disk the spool would be a new one below the mount point, which has paid for nothing yet.\n",
            f"RequiresMountsFor={' '.join(map(_quoted, _writable(seat)))}\n\n[Service]\nType=oneshot\n",
            f"User={user}\n" if user else "",
            f"ExecStartPre=/bin/sleep {round(settle_s) + SETTLE_SLACK_S}\n",
            f"ExecStart={' '.join(map(_word, _command(seat)))}\n",
            "# The first SIGTERM goes to mediaspool alone: it finishes what runs and then ends its engines itself.\n",
            f"KillMode=mixed\nTimeoutStopSec={round(grace_s) + STOP_SLACK_S}\n",
            "# 4: a cap was reached with work left, and the next start goes on.\nSuccessExitStatus=4\nNice=10\n",
            *(f"LoadCredential={key}:%E/mediaspool/{key}\n" for key in sorted(secret_names(seat.settings))),
            "" if user is None else _FENCES,
            "" if user is None else f"ReadWritePaths={' '.join(map(_quoted, _writable(seat)))}\n",
            "NoNewPrivileges=yes\n" if user is None else "",
        )
    )


def _timer(every_s: float, spool: str) -> str:
    return (
        f"{HEADER}[Unit]\nDescription=mediaspool timer for {_specified(spool)}\n\n"
        f"[Timer]\nOnBootSec=2min\nOnUnitInactiveSec={round(every_s)}s\n\n[Install]\nWantedBy=timers.target\n"
    )


def _path(spool: str) -> str:
    """PathChanged and not DirectoryNotEmpty, which would start the service over and over until a drop has settled."""
    return (
        f"{HEADER}[Unit]\nDescription=mediaspool drops for {_specified(spool)}\n\n"
        f"[Path]\nPathChanged={_specified(os.path.join(spool, 'incoming'))}\n\n[Install]\nWantedBy=paths.target\n"
    )


def _writable(seat: Seat) -> Iterator[str]:
    yield from dict.fromkeys((seat.root, *(seat.settings.roots or (os.path.dirname(seat.root),))))


def _word(text: str) -> str:
    """One word of a command line in a unit, where also $ has a meaning."""
    return _quoted(text.replace("$", "$$"))


def _quoted(text: str) -> str:
    """One word of a unit's line; a backslash, a quote and % have a meaning there."""
    told = _specified(text).replace("\\", "\\\\").replace('"', '\\"')
    return told if re.fullmatch(r"[\w@%+=:,./-]+", told) else f'"{told}"'


def _specified(text: str) -> str:
    return text.replace("%", "%%")


def _own_folder(environ: Mapping[str, str]) -> str:
    config = environ.get("XDG_CONFIG_HOME", "")
    home = config if config.startswith("/") else os.path.join(home_folder(environ), ".config")
    return os.path.join(home, "systemd", "user")


def _key_place(user: str | None) -> str:
    return "/etc/mediaspool" if user else "~/.config/mediaspool"


def _lingering(user: str | None) -> Iterable[str]:
    """Units of one's own stop at the logout unless they may linger."""
    return () if user else ("loginctl enable-linger",)


def _write(files: Mapping[str, str]) -> None:
    """All of them, or a StoreError that says which cannot be written; nothing of a person's own is replaced."""
    for path in files:
        if not _is_ours(path):
            message = f"'{display(path)}' is there already and was not written by mediaspool"
            raise StoreError(message, code="output-exists", hint="move it away first")
    for path, text in files.items():
        with border(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            replace_whole(path, text.encode())


def _is_ours(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(HEADER)) == HEADER.encode()
    except FileNotFoundError:
        return True
    except OSError:
        return False
