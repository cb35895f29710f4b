"""From drafts to products: checked again, intended in the ledger, placed whole, with a receipt beside them.

Order: drafts verified -> ledger intent with hashes -> parts synced and linked -> receipt -> job settled. Killed at any
point, a name shows the old file or the new one, and the next run knows which parts and products are ours.
"""

import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress

import msgspec
from msgspec import Struct

from pipeline.core.confine import display
from pipeline.core.errors import ContractError, InputChanging, InputError, MediaspoolError, StoreError
from pipeline.core.kinds import Draft, KindResult
from pipeline.core.model import (
    BlockingRunner,
    CallReceipt,
    Clock,
    Decision,
    Job,
    JobReceipt,
    Place,
    Product,
    Reached,
    Runner,
    Sha256,
)
from pipeline.core.pricing import total
from pipeline.media.containers import Examination, examine, examine_words, same_type
from pipeline.state.drops import RECEIPT_SUFFIX
from pipeline.state.durable import border, digest_file
from pipeline.state.folders import OutputFolders, is_there
from pipeline.state.ledger import Ledger
from pipeline.state.ledger_rows import FileFacts, IntendedProduct
from pipeline.state.roots import MAX_OUTPUT_NAME_BYTES, Roots
from pipeline.state.store import Publication, Store
from pipeline.turns import Turns

RECEIPT_SCHEMA = 1
PLACE_TRIES = 3
Ours = Mapping[str, set[Sha256 | None] | None]
Places = Mapping[str, tuple[str, bool]]
"""By product: its path, and whether the plan knew it."""


class _Made(Struct, frozen=True, kw_only=True):
    """A draft, the product it becomes, and what is known of its bytes; `facts` None where they are nothing known."""

    draft: Draft
    product: Product
    facts: FileFacts | None


class _Ground(Struct, frozen=True, kw_only=True):
    """Where products go, and which manifest asked for them."""

    roots: Roots
    places: Places
    manifest: str


class Publisher:
    """Publishes the products of a job: file work beside that of other jobs, ledger work in its one order."""

    def __init__(
        self, *, ledger: Ledger, store: Store, wait: BlockingRunner, files: Runner, clock: Clock, reached: Reached
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._wait = wait
        self._files = files
        self._clock = clock
        self._reached = reached
        self._turns = Turns()
        self._folders = OutputFolders(home=store.staging)

    async def publish(
        self,
        decision: Decision,
        result: KindResult,
        calls: Sequence[CallReceipt],
        *,
        roots: Roots,
        manifest: str,
        is_forced: bool,
        then: Callable[[], None],
    ) -> JobReceipt:
        """Durable on return: products, receipt and ledger row. May be called again after a crash.

        Two manifests of one name have jobs of one place, whose parts have one name: never side by side. `then` is
        called where files are worked on, after all of it.
        """
        ground = _Ground(roots=roots, places=_places(decision.job, result.drafts), manifest=manifest)
        async with self._turns.of(decision.job.place):
            return await self._files(self._publish, decision, result, calls, ground, is_forced, then)

    def _publish(
        self,
        decision: Decision,
        result: KindResult,
        calls: Sequence[CallReceipt],
        ground: _Ground,
        is_forced: bool,
        then: Callable[[], None],
    ) -> JobReceipt:
        """One trip for all of it: files and ledger only wait for each other."""
        made, receipt, found = self._prepared(decision, result, calls, ground)
        if found:
            publications = self._wait(self._intend, decision, ground, made, found, is_forced)
            self._reached("intended")
            self._place(publications, ground.roots)
            self._reached("published")
        self._wait(self._settle, decision, made, receipt, ground.manifest)
        self._reached("settled")
        then()
        return receipt

    def _prepared(
        self, decision: Decision, result: KindResult, calls: Sequence[CallReceipt], ground: _Ground
    ) -> tuple[list[_Made], JobReceipt, list[Publication]]:
        made = _judged(result, ground.roots, ground.places)
        products = tuple(item.product for item in made)
        receipt = self._receipt(decision, result, calls, products, manifest=ground.manifest)
        return made, receipt, self._publications(decision, made, receipt)

    def _publications(self, decision: Decision, made: Sequence[_Made], receipt: JobReceipt) -> list[Publication]:
        """The products, then the receipt; nothing where nothing was made. Each would replace what is there."""
        if not made:
            return []
        proof = made[0].product.path + RECEIPT_SUFFIX
        paths = [*(item.product.path for item in made), proof]
        *parts, last = [self._store.part_of(path, decision.job.place) for path in paths]
        return [*map(_publication, made, parts), receipt_publication(proof, receipt, last)]

    def _intend(
        self, decision: Decision, ground: _Ground, made: Sequence[_Made], found: Sequence[Publication], is_forced: bool
    ) -> list[Publication]:
        """The intent to publish, durable on return; and what may be replaced by it, which is ours or agreed to."""
        assert decision.key is not None
        ours = self._ours(decision.job.place, ground.places, is_forced)
        *products, receipt = found
        wanted = [_agreed(item, ours[each.draft.name]) for item, each in zip(products, made, strict=True)]
        sizes = [*(each.product.size for each in made), len(receipt.content or b"")]
        intended = [_intended(item, size) for item, size in zip(found, sizes, strict=True)]
        self._ledger.intend_publish(decision.job.place, decision.key, intended)
        return [*wanted, receipt]

    def _ours(self, place: Place, places: Places, is_forced: bool) -> Ours:
        """What this job may replace: what it wrote there last, or was about to when a run was killed.

        A name that follows from the content was not in the plan, so nobody agreed to lose what may be there.
        """
        intended = {item.path: item.sha256 for item in self._ledger.intended(place)}
        rows = {name: self._ledger.product_at(path) for name, (path, _) in places.items()}
        last = {name: row.sha256 for name, row in rows.items() if row is not None and row.place == place}
        return {
            name: None if is_forced and is_planned else {last.get(name), intended.get(path)} - {None}
            for name, (path, is_planned) in places.items()
        }

    def _place(self, publications: Sequence[Publication], roots: Roots) -> None:
        """Into the folders that were judged, even if their names are given to others in this instant."""
        folders = {os.path.dirname(item.path) for item in publications}
        for tries_left in reversed(range(PLACE_TRIES)):
            with ExitStack() as stack:
                held = {folder: stack.enter_context(self._folders.held(roots, folder)) for folder in folders}
                try:
                    self._store.publish([_through(item, held) for item in publications])
                except StoreError as error:
                    _rename_in(error, held)
                    if not tries_left or _are_there(roots, held):
                        raise self._folders.closing(folders, error) from error
                except InputError as error:
                    _rename_in(error, held)
                    raise
                else:
                    if _are_there(roots, held):
                        return
        raise InputChanging("the output folder is exchanged again and again", hint="leave it in its place")

    def ensure_open(self, decision: Decision) -> None:
        """OutputClosed where a folder of the job took nothing from another. What a provider made is fetched anyway."""
        if not decision.tickets:
            self._folders.ensure_open(os.path.dirname(product.path) for product in decision.job.products)

    def _settle(self, decision: Decision, made: Sequence[_Made], receipt: JobReceipt, manifest: str) -> None:
        with self._ledger.group():
            for item in made:
                self._remember(item)
            self._ledger.settle_job(
                place=decision.job.place,
                job=decision.job.id,
                manifest=manifest,
                receipt=receipt,
                verdict=receipt.verdict,
                code=None,
                reason=receipt.reason,
                key=decision.key,
                identity="",
            )

    def _receipt(
        self,
        decision: Decision,
        result: KindResult,
        calls: Sequence[CallReceipt],
        products: tuple[Product, ...],
        *,
        manifest: str,
    ) -> JobReceipt:
        source, binding = decision.source, decision.binding
        assert decision.key is not None
        return JobReceipt(
            schema=RECEIPT_SCHEMA,
            job=decision.job.id,
            kind=decision.job.kind,
            key=decision.key,
            verdict=result.verdict,
            reason=result.reason,
            source_sha256=source.sha256 if source else None,
            source_name=os.path.basename(source.path) if source else None,
            route=binding.route if binding else None,
            model=binding.model if binding else None,
            engine=binding.engine if binding else None,
            calls=tuple(calls),
            products=products,
            usd=total(call.usd for call in calls),
            finished_at=self._clock(),
            facts={**_way(decision), **result.facts},
            place=decision.job.place,
            manifest=manifest,
        )

    def _remember(self, made: _Made) -> None:
        """What the next run would learn of the product by reading it."""
        with suppress(OSError):  # somebody took it away in this instant; the next run will notice
            old = made.draft.made
            facts = made.facts if old is None else self._ledger.known_file(old.path, os.stat(old.path))
            if facts is not None:
                self._ledger.remember_file(made.product.path, os.stat(made.product.path), facts)


def _judged(result: KindResult, roots: Roots, places: Places) -> list[_Made]:
    paths = {name: roots.resolve_output(path) for name, (path, _) in places.items()}
    return [_made(draft, paths[draft.name]) for draft in result.drafts]


def _made(draft: Draft, path: str) -> _Made:
    """Hash what will be published, and look at it as at an input; media drafts must be what they claim, whole."""
    if draft.made is not None:
        return _Made(draft=draft, product=msgspec.structs.replace(_still(draft.made), path=path), facts=None)
    found, size, sha256 = _written(draft.content) if draft.content is not None else _looked_at(draft)
    facts = FileFacts(sha256=sha256, size=size, media=found.media, seconds=found.seconds, tracks=found.streams)
    product = Product(name=draft.name, path=path, sha256=sha256, size=size)
    return _Made(draft=draft, product=product, facts=facts if found.ok else None)


def _written(content: bytes) -> tuple[Examination, int, Sha256]:
    """Of a text that its kind wrote."""
    return examine_words(io.BytesIO(content), len(content)), len(content), _sha256(content)


def _looked_at(draft: Draft) -> tuple[Examination, int, Sha256]:
    assert draft.path is not None
    with border(str(draft.path)), open(draft.path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        found = examine(file, size)
        file.seek(0)
        sha256 = Sha256(hashlib.file_digest(file, "sha256").hexdigest())
    if not found.ok or found.media is None or not same_type(draft.media_type, found.media):
        raise ContractError(f"the {draft.name} product is not whole {draft.media_type}: {found.reason}")
    return found, size, sha256


def _still(product: Product) -> Product:
    """A product that goes to another place may have gone since the plan: it is in the hands of its owner."""
    with suppress(OSError):
        if digest_file(product.path) == product.sha256:
            return product
    raise InputChanging("a product changed while it was put in its new place", hint="run again")


def _sha256(content: bytes) -> Sha256:
    return Sha256(hashlib.sha256(content).hexdigest())


def _places(job: Job, drafts: Sequence[Draft]) -> Places:
    """Where each product goes: as announced, or with the ending of its content where that is another one."""
    announced = {product.name for product in job.products}
    return {
        draft.name: _landing(product_path(job, draft.name), draft)
        if draft.name in announced
        else (product_path(job, draft.name), False)
        for draft in drafts
    }


def product_path(job: Job, name: str) -> str:
    """Where the product of this name goes: as announced, else beside the first one, by its name without the ending."""
    announced = {product.name: product.path for product in job.products}
    if name in announced:
        return announced[name]
    first = job.products[0]
    folder, stem = os.path.split(first.path.removesuffix(f".{first.name}"))
    room = MAX_OUTPUT_NAME_BYTES - len(os.fsencode(name)) - 1
    return os.path.join(folder, f"{os.fsdecode(os.fsencode(stem)[:room])}.{name}")


def _landing(path: str, draft: Draft) -> tuple[str, bool]:
    if draft.extension is None or path.endswith(f".{draft.extension}"):
        return path, True
    return f"{os.path.splitext(path)[0]}.{draft.extension}", False


def _way(decision: Decision) -> dict[str, str]:
    """What a person should know of how the job came to its route and model."""
    asked = decision.binding.asked if decision.binding else None
    facts = {} if asked is None else {"asked_model": asked}
    return facts | ({"failed_routes": ", ".join(decision.tried[:-1])} if len(decision.tried) > 1 else {})


def _through(item: Publication, held: Mapping[str, str]) -> Publication:
    """The same publication by way of the held folder."""
    folder, name = os.path.split(item.path)
    part = os.path.join(held[folder], os.path.basename(item.part))
    return msgspec.structs.replace(item, path=os.path.join(held[folder], name), part=part)


def _are_there(roots: Roots, held: Mapping[str, str]) -> bool:
    return all(is_there(roots, folder, path) for folder, path in held.items())


def _rename_in(error: MediaspoolError, held: Mapping[str, str]) -> None:
    """Tell of the folder by the name that the user knows."""
    for folder, path in held.items():
        error.message = error.message.replace(f"{path}/", f"{display(folder)}/").replace(
            f"'{path}'", f"'{display(folder)}'"
        )


def _publication(made: _Made, part: str) -> Publication:
    draft, product = made.draft, made.product
    return Publication(
        path=product.path,
        part=part,
        sha256=product.sha256,
        content=draft.content,
        source=str(draft.path) if draft.path else None,
        replace=_there(product.path),
    )


def _agreed(item: Publication, ours: set[Sha256 | None] | None) -> Publication:
    """`ours` are the hashes that may be replaced; None replaces whatever is there."""
    if item.replace is None or ours is None or item.replace in ours:
        return item
    return msgspec.structs.replace(item, replace=None)


def receipt_publication(path: str, receipt: JobReceipt, part: str) -> Publication:
    """A name that ends in our receipt suffix is ours, so the receipt of an earlier result gives way."""
    content = _receipt_body(receipt)
    return Publication(
        path=path,
        part=part,
        sha256=_sha256(content),
        content=content,
        source=None,
        replace=_there(path),
    )


def _receipt_body(receipt: JobReceipt) -> bytes:
    """As ASCII, which msgspec does not write where a name is odd: it refuses half characters and escapes no letters."""
    try:
        quick = msgspec.json.format(msgspec.json.encode(receipt), indent=2)
    except UnicodeEncodeError:
        quick = b"\xff"
    body = quick if quick.isascii() else json.dumps(msgspec.to_builtins(receipt), indent=2).encode("ascii")
    return body + b"\n"


def _there(path: str) -> Sha256 | None:
    """The hash of what has this name now."""
    with border(path):
        try:
            return digest_file(path)
        except (FileNotFoundError, NotADirectoryError):
            return None


def _intended(item: Publication, size: int) -> IntendedProduct:
    return IntendedProduct(
        name=os.path.basename(item.path), path=item.path, part=item.part, sha256=item.sha256, size=size
    )
