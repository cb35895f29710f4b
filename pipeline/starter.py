"""`init`: the first manifest for a folder of recordings, and the line that lets cron run it.

The manifest is put beside the folder, whole or not at all, and nothing that is there already is ever changed. What it
says is an example to edit, so every line that a person may want to change is in it, with its reason.
"""

import glob
import json
import os
import shlex

from msgspec import Struct

from pipeline.answer import SCHEMA, Answer, joined, refused, shown_path
from pipeline.core.confine import display, display_path, is_safe_name
from pipeline.core.errors import InputError, StoreError
from pipeline.manifest_paths import escaped
from pipeline.timers import MINUTE_S, for_cron, program, schedule

CANNOT_CREATE = 73
EVERY_MINUTES = 10
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_TEMPLATE = """\
# What mediaspool does with the recordings in {shown}. Try it first: mediaspool plan {name}
schema = 1
name = {manifest}

[defaults]
route = ["local"]             # the embedded engines: no key, no network; the first route that can do a job does it
language = "auto"             # or a tag such as "en" or "de"

[limits]                      # of one run; what is left over is done by the next
max_audio_minutes = 600
max_runtime = "50m"
max_input_mb = 500            # of one file

[[folder]]
id = {id}
glob = {glob}
accept = ["audio", "video"]   # by content, not by name
settle = "30s"                # a file is taken once it has stood still for so long
out = {out}

  [[folder.step]]
  id = "text"
  kind = "transcription"
  formats = ["txt", "srt", "json"]      # also "vtt" and "tsv"

  [[folder.step]]
  id = "canon"
  kind = "canonical_text"     # one clean UTF-8 text per recording, with its provenance beside it
  from = "text"

# A text that becomes speech; take away the # to use it.
# [[job]]
# id = "hello"
# kind = "tts"
# text = "Good morning."
# voice = "heart"
# out = "speech/hello.mp3"
"""


class Started(Struct, frozen=True, kw_only=True):
    """The object of `init`."""

    schema: int = SCHEMA
    manifest: str
    crontab: str


def start(folder: str) -> Answer:
    """Write the manifest, unless something is there already. InputError when the folder is none to write one for."""
    real = os.path.realpath(folder)
    name = os.path.basename(real)
    if not os.path.isdir(real):
        raise InputError(f"'{display(folder)}' is not a folder", code="input-missing", hint="name an existing folder")
    if not name or not is_safe_name(name) or not _is_text(name):
        raise InputError(
            f"a manifest cannot name the folder '{display(real)}'", code="path-unsafe", hint="give it a plain name"
        )
    path = f"{real}.toml"
    try:
        _write_new(path, manifest_text(name))
    except StoreError as error:
        return refused([error], code=CANNOT_CREATE)
    line = crontab_line(path)
    text = joined(
        [
            f"wrote {shown_path(path)}",
            f"see what it would do:  mediaspool plan {shlex.quote(shown_path(path))}",
            "then let cron do it, with this line in `crontab -e`:",
        ]
    )
    return Answer(text=text, lines=f"{line}\n", record=Started(manifest=display_path(path), crontab=line))


def manifest_text(name: str) -> str:
    """The manifest for a folder of this name beside it."""
    return _TEMPLATE.format(
        shown=_quoted(name),
        name=shlex.quote(f"{name}.toml"),
        manifest=_quoted(name),
        id=_quoted(name),
        glob=_quoted(f"{glob.escape(name)}/**/*"),
        out=_quoted("transcripts/" + escaped(name) + "/{reldir}/{name}.{step}.{ext}"),
    )


def _quoted(text: str) -> str:
    """A TOML string. JSON's escapes are TOML's, but for letters in two halves, as JSON escapes an emoji."""
    return json.dumps(text, ensure_ascii=False)


def crontab_line(manifest: str) -> str:
    command = f"{shlex.join(program())} run --if-busy=skip {shlex.quote(manifest)}"
    return f"{schedule(EVERY_MINUTES * MINUTE_S, manifest)} {for_cron(command)}"


def _is_text(name: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def _write_new(path: str, text: str) -> None:
    try:
        fd = os.open(path, _NEW_FILE, 0o666)
    except FileExistsError as error:
        raise StoreError(
            f"'{display(path)}' is there already and stays as it is",
            code="output-exists",
            hint="edit it, or move it away first",
        ) from error
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        os.unlink(path)
        raise _unwritable(path, error) from error


def _unwritable(path: str, error: OSError) -> StoreError:
    return StoreError(
        f"'{display(path)}' cannot be written: {error.strerror}",
        code="output-unwritable",
        hint="check owner and mode of the folder above",
    )
