"""How telescopes last answered, and the overview of their last nights."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date

from sqlalchemy import Connection, func, select, text
from sqlalchemy.dialects.sqlite import insert

from nightferry.core.balance import Balance, Bin
from nightferry.core.night import Night
from nightferry.core.overview import Contact, NightLine, Overview, Products, Reason
from nightferry.core.receipt import Outcome, Receipt
from nightferry.ledgers.derive import pages
from nightferry.ledgers.made import open_products, products_of
from nightferry.ledgers.queries import balances, chosen
from nightferry.ledgers.schema import OPEN_INDEXED, contacts, standings

_NEW = insert(contacts)
_KEEP_LATEST = _NEW.on_conflict_do_update(
    index_elements=[contacts.c.telescope],
    set_={"proven_us": func.max(contacts.c.proven_us, _NEW.excluded.proven_us)},
)
_LOOKED = _NEW.on_conflict_do_update(
    index_elements=[contacts.c.telescope],
    set_={
        "looked_us": _NEW.excluded.looked_us,
        "reached_us": func.max(contacts.c.reached_us, _NEW.excluded.reached_us),
        "news_us": func.max(contacts.c.news_us, _NEW.excluded.news_us),
        "trouble": _NEW.excluded.trouble,
    },
)
_NOT_PENDING = standings.c.bin != Bin.PENDING.value
_PROVING = frozenset({"deliver", "audit"})


def note_contact(connection: Connection, contact: Contact) -> None:
    """Write down how a telescope answered; what a look does not tell stays as it was."""
    connection.execute(_LOOKED, _row(contact))


def note_proofs(connection: Connection, told: Sequence[Receipt]) -> None:
    """Keep the time of each telescope's newest proof."""
    newest: dict[str, int] = {}
    for receipt in told:
        if receipt.step in _PROVING and receipt.outcome is Outcome.DONE:
            name = receipt.night.telescope
            newest[name] = max(newest.get(name, 0), receipt.started_us)
    if newest:
        connection.execute(_KEEP_LATEST, [_row(Contact(name, proven_us=at_us)) for name, at_us in newest.items()])


def contact_of(connection: Connection, telescope: str) -> Contact:
    """Tell how a telescope last answered."""
    row = connection.execute(select(contacts).where(contacts.c.telescope == telescope)).one_or_none()
    if row is None:
        return Contact(telescope)
    return Contact(row.telescope, row.looked_us, row.reached_us, row.news_us, row.proven_us, row.trouble)


def overview_of(connection: Connection, telescope: str, count: int) -> Overview:
    """Look at the last nights of a telescope, and count what is open in those before."""
    evening = standings.c.evening
    newest = select(evening).where(standings.c.telescope == telescope).distinct().order_by(evening.desc()).limit(count)
    evenings = list(connection.execute(newest).scalars())
    reasons = _reasons(connection, telescope, evenings)
    made = products_of(connection, telescope, evenings)
    lines = [
        NightLine(one, reasons[one.night.date], made.get(one.night.date, Products()))
        for one in balances(connection, telescope, evenings)
    ]
    older, oldest = _older(connection, telescope, evenings)
    waiting = open_products(connection, telescope, min(evenings)) if evenings else {}
    oldest = min((*waiting, *([oldest] if oldest else [])), default=None)
    return Overview(
        contact_of(connection, telescope), lines[::-1], older, oldest, sum(waiting.values(), start=Counter())
    )


def open_nights(connection: Connection, telescope: str, before: date) -> list[NightLine]:
    """Look at the nights before another with frames or cubes that are held or failed, newest first.

    Their frames are counted from the standings alone, and their bytes not at all: indexes answer, and at once.
    """
    evening = standings.c.evening
    asked = (
        select(evening)
        .where(standings.c.telescope == telescope, evening < before, text(OPEN_INDEXED), _NOT_PENDING)
        .distinct()
    )
    evenings = {*connection.execute(asked).scalars(), *open_products(connection, telescope, before)}
    found: list[NightLine] = []
    for page in pages(sorted(evenings, reverse=True)):
        counts: dict[date, Counter[str]] = defaultdict(Counter)
        stood = select(evening, standings.c.bin, func.count()).where(chosen(telescope, page))
        for day, bin_name, count in connection.execute(stood.group_by(evening, standings.c.bin)):
            counts[day].update({bin_name: count, "seen": count})
        reasons, made = _reasons(connection, telescope, page), products_of(connection, telescope, page)
        found += [
            NightLine(Balance(Night(telescope, day), **counts[day]), reasons[day], made.get(day, Products()))
            for day in page
        ]
    return found


def _reasons(connection: Connection, telescope: str, evenings: Sequence[date]) -> dict[date, list[Reason]]:
    """Count the held and failed frames by stage, with the most frequent reason of each."""
    columns = (standings.c.evening, standings.c.bin, standings.c.stage, standings.c.reason)
    number = func.count()
    asked = (
        select(*columns, number)
        .where(standings.c.telescope == telescope, standings.c.evening.in_(evenings), text(OPEN_INDEXED))
        .group_by(*columns)
        .order_by(number.desc(), standings.c.reason)
    )
    found: dict[date, dict[tuple[str, str], Reason]] = defaultdict(dict)
    for evening, bin_name, stage, reason, count in connection.execute(asked):
        if bin_name == Bin.PENDING.value:
            continue
        first = found[evening].get((bin_name, stage))
        total = count + (first.frames if first else 0)
        found[evening][bin_name, stage] = Reason(Bin(bin_name), stage, first.reason if first else reason, total)
    told: dict[date, list[Reason]] = defaultdict(list)
    for evening, by_stage in found.items():
        told[evening] = sorted(by_stage.values(), key=lambda one: -one.frames)
    return told


def _older(connection: Connection, telescope: str, evenings: Sequence[date]) -> tuple[dict[Bin, int], date | None]:
    if not evenings:
        return {}, None
    asked = (
        select(standings.c.bin, func.count(), func.min(standings.c.evening))
        .where(standings.c.telescope == telescope, standings.c.evening < min(evenings), text(OPEN_INDEXED))
        .group_by(standings.c.bin)
    )
    rows = connection.execute(asked).all()
    counts = {Bin(name): count for name, count, _ in rows}
    return counts, min((first for _, _, first in rows), default=None)


def _row(contact: Contact) -> dict[str, str | int]:
    return {
        "telescope": contact.telescope,
        "looked_us": contact.looked_us,
        "reached_us": contact.reached_us,
        "news_us": contact.news_us,
        "proven_us": contact.proven_us,
        "trouble": contact.trouble,
    }
