"""Where frames made of many stand, from the receipts about them alone, inside the transaction that adds some.

What has receipts and was never sighted is such a frame, once the step that makes it has told its key.
"""

from collections.abc import Iterable

from sqlalchemy import Connection, delete, select

from nightferry.core.frame import FrameId
from nightferry.core.ledger import made_account
from nightferry.ledger.rows import RECEIPT, Value, made_row, receipt_from
from nightferry.ledger.schema import receipts, sightings, standings


def made_rows(connection: Connection, identities: Iterable[str]) -> list[dict[str, Value]]:
    """Return the rows of these frames of many; what is none has no row."""
    found: list[dict[str, Value]] = []
    for identity in identities:
        asked = select(receipts.c.seq, *RECEIPT).where(receipts.c.frame == identity).order_by(receipts.c.seq)
        rows = connection.execute(asked).all()
        if not rows:
            continue
        account = made_account(FrameId(identity), [receipt_from(*tuple(row)[1:]) for row in rows])
        if account.key:
            found.append(made_row(rows[0].seq, account))
    return found


def unsighted(connection: Connection) -> list[str]:
    """Forget where frames of many stand, and return the identities of all that can be one."""
    connection.execute(delete(standings).where(standings.c.made))
    asked = select(receipts.c.frame).except_(select(sightings.c.frame))
    return list(connection.execute(asked).scalars())
