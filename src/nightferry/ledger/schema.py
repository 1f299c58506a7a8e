"""The ledger's tables.

``sightings`` and ``receipts`` are append-only, and the database itself sees to that (triggers). ``seq`` numbers
their rows in the order in which they were committed. ``standings`` is derived: one row for each frame that counts,
sighted or made of many, by `core.balance.standing_of`. ``expectations`` is what the configuration last said of each
telescope,
``contacts`` how it last answered. ``alerts`` is what people are to be told, and ``mailings`` what became of that; both
are append-only too.

A change here needs a migration in ``migrations/versions`` and its name in `revision.HEAD`: a new ledger is made of
these tables, an older one is brought here by migrations, and a test proves that both ways end at the same database.
"""

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    event,
    text,
)
from sqlalchemy.types import TypeDecorator

from nightferry.ledger.revision import DIGEST_INDEXED, MADE_INDEXED, OPEN_INDEXED
from nightferry.ledger.text import read_text, write_text

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


class AnyText(TypeDecorator[str]):
    """A text column that takes every Python string."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy passes it
        """Write what goes into the database."""
        return None if value is None else write_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy passes it
        """Read what comes out of it."""
        return None if value is None else read_text(value)


# SQLite's own row number is called INTEGER; elsewhere a row number needs 64 bits to be as large.
_RowNumber = BigInteger().with_variant(Integer(), "sqlite")

sightings = Table(
    "sightings",
    metadata,
    Column("seq", _RowNumber, primary_key=True, autoincrement=False),
    Column("frame", Text, nullable=False),
    Column("telescope", Text, nullable=False),
    Column("evening", Date, nullable=False),
    Column("path", AnyText, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("mtime_us", BigInteger),
    Column("seen_us", BigInteger, nullable=False),
    Column("role", Text, nullable=False),
    Column("ignored", AnyText, nullable=False),
    Column("refused", AnyText, nullable=False),
    Index("ix_sightings_frame", "frame", "seq"),
    Index("ix_sightings_path", "telescope", "path", "seq"),
    Index("ix_sightings_evening", "telescope", "evening"),
)

receipts = Table(
    "receipts",
    metadata,
    Column("seq", _RowNumber, primary_key=True, autoincrement=False),
    Column("frame", Text, nullable=False),
    Column("telescope", Text, nullable=False),
    Column("evening", Date, nullable=False),
    Column("step", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", AnyText, nullable=False),
    Column("target", Text, nullable=False),
    Column("digest", Text),
    Column("stored", AnyText),  # proof["name"] of a delivery, where it can be searched
    Column("proof", Text, nullable=False),  # a JSON object
    Column("started_us", BigInteger, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("host", AnyText, nullable=False),
    CheckConstraint("outcome IN ('done', 'held', 'failed', 'broken')", name="outcome"),
    Index("ix_receipts_frame", "frame", "seq"),
)
Index("ix_receipts_digest", receipts.c.digest, sqlite_where=text(DIGEST_INDEXED))
Index("ix_receipts_stored", receipts.c.stored, sqlite_where=receipts.c.stored.is_not(None))

standings = Table(
    "standings",
    metadata,
    Column("frame", Text, primary_key=True),
    Column("sighting", _RowNumber, ForeignKey(sightings.c.seq)),  # the newest; none of a frame that we made of many
    Column("telescope", Text, nullable=False),
    Column("evening", Date, nullable=False),
    Column("made", Boolean, nullable=False),  # whether we made it of many, so that no telescope ever showed it
    Column("last", Boolean, nullable=False),  # whether no other state of the file was seen since
    Column("bin", Text, nullable=False),
    Column("reason", AnyText, nullable=False),
    Column("stage", Text, nullable=False),
    Column("next_try_us", BigInteger, nullable=False),
    Column("first", BigInteger),  # of a made frame: the number of the first receipt about it
    Column("key", AnyText),  # of a made frame: what its parents have in common, the same for every edition
    Column("delivered", Boolean, nullable=False),  # of a made frame: whether any archive was ever given it
    CheckConstraint("bin IN ('delivered', 'held', 'failed', 'ignored', 'pending')", name="bin"),
    Index("ix_standings_night", "telescope", "evening", "made", "bin", "sighting"),  # answers balances alone
)
Index(
    "ix_standings_open",
    standings.c.telescope,
    standings.c.evening,
    standings.c.made,
    standings.c.bin,
    sqlite_where=text(OPEN_INDEXED),
)
Index(
    "ix_standings_made",
    standings.c.telescope,
    standings.c.evening,
    standings.c.key,
    standings.c.first,
    sqlite_where=text(MADE_INDEXED),
)

expectations = Table(
    "expectations",
    metadata,
    Column("telescope", Text, primary_key=True),
    Column("steps", Text, nullable=False),  # JSON array of names, in order
    Column("archives", Text, nullable=False),  # JSON array of names
    Column("versions", Text, nullable=False),  # JSON object: step to version, or to it and the former one
)

contacts = Table(
    "contacts",
    metadata,
    Column("telescope", Text, primary_key=True),
    Column("looked_us", BigInteger, nullable=False),
    Column("reached_us", BigInteger, nullable=False),
    Column("news_us", BigInteger, nullable=False),
    Column("proven_us", BigInteger, nullable=False),  # derived from receipts, so that nobody need search them
    Column("trouble", AnyText, nullable=False),
)

alerts = Table(
    "alerts",
    metadata,
    Column("seq", _RowNumber, primary_key=True, autoincrement=False),
    Column("key", AnyText, nullable=False),  # what it is about
    Column("kind", Text, nullable=False),
    Column("title", AnyText, nullable=False),
    Column("body", AnyText, nullable=False),
    Column("channels", AnyText, nullable=False),  # JSON array of the references to whom it is addressed
    Column("at_us", BigInteger, nullable=False),
    CheckConstraint("kind IN ('noticed', 'raised', 'resolved', 'passed', 'digest', 'test')", name="kind"),
    Index("ix_alerts_key", "key", "seq"),
)

mailings = Table(
    "mailings",
    metadata,
    Column("seq", _RowNumber, primary_key=True, autoincrement=False),
    Column("alert", _RowNumber, ForeignKey(alerts.c.seq), nullable=False),
    Column("channel", AnyText, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", AnyText, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    CheckConstraint("outcome IN ('begun', 'sent', 'failed')", name="outcome"),
    Index("ix_mailings_alert", "alert", "channel", "seq"),
)

#: Alembic's own table, as Alembic makes it.
VERSION_TABLE = (
    "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
    "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
)


def _append_only(table: Table) -> None:
    """Have the database refuse to change or delete a row, and to write one anywhere but at the end.

    The last matters because ``INSERT OR REPLACE`` deletes a row without asking the trigger for deletions
    (https://www.sqlite.org/lang_conflict.html).
    """
    name = table.name
    triggers = [
        f"{name}_refuse_{verb} BEFORE {verb.upper()} ON {name} "
        f"BEGIN SELECT RAISE(ABORT, '{name} is append-only: no {verb}'); END"
        for verb in ("update", "delete")
    ]
    triggers.append(
        f"{name}_refuse_replace BEFORE INSERT ON {name} "  # noqa: S608 - our own names
        f"WHEN NEW.seq <= (SELECT max(seq) FROM {name}) "
        f"BEGIN SELECT RAISE(ABORT, '{name} is append-only: new rows come last'); END"
    )
    for trigger in triggers:
        event.listen(metadata, "after_create", DDL(f"CREATE TRIGGER {trigger}"))  # type: ignore[no-untyped-call]


for _table in (sightings, receipts, alerts, mailings):
    _append_only(_table)
