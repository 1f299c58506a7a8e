"""Values to rows and back."""

import json
from datetime import date
from typing import TypeAlias

from nightferry.core.balance import Bin, Expectation, Standing
from nightferry.core.frame import Digest, FrameId, Role, Sighting
from nightferry.core.ledger import Account
from nightferry.core.night import Night
from nightferry.core.receipt import Outcome, Receipt
from nightferry.core.step import DELIVER
from nightferry.core.store import StorePath
from nightferry.ledger.schema import receipts, sightings, standings

Value: TypeAlias = str | int | float | bool | date | None
#: One encoder for all receipts: `json.dumps` makes a new one for each.
_write_json = json.JSONEncoder(separators=(",", ":")).encode

#: The columns that `sighting_from`, `standing_from` and `receipt_from` read, in their order.
SIGHTING = (
    sightings.c.telescope,
    sightings.c.evening,
    sightings.c.path,
    sightings.c.size,
    sightings.c.mtime_us,
    sightings.c.seen_us,
    sightings.c.role,
    sightings.c.ignored,
    sightings.c.refused,
)
STANDING = (standings.c.bin, standings.c.reason, standings.c.stage, standings.c.next_try_us)
RECEIPT = (
    receipts.c.frame,
    receipts.c.telescope,
    receipts.c.evening,
    receipts.c.step,
    receipts.c.version,
    receipts.c.outcome,
    receipts.c.reason,
    receipts.c.target,
    receipts.c.digest,
    receipts.c.proof,
    receipts.c.started_us,
    receipts.c.seconds,
    receipts.c.host,
)


def sighting_from(  # noqa: PLR0917 - called with a row, one argument for each column
    telescope: str,
    evening: date,
    path: str,
    size: int,
    mtime_us: int | None,
    seen_us: int,
    role: str,
    ignored: str,
    refused: str,
) -> Sighting:
    """Make a sighting of its row."""
    night = Night(telescope, evening)
    return Sighting(night, StorePath(path), size, mtime_us, seen_us, Role(role), ignored, refused)


def standing_from(bin_name: str, reason: str, stage: str, next_try_us: int) -> Standing:
    """Make a standing of its row."""
    return Standing(Bin(bin_name), reason, stage, next_try_us)


def receipt_from(  # noqa: PLR0917 - called with a row, one argument for each column
    frame: str,
    telescope: str,
    evening: date,
    step: str,
    version: str,
    outcome: str,
    reason: str,
    target: str,
    digest: str | None,
    proof: str,
    started_us: int,
    seconds: float,
    host: str,
) -> Receipt:
    """Make a receipt of its row."""
    return Receipt(
        FrameId(frame),
        Night(telescope, evening),
        step,
        version,
        Outcome(outcome),
        reason,
        target,
        None if digest is None else Digest(digest),
        {} if proof == "{}" else json.loads(proof),
        started_us,
        seconds,
        host,
    )


def sighting_row(seq: int, frame: FrameId, sighting: Sighting) -> dict[str, Value]:
    """Make the row of a sighting, whose identity the caller has worked out already."""
    return {
        "seq": seq,
        "frame": frame,
        "telescope": sighting.night.telescope,
        "evening": sighting.night.date,
        "path": sighting.path,
        "size": sighting.size,
        "mtime_us": sighting.mtime_us,
        "seen_us": sighting.seen_us,
        "role": sighting.role.value,
        "ignored": sighting.ignored,
        "refused": sighting.refused,
    }


def standing_row(seq: int | None, frame: str, night: Night, standing: Standing, *, last: bool) -> dict[str, Value]:
    """Make the row of a frame's standing; ``seq`` is of its newest sighting."""
    return {
        "sighting": seq,
        "frame": frame,
        "telescope": night.telescope,
        "evening": night.date,
        "made": False,
        "last": last,
        "bin": standing.bin.value,
        "reason": standing.reason,
        "stage": standing.stage,
        "next_try_us": standing.next_try_us,
        "first": None,
        "key": None,
        "delivered": False,
    }


def made_row(first: int, account: Account) -> dict[str, Value]:
    """Make the row of a frame made of many; ``first`` numbers the first receipt about it."""
    return standing_row(None, account.id, account.night, account.standing, last=True) | {
        "made": True,
        "first": first,
        "key": account.key,
        "delivered": bool(account.delivered),
    }


def receipt_row(seq: int, receipt: Receipt) -> dict[str, Value]:
    """Make the row of a receipt."""
    name = receipt.proof.get("name") if receipt.step == DELIVER else None
    return {
        "seq": seq,
        "frame": receipt.frame,
        "telescope": receipt.night.telescope,
        "evening": receipt.night.date,
        "step": receipt.step,
        "version": receipt.version,
        "outcome": receipt.outcome.value,
        "reason": receipt.reason,
        "target": receipt.target,
        "digest": receipt.digest,
        "stored": name if isinstance(name, str) else None,
        "proof": _write_json(dict(receipt.proof)),
        "started_us": receipt.started_us,
        "seconds": receipt.seconds,
        "host": receipt.host,
    }


def expectation_from(steps: str, archives: str, versions: str) -> Expectation:
    """Make an expectation of its row."""
    told: dict[str, str | list[str]] = json.loads(versions)
    texts = {name: [text] if isinstance(text, str) else text for name, text in told.items()}
    present = {name: words[0] for name, words in texts.items()}
    former = {name: words[1] for name, words in texts.items() if len(words) > 1}
    return Expectation(tuple(json.loads(steps)), tuple(json.loads(archives)), present, former)


def expectation_row(telescope: str, expected: Expectation) -> dict[str, Value]:
    """Make the row of an expectation."""
    former = expected.former
    versions = {name: [text, former[name]] if name in former else text for name, text in expected.versions.items()}
    return {
        "telescope": telescope,
        "steps": json.dumps(list(expected.steps)),
        "archives": json.dumps(list(expected.archives)),
        "versions": json.dumps(versions, sort_keys=True),
    }
