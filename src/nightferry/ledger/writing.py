"""Appending sightings and receipts, inside a writer's transaction."""

from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import Connection, bindparam, func, insert, select

from nightferry.core.balance import Expectation, standing_of
from nightferry.core.frame import FrameId, Sighting
from nightferry.core.receipt import Receipt
from nightferry.ledger.bulk import write_rows
from nightferry.ledger.contacts import note_proofs
from nightferry.ledger.derive import NOTHING, PAGE, expectations_of, restate
from nightferry.ledger.rows import receipt_row, sighting_row, standing_row
from nightferry.ledger.schema import receipts, sightings, standings

_LAST_OF_PATHS = (
    select(func.max(sightings.c.seq))
    .where(
        sightings.c.telescope == bindparam("telescope"),
        sightings.c.path.in_(bindparam("paths", expanding=True, type_=sightings.c.path.type)),
    )
    .group_by(sightings.c.path)
)
_LAST = select(
    sightings.c.path,
    sightings.c.frame,
    sightings.c.evening,
    sightings.c.role,
    sightings.c.ignored,
    sightings.c.refused,
    sightings.c.seen_us,
).where(sightings.c.seq.in_(_LAST_OF_PATHS))

_NEW_RECEIPTS, _NEW_SIGHTINGS, _NEW_STANDINGS = insert(receipts), insert(sightings), insert(standings)

#: All that a sighting says beyond its path; of a last one its time, too.
_Saying = tuple[object, ...]


def append_sightings(connection: Connection, seen: Iterable[Sighting]) -> None:
    """Append sightings in their order; one that says nothing but what its path's last says is left out.

    One that is earlier than the last is kept: the last was stamped by a clock that was ahead.
    """
    expected = expectations_of(connection)
    seq: int = connection.execute(select(func.coalesce(func.max(sightings.c.seq), 0))).scalar_one()
    for page in _path_pages(seen):
        seq = _append_page(connection, page, seq, expected)


def append_receipts(connection: Connection, told: Sequence[Receipt]) -> None:
    """Append receipts in their order, and make the standings of their frames anew."""
    seq: int = connection.execute(select(func.coalesce(func.max(receipts.c.seq), 0))).scalar_one()
    write_rows(connection, _NEW_RECEIPTS, [receipt_row(seq + place, receipt) for place, receipt in enumerate(told, 1)])
    restate(connection, [receipt.frame for receipt in told], told, seq)
    note_proofs(connection, told)


def _path_pages(seen: Iterable[Sighting]) -> Iterator[list[Sighting]]:
    """Cut sightings into pages of one telescope, in which no path comes twice."""
    page: list[Sighting] = []
    paths: set[str] = set()
    for sighting in seen:
        new_page = len(page) == PAGE or sighting.path in paths
        if page and (new_page or sighting.night.telescope != page[0].night.telescope):
            yield page
            page, paths = [], set()
        page.append(sighting)
        paths.add(sighting.path)
    if page:
        yield page


def _append_page(connection: Connection, page: list[Sighting], seq: int, expected: dict[str, Expectation]) -> int:
    """Append one page and tell the number of the last row."""
    telescope = page[0].night.telescope
    before = _last_sayings(connection, telescope, [sighting.path for sighting in page])
    rows, new_standings = [], []
    changed: list[str] = []
    for sighting in page:
        frame = sighting.id
        last = before.get(sighting.path)
        if last is not None and last[:-1] == _saying(frame, sighting) and not _is_earlier(sighting, last):
            continue
        seq += 1
        rows.append(sighting_row(seq, frame, sighting))
        if last is None:  # never seen under this name, so it has no receipts and replaces nothing
            standing = standing_of(sighting, (), expected.get(telescope, NOTHING))
            new_standings.append(standing_row(seq, frame, sighting.night, standing, last=True))
        else:
            changed += (str(last[0]), frame)
    write_rows(connection, _NEW_SIGHTINGS, rows)
    write_rows(connection, _NEW_STANDINGS, new_standings)
    restate(connection, changed)
    return seq


def _is_earlier(sighting: Sighting, last: _Saying) -> bool:
    """Whether a state was seen before the time that its last sighting tells: our clock was ahead then."""
    return isinstance(last[-1], int) and sighting.seen_us < last[-1]


def _last_sayings(connection: Connection, telescope: str, paths: list[str]) -> dict[str, _Saying]:
    """Return what the last sighting of each path says, for the paths that were ever seen."""
    found = connection.execute(_LAST, {"telescope": telescope, "paths": paths})
    return {row[0]: tuple(row[1:]) for row in found}


def _saying(frame: FrameId, sighting: Sighting) -> _Saying:
    return (frame, sighting.night.date, sighting.role.value, sighting.ignored, sighting.refused)
