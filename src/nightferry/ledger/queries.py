"""The questions that are asked of the ledger, inside a reader's transaction."""

import re
import secrets
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    SQLColumnExpression,
    and_,
    bindparam,
    func,
    or_,
    select,
    text,
)

from nightferry.core.balance import Bin
from nightferry.core.frame import FrameId
from nightferry.core.ledger import Account, Known, Stamps, made_account
from nightferry.core.night import Night
from nightferry.core.receipt import Outcome, Receipt
from nightferry.core.step import DELIVER, PULL
from nightferry.core.store import StorePath
from nightferry.ledger.derive import pages
from nightferry.ledger.revision import DIGEST_INDEXED, MADE_INDEXED
from nightferry.ledger.rows import RECEIPT, SIGHTING, STANDING, receipt_from, sighting_from, standing_from
from nightferry.ledger.schema import receipts, sightings, standings
from nightferry.ledger.text import read_text, write_text

_SEQS: BindParameter[list[int]] = bindparam("seqs", expanding=True)
_FRAMES: BindParameter[list[str]] = bindparam("frames", expanding=True)
_STATED = standings.join(sightings, sightings.c.seq == standings.c.sighting)
_AT = sightings.join(standings, and_(standings.c.frame == sightings.c.frame, standings.c.sighting == sightings.c.seq))
_ACCOUNTS = (
    select(standings.c.sighting, standings.c.frame, *STANDING, *SIGHTING)
    .select_from(_AT)
    .where(sightings.c.seq.in_(_SEQS))
)
_RECEIPTS = select(*RECEIPT).where(receipts.c.frame.in_(_FRAMES)).order_by(receipts.c.seq)
_BY_NIGHT_AND_PATH = (standings.c.telescope, standings.c.evening, sightings.c.path, standings.c.sighting)
_BY_NIGHT_AND_TIME = (
    standings.c.evening,
    func.coalesce(sightings.c.mtime_us, 0),
    sightings.c.path,
    standings.c.sighting,
)
# Asked for on each pass, 100,000 rows and more: read as they come from the database driver.
_KNOWN = (
    "SELECT s.path, s.frame, s.evening, s.size, s.mtime_us, s.seen_us, t.bin, t.next_try_us, s.refused, s.ignored "
    "FROM standings AS t JOIN sightings AS s ON s.seq = t.sighting WHERE t.telescope = ? AND t.last"
)
_KnownRow = tuple[str, str, str, int, int | None, int, str, int, str, str]
#: Receipts of a pass are written in groups, so their stamps are a little out of order where nothing is wrong.
_SLACK_US = 6 * 3600 * 1_000_000
_DIGITS = re.compile(r"[0-9a-fA-F]{8,64}")
_AFTER_DIGITS = "g"  # sorts behind every hexadecimal digit


def known(connection: Connection, telescope: str, nights: Sequence[date] | None = None) -> dict[StorePath, Known]:
    """Return the last sighting of every path of a telescope, of all nights or these."""
    found: dict[StorePath, Known] = {}
    evenings: dict[str, date] = {}
    bins = {one.value: one for one in Bin}
    same: dict[int, int] = {}  # most sizes and times of sighting are equal, and kept once
    rows = _known_rows(connection, telescope, nights)
    for path, frame, evening, size, mtime_us, seen_us, bin_name, next_try_us, refused, ignored in rows:
        day = evenings.get(evening)
        if day is None:
            day = evenings[evening] = date.fromisoformat(evening)
        rule = refused or ignored
        found[StorePath(read_text(path))] = Known(
            FrameId(frame),
            day,
            same.setdefault(size, size),
            mtime_us,
            same.setdefault(seen_us, seen_us),
            bins[bin_name],
            next_try_us,
            read_text(rule) if rule else "",
        )
    return found


def _known_rows(connection: Connection, telescope: str, nights: Sequence[date] | None) -> Iterator[_KnownRow]:
    words = tuple(night.isoformat() for night in nights or ())
    chosen_nights = "" if nights is None else f" AND t.evening IN ({', '.join('?' * len(words))})"
    cursor = connection.exec_driver_sql(_KNOWN + chosen_nights, (telescope, *words)).cursor
    while rows := cursor.fetchmany(2000):
        yield from rows


def chosen(
    telescope: str | None, evenings: Sequence[date] | None, bins: Sequence[Bin] | None = None
) -> ColumnElement[bool]:
    """Choose standings of sighted frames by telescope, evenings and bins; None chooses any."""
    parts: list[ColumnElement[bool]] = [~standings.c.made]
    if telescope is not None:
        parts.append(standings.c.telescope == telescope)
    if evenings is not None:
        parts.append(standings.c.evening.in_(list(evenings)))
    if bins is not None:
        parts.append(standings.c.bin.in_([one.value for one in bins]))
    return and_(*parts)


def outstanding(connection: Connection, telescope: str, evenings: Sequence[date] | None) -> tuple[int, int]:
    """Count the pending and failed frames, and their bytes."""
    columns = func.count(), func.coalesce(func.sum(sightings.c.size), 0)
    condition = chosen(telescope, evenings, (Bin.PENDING, Bin.FAILED))
    frames, size = connection.execute(select(*columns).select_from(_STATED).where(condition)).one()
    return int(frames), int(size)


def places(connection: Connection, condition: ColumnElement[bool]) -> list[int]:
    """List the chosen frames by the number of their newest sighting, ordered by night and path."""
    return _ordered(connection, condition, _BY_NIGHT_AND_PATH)


def open_places(
    connection: Connection, telescope: str, evenings: Sequence[date] | None, now_us: int, *, retry: bool
) -> list[int]:
    """List the frames with work for the machine now, ordered by night, time and path."""
    failed = standings.c.bin == Bin.FAILED.value
    due = failed if retry else and_(failed, standings.c.next_try_us <= now_us)
    condition = and_(chosen(telescope, evenings), or_(standings.c.bin == Bin.PENDING.value, due))
    return _ordered(connection, condition, _BY_NIGHT_AND_TIME)


def _ordered(
    connection: Connection, condition: ColumnElement[bool], order: Sequence[SQLColumnExpression[object]]
) -> list[int]:
    asked = select(standings.c.sighting).select_from(_STATED).where(condition).order_by(*order)
    return list(connection.execute(asked).scalars())


def accounts_at(connection: Connection, seqs: Sequence[int]) -> list[Account]:
    """Read the accounts of frames in the order of ``seqs``; those replaced since are left out."""
    found: list[Account] = []
    for page in pages(seqs):
        rows = {row[0]: tuple(row) for row in connection.execute(_ACCOUNTS, {"seqs": list(page)})}
        told = _receipts_of(connection, [row[1] for row in rows.values()])
        for seq in page:
            if seq in rows:
                _, frame, bin_name, reason, stage, next_try_us, *columns = rows[seq]
                standing = standing_from(bin_name, reason, stage, next_try_us)
                found.append(Account(sighting_from(*columns), standing, tuple(told[frame])))
    return found


def _receipts_of(connection: Connection, frames: Sequence[str]) -> dict[str, list[Receipt]]:
    found: dict[str, list[Receipt]] = defaultdict(list)
    for row in connection.execute(_RECEIPTS, {"frames": list(frames)}).all():
        found[row[0]].append(receipt_from(*tuple(row)))
    return found


def history(connection: Connection, frame: str) -> list[Receipt]:
    """Read the receipts about one identity, oldest first."""
    return _receipts_of(connection, [frame]).get(frame, [])


def products(connection: Connection, telescope: str | None, evenings: Sequence[date] | None) -> list[Account]:
    """Return the frames made of many, ordered by night and time of making."""
    asked = select(standings.c.frame).where(text(MADE_INDEXED)).order_by(standings.c.evening, standings.c.first)
    if telescope is not None:
        asked = asked.where(standings.c.telescope == telescope)
    if evenings is not None:
        asked = asked.where(standings.c.evening.in_(list(evenings)))
    return made_of(connection, connection.execute(asked).scalars().all())


def made_of(connection: Connection, frames: Sequence[str]) -> list[Account]:
    """Read the accounts of frames made of many, in the order of ``frames``."""
    found: list[Account] = []
    for page in pages(frames):
        told = _receipts_of(connection, page)
        found += [made_account(FrameId(frame), told[frame]) for frame in page]
    return found


def finding(words: str) -> list[ColumnElement[bool]]:
    """List the ways to look a frame up by what a person has in hand, the narrowest first."""
    ways: list[ColumnElement[bool]] = []
    if _DIGITS.fullmatch(words):
        first = words.lower()
        behind = first + _AFTER_DIGITS
        by_digest = select(receipts.c.frame).where(
            text(DIGEST_INDEXED), receipts.c.digest >= first, receipts.c.digest < behind
        )
        by_id = and_(standings.c.frame >= first, standings.c.frame < behind)
        ways.append(or_(by_id, standings.c.frame.in_(by_digest)))
    name = words.strip("/")
    if name:
        stored = select(receipts.c.frame).where(
            receipts.c.seq.in_(select(receipts.c.seq).where(_named(receipts.c.stored, name)))
        )
        shown = select(sightings.c.frame).where(_named(sightings.c.path, name))
        ways.append(or_(standings.c.frame.in_(shown), standings.c.frame.in_(stored)))
    return ways


def _named(column: ColumnElement[str], name: str) -> ColumnElement[bool]:
    """Whether a column's path is this one, or ends with it after a slash."""
    tail = write_text(f"/{name}")
    ends = func.substr(column, -len(tail)) == tail
    return and_(column.is_not(None), or_(column == name, ends))


def stamps(connection: Connection, telescope: str) -> Stamps:
    """Return what the stamps of receipts say of the clock; only deliveries of one telescope are named."""
    newest = connection.execute(text("SELECT max(started_us) FROM receipts")).scalar()
    rows = connection.execute(
        text(
            "SELECT frame, max(running) FROM (SELECT frame, telescope, step, outcome, started_us, "
            "max(started_us) OVER (ORDER BY seq) AS running FROM receipts) AS stamped "
            "WHERE telescope = :telescope AND step = 'deliver' AND outcome = 'done' AND started_us < running - :slack "
            "GROUP BY frame"
        ),
        {"telescope": telescope, "slack": _SLACK_US},
    )
    return Stamps(newest or 0, {FrameId(frame): running for frame, running in rows})


def delivered_sample(connection: Connection, archive: str, count: int) -> list[StorePath]:
    """Return names of deliveries to an archive: half of them the newest, the others from a random place on."""
    stored = select(receipts.c.stored).where(
        receipts.c.stored.is_not(None),
        receipts.c.step == DELIVER,
        receipts.c.outcome == Outcome.DONE.value,
        receipts.c.target == archive,
    )
    newest = connection.execute(stored.order_by(receipts.c.seq.desc()).limit(count // 2)).scalars().all()
    last = connection.execute(select(func.max(receipts.c.seq))).scalar() or 0
    some = stored.where(receipts.c.seq >= secrets.randbelow(last + 1)).order_by(receipts.c.seq).limit(count // 2)
    names = dict.fromkeys([*newest, *connection.execute(some).scalars()])
    return [StorePath(read_text(name)) for name in names]


def delivered_names(connection: Connection, archive: str) -> frozenset[StorePath]:
    """Return every name that anything was ever delivered under in an archive."""
    asked = select(receipts.c.stored).where(
        receipts.c.stored.is_not(None),
        receipts.c.step == DELIVER,
        receipts.c.outcome == Outcome.DONE.value,
        receipts.c.target == archive,
    )
    return frozenset(StorePath(read_text(name)) for name in connection.execute(asked).scalars())


def nights(connection: Connection, telescope: str) -> list[Night]:
    """Return the evenings of the frames that count, oldest first."""
    evening = standings.c.evening
    asked = select(evening).where(standings.c.telescope == telescope).distinct().order_by(evening)
    return [Night(telescope, day) for day in connection.execute(asked).scalars()]


def oldest_pulled(connection: Connection, telescope: str) -> date | None:
    """Return the oldest night that it was ever tried to pull a frame of; a frame that was gone was not tried."""
    tried = select(receipts.c.seq).where(
        receipts.c.frame == standings.c.frame, receipts.c.step == PULL, receipts.c.outcome != Outcome.HELD.value
    )
    evening = standings.c.evening
    asked = select(evening).where(chosen(telescope, None), tried.exists()).order_by(evening).limit(1)
    return connection.execute(asked).scalars().first()
