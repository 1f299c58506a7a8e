"""What a glance at the ledger tells: contacts, balances, the overview of the last nights, what is open in others.

These are the questions of every minute, so they are plain SQL, which `nightferry.ledger.sql` asks through SQLAlchemy
and `nightferry.ledger.glance` without it. Values are named (``:telescope``), as both and every database understand.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Protocol, TypeAlias

from nightferry.core.balance import Balance, Bin
from nightferry.core.frame import Role
from nightferry.core.night import Night
from nightferry.core.overview import Contact, NightLine, Overview, Products, Reason
from nightferry.ledger.revision import MADE_INDEXED, OPEN_INDEXED
from nightferry.ledger.text import read_text

Value: TypeAlias = str | int
Row: TypeAlias = Sequence[Value]
Values: TypeAlias = Mapping[str, Value]

_CONTACT = "SELECT looked_us, reached_us, news_us, proven_us, trouble FROM contacts WHERE telescope = :telescope"
_NEWEST = "SELECT DISTINCT evening FROM standings WHERE telescope = :telescope ORDER BY evening DESC LIMIT :count"
_BALANCES = (
    "SELECT t.telescope, t.evening, t.bin, count(*), sum(CASE WHEN t.bin = 'delivered' THEN s.size ELSE 0 END) "
    "FROM standings AS t JOIN sightings AS s ON s.seq = t.sighting WHERE {chosen} "
    "GROUP BY t.telescope, t.evening, t.bin"
)
# A path is part of a frame's identity, so a frame that was sighted again has a path that was: the scattered index of
# frames is asked only for paths that were sighted again.
_SEEN = (
    "SELECT t.telescope, t.evening, count(*) FROM sightings AS t WHERE {chosen} AND ("
    "NOT EXISTS (SELECT 1 FROM sightings AS later "
    "WHERE later.telescope = t.telescope AND later.path = t.path AND later.seq > t.seq) "
    "OR (EXISTS (SELECT 1 FROM receipts AS pulled "
    "WHERE pulled.frame = t.frame AND pulled.step = 'pull' AND pulled.outcome = 'done') "
    "AND NOT EXISTS (SELECT 1 FROM sightings AS newer WHERE newer.frame = t.frame AND newer.seq > t.seq))) "
    "GROUP BY t.telescope, t.evening"
)
_REASONS = (
    "SELECT t.evening, t.bin, t.stage, t.reason, count(*) FROM standings AS t "  # noqa: S608 - our own words
    f"WHERE {{chosen}} AND t.made = 0 AND {OPEN_INDEXED} "
    "GROUP BY t.evening, t.bin, t.stage, t.reason ORDER BY count(*) DESC, t.reason"
)
_OLDER = (
    "SELECT bin, count(*), min(evening) FROM standings "  # noqa: S608 - as above
    f"WHERE telescope = :telescope AND evening < :first AND made = 0 AND {OPEN_INDEXED} GROUP BY bin"
)
# An edition that was never delivered waits for nobody once a later one took its place, and no machine works at one.
_PRODUCTS = (
    "SELECT t.evening, t.bin, t.stage, t.reason, count(*) FROM standings AS t "  # noqa: S608 - our own words
    f"WHERE {{chosen}} AND {MADE_INDEXED} "
    f"AND (t.first = (SELECT max(newer.first) FROM standings AS newer WHERE newer.{MADE_INDEXED} "
    "AND newer.telescope = t.telescope AND newer.evening = t.evening AND newer.key = t.key) "
    "OR (t.bin = 'held' AND t.delivered)) "
    "GROUP BY t.evening, t.bin, t.stage, t.reason ORDER BY count(*) DESC, t.reason"
)
_OPEN_BEFORE = "t.telescope = :telescope AND t.evening < :before AND t.bin IN ('held', 'failed')"
_OPEN_NIGHTS = (
    "SELECT DISTINCT evening FROM standings "  # noqa: S608 - as above
    f"WHERE telescope = :telescope AND evening < :before AND made = 0 AND {OPEN_INDEXED} AND bin <> 'pending'"
)
_STOOD = "SELECT t.evening, t.bin, count(*) FROM standings AS t WHERE {chosen} AND t.made = 0 GROUP BY t.evening, t.bin"
_DOUBTS = (
    "SELECT t.telescope, t.evening, s.role FROM standings AS t JOIN sightings AS s ON s.seq = t.sighting "
    "WHERE {chosen} AND t.bin = 'held' AND t.stage = 'list' AND t.last AND s.role LIKE 'doubt%'"
)
#: How many nights one question is about; SQLite before 3.32 takes 999 values at most.
_PAGE = 400


class Ask(Protocol):
    """Asks one question inside a reader's transaction."""

    def __call__(self, sql: str, values: Values, /) -> Iterable[Row]:
        """Give the rows."""


def contact_of(ask: Ask, telescope: str) -> Contact:
    """Return how a telescope last answered."""
    for looked, reached, news, proven, trouble in ask(_CONTACT, {"telescope": telescope}):
        return Contact(telescope, int(looked), int(reached), int(news), int(proven), read_text(str(trouble)))
    return Contact(telescope)


def balances(ask: Ask, telescope: str | None, evenings: Sequence[date] | None) -> list[Balance]:
    """Return each night's balance, oldest first."""
    chosen, values = _chosen(telescope, evenings)
    # counted from sightings and receipts alone, so that the balance is a check of the standings
    seen = {_night(name, day): int(count) for name, day, count in ask(_SEEN.format(chosen=chosen), values)}
    counts: dict[Night, Counter[str]] = defaultdict(Counter)
    for name, day, bin_name, count, size in ask(_BALANCES.format(chosen=chosen), values):
        counts[_night(name, day)].update({str(bin_name): int(count), "bytes": int(size)})
    everything = sorted(seen.keys() | counts.keys(), key=lambda night: (night.date, night.telescope))
    doubted, doubtful = _doubted(ask, telescope)
    return [
        Balance(
            night,
            seen=seen.get(night, 0),
            complete=night not in doubted and night.telescope not in doubtful,
            **counts[night],
        )
        for night in everything
    ]


def _doubted(ask: Ask, telescope: str | None) -> tuple[set[Night], set[str]]:
    """Return the nights that the last looks may not have shown whole, and the telescopes of which that is any night."""
    chosen, values = _chosen(telescope, None)
    nights: set[Night] = set()
    telescopes: set[str] = set()
    for name, day, role in ask(_DOUBTS.format(chosen=chosen), values):
        if role == Role.DOUBT:
            nights.add(_night(name, day))
        else:
            telescopes.add(str(name))
    return nights, telescopes


def overview_of(ask: Ask, telescope: str, count: int) -> Overview:
    """Look at the last nights of a telescope, and count what is open in those before."""
    evenings = [_day(row[0]) for row in ask(_NEWEST, {"telescope": telescope, "count": count})]
    reasons, made = _reasons(ask, telescope, evenings), _products(ask, *_chosen(telescope, evenings))
    lines = [
        NightLine(one, reasons[one.night.date], made.get(one.night.date, Products()))
        for one in balances(ask, telescope, evenings)
    ]
    older, oldest = _older(ask, telescope, evenings)
    waiting = _open_products(ask, telescope, min(evenings)) if evenings else {}
    counts = sum((Counter(one.counts) for one in waiting.values()), start=Counter[Bin]())
    oldest = min((*waiting, *([oldest] if oldest else [])), default=None)
    return Overview(contact_of(ask, telescope), lines[::-1], older, oldest, counts)


def open_nights(ask: Ask, telescope: str, before: date) -> list[NightLine]:
    """Look at the nights before another with frames or cubes that are held or failed, newest first.

    Their frames are counted from the standings alone, and their bytes not at all: indexes answer, and at once.
    """
    rows = ask(_OPEN_NIGHTS, {"telescope": telescope, "before": before.isoformat()})
    evenings = {*(_day(row[0]) for row in rows), *_open_products(ask, telescope, before)}
    ordered, found = sorted(evenings, reverse=True), list[NightLine]()
    for start in range(0, len(ordered), _PAGE):
        page = ordered[start : start + _PAGE]
        chosen, values = _chosen(telescope, page)
        counts: dict[date, Counter[str]] = defaultdict(Counter)
        for day, bin_name, count in ask(_STOOD.format(chosen=chosen), values):
            counts[_day(day)].update({str(bin_name): int(count), "seen": int(count)})
        reasons, made = _reasons(ask, telescope, page), _products(ask, chosen, values)
        doubted, doubtful = _doubted(ask, telescope)
        for evening in page:
            night = Night(telescope, evening)
            complete = night not in doubted and telescope not in doubtful
            balance = Balance(night, complete=complete, **counts[evening])
            found.append(NightLine(balance, reasons[evening], made.get(evening, Products())))
    return found


def _products(ask: Ask, chosen: str, values: Values) -> dict[date, Products]:
    """Count the products of nights by where they stand, and say why those that are held or failed are."""
    counts: dict[date, Counter[Bin]] = defaultdict(Counter)
    reasons: dict[date, list[Reason]] = defaultdict(list)
    for day, bin_name, stage, reason, count in ask(_PRODUCTS.format(chosen=chosen), values):
        evening, place = _day(day), Bin(str(bin_name))
        counts[evening][place] += int(count)
        if place in {Bin.HELD, Bin.FAILED}:
            reasons[evening].append(Reason(place, str(stage), read_text(str(reason)), int(count)))
    return {evening: Products(counts[evening], reasons[evening]) for evening in counts}


def _open_products(ask: Ask, telescope: str, before: date) -> dict[date, Products]:
    """Count the products that are held or failed, of each night before another."""
    return _products(ask, _OPEN_BEFORE, {"telescope": telescope, "before": before.isoformat()})


def _reasons(ask: Ask, telescope: str, evenings: Sequence[date]) -> dict[date, list[Reason]]:
    """Count the held and failed frames by stage, with the most frequent reason of each."""
    chosen, values = _chosen(telescope, evenings)
    found: dict[date, dict[tuple[Bin, str], Reason]] = defaultdict(dict)
    for day, bin_name, stage_name, reason, count in ask(_REASONS.format(chosen=chosen), values):
        place, stage = Bin(str(bin_name)), str(stage_name)
        if place is Bin.PENDING:
            continue
        first = found[_day(day)].get((place, stage))
        total = int(count) + (first.frames if first else 0)
        words = first.reason if first else read_text(str(reason))
        found[_day(day)][place, stage] = Reason(place, stage, words, total)
    told: dict[date, list[Reason]] = defaultdict(list)
    for evening, by_stage in found.items():
        told[evening] = sorted(by_stage.values(), key=lambda one: -one.frames)
    return told


def _older(ask: Ask, telescope: str, evenings: Sequence[date]) -> tuple[dict[Bin, int], date | None]:
    if not evenings:
        return {}, None
    rows = list(ask(_OLDER, {"telescope": telescope, "first": min(evenings).isoformat()}))
    counts = {Bin(str(name)): int(count) for name, count, _ in rows}
    return counts, min((_day(first) for _, _, first in rows), default=None)


def _chosen(telescope: str | None, evenings: Sequence[date] | None) -> tuple[str, dict[str, Value]]:
    """Write the condition on rows ``t`` that chooses telescope and evenings (None: any), and its values."""
    parts, values = ["1 = 1"], dict[str, Value]()
    if telescope is not None:
        parts.append("t.telescope = :telescope")
        values["telescope"] = telescope
    if evenings is not None:
        days = {f"evening_{place}": evening.isoformat() for place, evening in enumerate(evenings)}
        parts.append(f"t.evening IN ({', '.join(f':{name}' for name in days)})" if days else "1 = 0")
        values |= days
    return " AND ".join(parts), values


def _night(telescope: Value, evening: Value) -> Night:
    return Night(str(telescope), _day(evening))


def _day(evening: Value) -> date:
    return date.fromisoformat(str(evening))
