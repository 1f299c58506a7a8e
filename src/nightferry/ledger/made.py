"""Where products of many frames stand, made from the receipts about them alone, inside the transaction that adds some.

What has receipts and was never sighted is such a product, once the step that makes it has told its key.
"""

from collections.abc import Iterable

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.sqlite import insert

from nightferry.core.frame import FrameId
from nightferry.core.product import Product
from nightferry.ledger.rows import RECEIPT, receipt_from
from nightferry.ledger.schema import products, receipts, sightings

_STATE = insert(products)
_STATE = _STATE.on_conflict_do_update(
    index_elements=[products.c.frame],
    set_={name: _STATE.excluded[name] for name in ("key", "bin", "stage", "reason", "delivered")},
)


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
