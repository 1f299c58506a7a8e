"""Where products of many frames stand, made from the receipts about them alone, inside the transaction that adds some.

What has receipts and was never sighted is such a product, once the step that makes it has told its key.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import date

from sqlalchemy import ColumnElement, Connection, and_, delete, func, or_, select
from sqlalchemy.dialects.sqlite import insert

from nightferry.core.balance import Bin
from nightferry.core.frame import FrameId
from nightferry.core.overview import Products, Reason
from nightferry.core.product import Product
from nightferry.ledgers.rows import RECEIPT, receipt_from
from nightferry.ledgers.schema import products, receipts, sightings

_STATE = insert(products)
_STATE = _STATE.on_conflict_do_update(
    index_elements=[products.c.frame],
    set_={name: _STATE.excluded[name] for name in ("key", "bin", "stage", "reason", "delivered")},
)
_newer = products.alias("newer")
_LATEST = products.c.first == (
    select(func.max(_newer.c.first))
    .where(
        _newer.c.telescope == products.c.telescope,
        _newer.c.evening == products.c.evening,
        _newer.c.key == products.c.key,
    )
    .scalar_subquery()
)
#: An edition that was never delivered waits for nobody once a later one took its place, and no machine works at one.
_COUNTS = or_(_LATEST, and_(products.c.bin == Bin.HELD.value, products.c.delivered))


def restate_products(connection: Connection, identities: Iterable[str]) -> None:
    """Make the rows of these products anew; what is none has no row."""
    for identity in identities:
        asked = select(receipts.c.seq, *RECEIPT).where(receipts.c.frame == identity).order_by(receipts.c.seq)
        rows = connection.execute(asked).all()
        if not rows:
            continue
        told = tuple(receipt_from(*tuple(row)[1:]) for row in rows)
        product = Product(FrameId(identity), told[0].night, told)
        if not product.key:
            continue
        standing = product.standing
        row = {
            "frame": identity,
            "first": rows[0].seq,
            "telescope": product.night.telescope,
            "evening": product.night.date,
            "key": product.key,
            "bin": standing.bin.value,
            "stage": standing.stage,
            "reason": standing.reason,
            "delivered": bool(product.delivered),
        }
        connection.execute(_STATE, row)


def restate_all_products(connection: Connection) -> None:
    """Make every product's row anew."""
    connection.execute(delete(products))
    unsighted = select(receipts.c.frame).except_(select(sightings.c.frame))
    restate_products(connection, connection.execute(unsighted).scalars().all())


def products_of(connection: Connection, telescope: str, evenings: Sequence[date]) -> dict[date, Products]:
    """Count the products of nights by where they stand, and say why those that are held or failed are."""
    columns = products.c.evening, products.c.bin, products.c.stage, products.c.reason
    asked = (
        select(*columns, func.count())
        .where(products.c.telescope == telescope, products.c.evening.in_(evenings), _COUNTS)
        .group_by(*columns)
        .order_by(func.count().desc(), products.c.reason)
    )
    counts: dict[date, Counter[Bin]] = defaultdict(Counter)
    reasons: dict[date, list[Reason]] = defaultdict(list)
    for evening, bin_name, stage, reason, count in connection.execute(asked):
        place = Bin(bin_name)
        counts[evening][place] += count
        if place in {Bin.HELD, Bin.FAILED}:
            reasons[evening].append(Reason(place, stage, reason, count))
    return {evening: Products(counts[evening], reasons[evening]) for evening in counts}


def open_products(connection: Connection, telescope: str, before: date) -> dict[date, Counter[Bin]]:
    """Count the products that are held or failed, of each night before another."""
    asked = (
        select(products.c.evening, products.c.bin, func.count())
        .where(products.c.telescope == telescope, products.c.evening < before, _is_open(), _COUNTS)
        .group_by(products.c.evening, products.c.bin)
    )
    found: dict[date, Counter[Bin]] = defaultdict(Counter)
    for evening, bin_name, count in connection.execute(asked):
        found[evening][Bin(bin_name)] += count
    return found


def _is_open() -> ColumnElement[bool]:
    return products.c.bin.in_([Bin.HELD.value, Bin.FAILED.value])
