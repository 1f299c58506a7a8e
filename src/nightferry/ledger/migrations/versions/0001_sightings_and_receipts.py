"""Make the first tables, and have the database itself refuse to change a sighting or a receipt."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make tables, indexes and triggers."""
    _make_sightings()
    _make_receipts()
    _make_standings()
    op.create_table(
        "expectations",
        sa.Column("telescope", sa.Text(), nullable=False),
        sa.Column("steps", sa.Text(), nullable=False),
        sa.Column("archives", sa.Text(), nullable=False),
        sa.Column("versions", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("telescope", name=op.f("pk_expectations")),
    )
    for table in ("sightings", "receipts"):
        _make_append_only(table)


def downgrade() -> None:
    """Refuse: a ledger is never unmade."""
    raise NotImplementedError("sightings and receipts are never deleted; restore a copy of the database instead")


def _make_sightings() -> None:
    op.create_table(
        "sightings",
        sa.Column("seq", _ROW_NUMBER, autoincrement=False, nullable=False),
        sa.Column("frame", sa.Text(), nullable=False),
        sa.Column("telescope", sa.Text(), nullable=False),
        sa.Column("evening", sa.Date(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime_us", sa.BigInteger(), nullable=True),
        sa.Column("seen_us", sa.BigInteger(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("ignored", sa.Text(), nullable=False),
        sa.Column("refused", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_sightings")),
    )
    op.create_index("ix_sightings_frame", "sightings", ["frame", "seq"])
    op.create_index("ix_sightings_path", "sightings", ["telescope", "path", "seq"])
    op.create_index("ix_sightings_evening", "sightings", ["telescope", "evening"])


def _make_receipts() -> None:
    op.create_table(
        "receipts",
        sa.Column("seq", _ROW_NUMBER, autoincrement=False, nullable=False),
        sa.Column("frame", sa.Text(), nullable=False),
        sa.Column("telescope", sa.Text(), nullable=False),
        sa.Column("evening", sa.Date(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=True),
        sa.Column("stored", sa.Text(), nullable=True),
        sa.Column("proof", sa.Text(), nullable=False),
        sa.Column("started_us", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_receipts")),
        sa.CheckConstraint("outcome IN ('done', 'held', 'failed', 'broken')", name=op.f("ck_receipts_outcome")),
    )
    op.create_index("ix_receipts_frame", "receipts", ["frame", "seq"])
    op.create_index("ix_receipts_digest", "receipts", ["digest"], sqlite_where=sa.text("step IN ('pull', 'deliver')"))
    op.create_index("ix_receipts_stored", "receipts", ["stored"], sqlite_where=sa.text("stored IS NOT NULL"))


def _make_standings() -> None:
    op.create_table(
        "standings",
        sa.Column("sighting", _ROW_NUMBER, autoincrement=False, nullable=False),
        sa.Column("frame", sa.Text(), nullable=False),
        sa.Column("telescope", sa.Text(), nullable=False),
        sa.Column("evening", sa.Date(), nullable=False),
        sa.Column("last", sa.Boolean(), nullable=False),
        sa.Column("bin", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("next_try_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sighting", name=op.f("pk_standings")),
        sa.CheckConstraint(
            "bin IN ('delivered', 'held', 'failed', 'ignored', 'pending')", name=op.f("ck_standings_bin")
        ),
        sa.ForeignKeyConstraint(["sighting"], ["sightings.seq"], name=op.f("fk_standings_sighting")),
        sa.UniqueConstraint("frame", name=op.f("uq_standings_frame")),
    )
    op.create_index("ix_standings_night", "standings", ["telescope", "evening", "bin"])


def _make_append_only(table: str) -> None:
    """Refuse to change or delete a row, and to write one anywhere but at the end.

    The last matters because ``INSERT OR REPLACE`` deletes a row without asking the trigger for deletions
    (https://www.sqlite.org/lang_conflict.html).
    """
    for verb in ("update", "delete"):
        op.execute(
            f"CREATE TRIGGER {table}_refuse_{verb} BEFORE {verb.upper()} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only: no {verb}'); END"
        )
    op.execute(
        f"CREATE TRIGGER {table}_refuse_replace BEFORE INSERT ON {table} "  # noqa: S608 - our own names
        f"WHEN NEW.seq <= (SELECT max(seq) FROM {table}) "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only: new rows come last'); END"
    )
