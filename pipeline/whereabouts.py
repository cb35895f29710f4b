"""Where the products of a known result lie: where they should, where they were made, or nowhere any more.

Compares bytes, by the hashes that the intake knows, and decides nothing.
"""

import os
from collections.abc import Sequence
from typing import Literal

import msgspec

from pipeline.core.errors import InputError
from pipeline.core.kinds import PLAYLIST
from pipeline.core.model import Job, Product
from pipeline.intake import Intake
from pipeline.publishing import product_path

State = Literal["same", "missing", "edited", "unreadable"]
_STATES: dict[str, State] = {"input-missing": "missing", "input-unreadable": "unreadable"}


def state_of(intake: Intake, product: Product) -> State:
    """What became of the file that was written there."""
    try:
        return "same" if intake.sha256(product.path) == product.sha256 else "edited"
    except InputError as error:
        return _STATES.get(error.code, "edited")


def whereabouts(intake: Intake, products: Sequence[Product], job: Job) -> tuple[Product, ...] | None:
    """Each product by a path at which it lies byte for byte, best where the job wants it; None where one is gone.

    None as well where one must be written anew because it names others, which the job calls otherwise now.
    """
    if any(product.name == PLAYLIST for product in products) and not all(_keeps_name(item, job) for item in products):
        return None
    found = [_lying(intake, product, job) for product in products]
    lying = tuple(product for product in found if product is not None)
    return lying if len(lying) == len(found) else None


def _keeps_name(product: Product, job: Job) -> bool:
    return os.path.basename(product_path(job, product.name)) == os.path.basename(product.path)


def _lying(intake: Intake, product: Product, job: Job) -> Product | None:
    folder, wanted = os.path.split(product_path(job, product.name))
    beside = f"{os.path.splitext(wanted)[0]}{os.path.splitext(product.path)[1]}"  # by its content, not as announced
    paths = dict.fromkeys((os.path.join(folder, wanted), os.path.join(folder, beside), product.path))
    there = (msgspec.structs.replace(product, path=path) for path in paths)
    return next((found for found in there if state_of(intake, found) == "same"), None)


def is_at(product: Product, job: Job) -> bool:
    """Does it lie where it should? Its ending may be that of its content instead of the announced one."""
    path = product_path(job, product.name)
    if path == product.path:
        return True
    is_announced = path.endswith(f".{product.name}")
    return is_announced and os.path.splitext(path)[0] == os.path.splitext(product.path)[0]
