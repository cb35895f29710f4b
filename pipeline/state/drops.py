"""Which names are never inputs, which count as a dropped manifest, and when a file has come to rest.

Standard library only and cheap to import: an idle cron tick asks these questions before anything else is loaded.
"""

import os

MANIFEST_SUFFIXES = (".toml", ".json", ".jsonl", ".ndjson")
REPORT_SUFFIX = ".report.json"
PAGE_SUFFIX = ".report.html"
RECEIPT_SUFFIX = ".receipt.json"
FAR_AHEAD_S = 86_400.0
_ENDINGS = (".part", ".tmp", ".crdownload", RECEIPT_SUFFIX)
_BEGINNINGS = (".", "~syncthing~")


def is_ignored(name: str) -> bool:
    """Names of files and folders that are never inputs: hidden, half-written, or made by sync tools and by us."""
    lower = name.lower()
    return lower.startswith(_BEGINNINGS) or lower.endswith(_ENDINGS) or name == "@eaDir"


def is_manifest_name(name: str) -> bool:
    return name.lower().endswith(MANIFEST_SUFFIXES) and not name.endswith(REPORT_SUFFIX) and not is_ignored(name)


def stood_still(found: os.stat_result, *, now: float, settle_s: float) -> bool:
    """Has the file been left alone for `settle_s`?

    The change time is the kernel's own and follows every write. The modification time may be set at will: one in the
    future, as a copy from a machine with a fast clock brings it, says nothing. A change more than a day ahead was
    before the clock was set back, and nothing has been since; by less, the clock of a file server may be ahead.
    """
    since_s = now - found.st_ctime
    is_old_enough = since_s >= settle_s or since_s < -FAR_AHEAD_S
    return is_old_enough and (found.st_mtime > now or now - found.st_mtime >= settle_s)
