"""Restoring: the raw file of a frame, byte for byte, from what is left of it.

A raw frame is found on the shelf or in an archive as it came; of a standard frame it is rebuilt by the recipe that the
ledger keeps. Whatever the way, the bytes are compared with the digest that was made when they arrived.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from nightferry.core.errors import Held, Misconfigured, NightferryError, Occupied, TryAgain
from nightferry.core.frame import Digest, Frame
from nightferry.core.ledger import Account
from nightferry.core.names import safe_component
from nightferry.core.receipt import Outcome, Receipt
from nightferry.core.step import DELIVER
from nightferry.core.store import BUFFER_SIZE, Store, StorePath
from nightferry.disk.errors import translated
from nightferry.disk.files import finish, make_folders, part_beside
from nightferry.disk.parts import sweep_once
from nightferry.passes.route import Route
from nightferry.steps.fetchback import fetch_back
from nightferry.steps.products import product_of
from nightferry.steps.pull import described_frame
from nightferry.steps.rebuild import digest_of, place_as, restore_raw


@dataclass(frozen=True, slots=True)
class Restored:
    """A raw file that is here again: where, of what it was made, and its digest."""

    file: Path
    source: str
    size: int
    digest: Digest


class _Copy(NamedTuple):
    """Something to restore from: a file of ours, or one in an archive; ``recipe`` is empty for the raw bytes."""

    label: str
    file: Path | None
    store: Store | None
    name: StorePath
    digest: Digest
    recipe: str


def restore(
    route: Route, account: Account, into: Path, *, product: Path | None = None, dry_run: bool = False
) -> Restored:
    """Write a frame's raw file into a folder, under its own name; nothing there is ever overwritten.

    ``product`` is a standard frame at hand. Raises `Held` with every reason when it cannot be restored, `Occupied`
    when another file has its name.
    """
    raw = described_frame(account.sighting, account.receipts, route.shelf)
    if raw is None:
        raise Held(f"{account.sighting.path} was never pulled, so there is nothing to restore; look at the source")
    if not into.parent.is_dir():
        raise Misconfigured(f"{into}: there is no folder {into.parent}; is its disk mounted?")
    target = into / safe_component(raw.name.rpartition("/")[2])
    reasons: list[NightferryError] = []
    for copy in _copies(route, account, raw, product):
        if dry_run:
            return Restored(target, copy.label, raw.size, raw.digest)
        with translated(into, "the folder for restored frames,"):
            make_folders(into)
            sweep_once(into)
            if target.is_file() and digest_of(target) == raw.digest:
                return Restored(target, "was there", raw.size, raw.digest)
        try:
            _restore_from(copy, target, raw)
        except Occupied:
            raise
        except NightferryError as err:
            reasons.append(type(err)(f"{copy.label}: {err}"))
            continue
        return Restored(target, copy.label, raw.size, raw.digest)
    text = f"{account.sighting.path} cannot be restored: {'; '.join(map(str, reasons)) or 'no copy of it is known'}"
    raise TryAgain(text) if any(isinstance(reason, TryAgain) for reason in reasons) else Held(text)


def recipe_of(receipts: Sequence[Receipt], digest: Digest | None) -> str:
    """Return the recipe that leads from a product back to its raw frame; empty when none is kept."""
    for receipt in reversed(receipts):
        if receipt.outcome is Outcome.DONE and receipt.digest == digest and receipt.proof.get("recipe"):
            return str(receipt.proof["recipe"])
    return ""


def _copies(route: Route, account: Account, raw: Frame, product: Path | None) -> Iterator[_Copy]:
    """Yield what there is to restore from, the nearest first."""
    receipts = account.receipts
    if product is not None:
        digest = digest_of(product)
        yield _Copy(str(product), product, None, StorePath(""), digest, recipe_of(receipts, digest))
    if route.shelf.has(raw.id, raw.night, raw.size):
        yield _Copy("the shelf", raw.file, None, StorePath(""), raw.digest, "")
    for receipt in reversed(receipts):
        made = product_of(route.shelf, raw, receipt) if receipt.proof.get("recipe") else None
        if made is not None and made.file.is_file():
            recipe = recipe_of(receipts, made.digest)
            yield _Copy("the product on the shelf", made.file, None, StorePath(""), made.digest, recipe)
    for receipt in reversed(receipts):
        delivery, name = route.deliveries.get(receipt.target), receipt.proof.get("name")
        if receipt.step == DELIVER and receipt.outcome is Outcome.DONE and delivery and isinstance(name, str):
            digest = receipt.digest or raw.digest
            label = f"{receipt.target}: {name}"
            yield _Copy(label, None, delivery.store, StorePath(name), digest, recipe_of(receipts, digest))


def _restore_from(copy: _Copy, target: Path, raw: Frame) -> None:
    if copy.digest != raw.digest and not copy.recipe:
        raise Held("it is not the raw frame, and the ledger keeps no recipe that leads back from it")
    with translated(target, "the restored frame"), part_beside(target) as fetched, part_beside(target) as whole:
        source = copy.file
        if source is None:
            source = fetched
            assert copy.store is not None  # noqa: S101 - one of the two is there
            fetch_back(copy.store, copy.name, copy.digest, source)
        if copy.recipe:
            restore_raw(source, copy.recipe, target, digest=raw.digest)
            return
        with source.open("rb") as file, whole.open("xb") as out:
            shutil.copyfileobj(file, out, BUFFER_SIZE)
            finish(out)
        if (found := digest_of(whole)) != raw.digest:
            raise Held(f"it has BLAKE3 {found[:16]}, and {raw.digest[:16]} arrived")
        place_as(whole, target)
