"""Where a command works: the spool it was given or the user's own, the settings in force, and the world around.

Taken once per command, before anything else. Nothing is created here, not even the spool.
"""

import os
import sys
import time
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from pipeline.core.confine import display_path
from pipeline.core.errors import ConfigError
from pipeline.report import Typed
from pipeline.runtime import World, utc_now
from pipeline.state.durable import deepest
from pipeline.state.settings import Settings, load_settings, state_home


class Seat(Struct, frozen=True, kw_only=True):
    """`root` is the spool; `spool` and `config` are what was typed for it, as commands to type name it.

    None stands for the user's own.
    """

    root: str
    spool: str | None
    config: str | None
    settings: Settings
    world: World

    @property
    def typed(self) -> Typed:
        return Typed(self.spool, self.config)


def take_seat(world: World | None, spool: str | None, config: str | None) -> Seat:
    """ConfigError when the settings cannot be used."""
    world = world or real_world()
    if spool == "":  # as a variable that is not set leaves it; the folder one stands in was not meant
        raise ConfigError("--spool names no folder", hint="name one, or leave --spool out")
    root = os.path.abspath(spool) if spool is not None else _own_spool(world.environ)
    if not os.path.isdir(there := deepest(root)):
        raise ConfigError(f"'{display_path(there)}' is not a folder, as a spool is", hint="name one with --spool DIR")
    return Seat(
        root=root,
        spool=spool,
        config=config,
        settings=load_settings(config, world.environ),
        world=msgspec.structs.replace(world, config=os.path.abspath(config) if config is not None else None),
    )


def _own_spool(environ: Mapping[str, str]) -> str:
    """One in the folder that one stands in would remember nothing in the next, and have all paid for again."""
    found = state_home(environ)
    if not os.path.isabs(found):
        raise ConfigError("this user has no home folder", hint="name the spool with --spool, or set HOME")
    return found


def real_world() -> World:
    return World(
        environ=os.environ,
        log_stream=sys.stderr,
        clock=utc_now,
        now=time.time,
        reached=lambda _point: None,
    )
