"""Standings, made from sightings and receipts alone, inside the transaction that adds some.

A frame counts when it is the last sighting of its path, or when its pull is done; `restate` is the one place
that decides it.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import TypeVar

from sqlalchemy import BindParameter, Connection, and_, bindparam, case, delete, func, select
from sqlalchemy.dialects.sqlite import insert

from nightferry.core.balance import Bin, Expectation, standing_of
from nightferry.core.night import Night
from nightferry.core.receipt import Outcome, Receipt
from nightferry.core.step import PULL, RELEASE
from nightferry.ledger.bulk import write_rows
from nightferry.ledger.made import made_rows, unsighted
from nightferry.ledger.rows import (
    SIGHTING,
    expectation_from,
    sighting_from,
    standing_row,
)
from nightferry.ledger.schema import expectations, receipts, sightings, standings

#: What is expected of a telescope that the ledger was never told about.
NOTHING = Expectation((), ())
#: How many frames one statement is about; SQLite before 3.32 takes 999 values at most, and some name a frame twice.
PAGE = 400

#: No table has a row behind this one: SQLite's largest number.
_NEWEST_ROW = 2**63 - 1

_T = TypeVar("_T")
_OUTCOMES = {outcome.value: outcome for outcome in Outcome}
_FRAMES: BindParameter[list[str]] = bindparam("frames", expanding=True)

_newer = sightings.alias("newer")
_NEWEST = select(func.max(sightings.c.seq)).where(sightings.c.frame.in_(_FRAMES)).group_by(sightings.c.frame)
_LAST_OF_PATH = (
    select(func.max(_newer.c.seq))
    .where(_newer.c.telescope == sightings.c.telescope, _newer.c.path == sightings.c.path)
    .scalar_subquery()
)
_SIGHTED = select(
    sightings.c.seq, sightings.c.frame, (sightings.c.seq == _LAST_OF_PATH).label("last"), *SIGHTING
).where(sightings.c.seq.in_(_NEWEST))
# As much of a receipt as a standing depends on; proofs are read only of releases, where they say "drop".
_HISTORY = (
    select(
        receipts.c.frame,
        receipts.c.step,
        receipts.c.version,
        receipts.c.outcome,
        receipts.c.reason,
        receipts.c.target,
        receipts.c.started_us,
        receipts.c.seconds,
        case((receipts.c.step == RELEASE, receipts.c.proof), else_="{}"),
    )
    .where(receipts.c.frame.in_(_FRAMES), receipts.c.seq <= bindparam("before"))
    .order_by(receipts.c.seq)
)
_IN_ORDER = (
    select(sightings.c.seq, sightings.c.frame, sightings.c.telescope)
    .where(sightings.c.seq > bindparam("after"))
    .order_by(sightings.c.seq)
    .limit(PAGE)
)
_FORGET = delete(standings).where(standings.c.frame.in_(_FRAMES))
_STATE = insert(standings)
_STATE = _STATE.on_conflict_do_update(
    index_elements=[standings.c.frame],
    set_={column.name: _STATE.excluded[column.name] for column in standings.c if column.name != "frame"},
)


def pages(items: Sequence[_T], size: int = PAGE) -> Iterator[Sequence[_T]]:
    """Cut a sequence into pieces that one statement can carry."""
    return (items[start : start + size] for start in range(0, len(items), size))


def expectations_of(connection: Connection) -> dict[str, Expectation]:
    """Read what is expected of every telescope."""
    rows = connection.execute(select(expectations))
    return {row.telescope: expectation_from(row.steps, row.archives, row.versions) for row in rows}


def restate(
    connection: Connection, frames: Iterable[str], told: Sequence[Receipt] = (), before: int = _NEWEST_ROW
) -> None:
    """Make the standings of these frames anew: one row for each that counts, none for the others.

    What was never sighted was made of many frames. Receipts are read up to the row ``before``; those that follow, in
    this very transaction, are ``told``.
    """
    expected = expectations_of(connection)
    following: dict[str, list[Receipt]] = {}
    for receipt in told:
        following.setdefault(receipt.frame, []).append(receipt)
    for page in pages(list(dict.fromkeys(frames))):
        history = _history_of(connection, page, before)
        sighted = connection.execute(_SIGHTED, {"frames": list(page)}).all()
        rows = made_rows(connection, set(page) - {row.frame for row in sighted})
        for seq, frame, last, *columns in sighted:
            whole = [*history.get(frame, ()), *following.get(frame, ())]
            if not last and not _was_pulled(whole):
                continue
            sighting = sighting_from(*columns)
            standing = standing_of(sighting, whole, expected.get(sighting.night.telescope, NOTHING))
            rows.append(standing_row(seq, frame, sighting.night, standing, last=last))
        if gone := set(page) - {str(row["frame"]) for row in rows}:
            connection.execute(_FORGET, {"frames": list(gone)})
        write_rows(connection, _STATE, rows)


def _history_of(connection: Connection, frames: Sequence[str], before: int) -> dict[str, list[Receipt]]:
    """Read the receipts of up to `PAGE` frames until a row, oldest first, as far as standings depend on them."""
    nowhere = Night("", date.min)
    found: dict[str, list[Receipt]] = {}
    rows = connection.execute(_HISTORY, {"frames": list(frames), "before": before}).all()
    for frame, step, version, outcome, reason, target, started_us, seconds, proof in rows:
        facts = {} if proof == "{}" else json.loads(proof)
        receipt = Receipt(
            frame, nowhere, step, version, _OUTCOMES[outcome], reason, target, None, facts, started_us, seconds
        )
        found.setdefault(frame, []).append(receipt)
    return found


def _was_pulled(told: Iterable[Receipt]) -> bool:
    """Whether a frame's bytes have been here, which makes it one that we answer for, for ever."""
    return any(receipt.step == PULL and receipt.outcome is Outcome.DONE for receipt in told)


def restate_open(connection: Connection, telescope: str) -> None:
    """Make those standings of a telescope anew that a step's new version can change."""
    settled = (Bin.DELIVERED.value, Bin.IGNORED.value)
    chosen = and_(standings.c.telescope == telescope, ~standings.c.made, standings.c.bin.not_in(settled))
    restate(connection, connection.execute(select(standings.c.frame).where(chosen)).scalars().all())


def restate_made(connection: Connection) -> None:
    """Make the standing of every frame anew that was made of many; they depend on no route."""
    restate(connection, unsighted(connection))


def restate_all(connection: Connection, telescope: str | None) -> None:
    """Make the standing of every sighted frame anew, of one telescope or of all."""
    forget = delete(standings).where(~standings.c.made)
    connection.execute(forget if telescope is None else forget.where(standings.c.telescope == telescope))
    after = 0
    while rows := connection.execute(_IN_ORDER, {"after": after}).all():
        restate(connection, [row.frame for row in rows if telescope in {None, row.telescope}])
        after = rows[-1].seq
