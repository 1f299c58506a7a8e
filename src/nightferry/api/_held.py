"""Held: what waits for a person, and a person's answer."""

from collections.abc import Sequence
from dataclasses import dataclass

from nightferry.core.balance import Bin
from nightferry.core.errors import Misconfigured
from nightferry.core.frame import DOUBTS
from nightferry.core.ledger import Account, Ledger, latest_editions
from nightferry.core.receipt import Outcome
from nightferry.core.step import LIST, RELEASE
from nightferry.passes.receipts import noted


@dataclass(frozen=True, slots=True)
class HeldWork:
    """The frames and cubes that wait for a person."""

    frames: Sequence[Account]
    cubes: Sequence[Account]


def held(ledger: Ledger, telescope: str | None = None) -> HeldWork:
    """Return what waits for a person, of one telescope or of all.

    A cube's edition that was never delivered waits for nobody once a later one took its place.
    """
    products = ledger.products(telescope)
    latest = latest_editions(products)
    cubes = [one for one in products if one.standing.bin is Bin.HELD and (one in latest or one.delivered)]
    return HeldWork(ledger.accounts(telescope, None, [Bin.HELD]), cubes)


def find_one(ledger: Ledger, text: str, telescope: str | None = None) -> Account:
    """Find the one frame that a person means; raises `Misconfigured` when it is none or several."""
    found = [
        account for account in ledger.find(text) if telescope is None or account.sighting.night.telescope == telescope
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise Misconfigured(
            f"the ledger knows no frame {text!r}: give its path at the telescope, its file name, its name in an "
            "archive, or 8 digits or more of its digest"
        )
    raise _unclear(
        text, "frames", [f"{one.sighting.id[:12]}  {one.sighting.night}  {one.sighting.path}" for one in found]
    )


def find_any(ledger: Ledger, text: str) -> Account:
    """Find the one frame, or else the one cube, that a person means.

    Raises `Misconfigured` when it is none or several.
    """
    if not ledger.find(text):
        found = [product for product in ledger.products() if product.is_meant(text)]
        if len(found) == 1:
            return found[0]
        if found:
            raise _unclear(text, "cubes", [f"{one.id[:12]}  {one.night}  {one.name}" for one in found])
    return find_one(ledger, text)


def _unclear(text: str, what: str, found: Sequence[str]) -> Misconfigured:
    shown = "\n".join(f"  {line}" for line in found[:20])
    more = f"\n  ... and {len(found) - 20} more" if len(found) > 20 else ""  # noqa: PLR2004 - a screenful
    return Misconfigured(f"{text!r} may be any of {len(found)} {what}; name one by its identity:\n{shown}{more}")


def release(ledger: Ledger, frame: str, why: str, *, drop: bool = False) -> Account:
    """Release a held frame or cube, with a person's reason; ``drop`` leaves it out of all further work instead.

    What `verify` or `validate` held goes on as it is; what another step held is tried there again.
    """
    meant = find_any(ledger, frame)
    name, standing = meant.name, meant.standing
    if not why.strip():
        raise Misconfigured("a release needs a reason: --why TEXT")
    if standing.bin is not Bin.HELD and not (drop and standing.bin is Bin.FAILED):
        raise Misconfigured(f"{name} is not held; it is {standing.bin}")
    doubt = meant.sighting.role in DOUBTS
    if standing.stage == LIST and not drop and not doubt:
        raise Misconfigured(f"{name} can never be carried ({standing.reason}); it can be dropped")
    if meant.made and not drop and meant not in latest_editions(ledger.products(meant.night.telescope)):
        raise Misconfigured(
            f"{name} is not made again, for a later version took its place: put the file back from another archive or "
            "a backup, or drop it"
        )
    receipt = noted(meant.id, meant.night, RELEASE, Outcome.DONE, why, proof={"drop": True} if drop else {})
    ledger.record([receipt])
    return ledger.account(meant.id) or meant
