"""How telescopes last answered, and when their frames were last proven safe: written down."""

from collections.abc import Sequence

from sqlalchemy import Connection, func
from sqlalchemy.dialects.sqlite import insert

from nightferry.core.overview import Contact
from nightferry.core.receipt import Outcome, Receipt
from nightferry.core.step import AUDIT, DELIVER
from nightferry.ledger.schema import contacts

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
_PROVING = frozenset({DELIVER, AUDIT})


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


def _row(contact: Contact) -> dict[str, str | int]:
    return {
        "telescope": contact.telescope,
        "looked_us": contact.looked_us,
        "reached_us": contact.reached_us,
        "news_us": contact.news_us,
        "proven_us": contact.proven_us,
        "trouble": contact.trouble,
    }
