"""Keep where frames of many stand in one table with all others, by the frame's identity.

Whoever migrates makes the rows of all frames of many anew afterwards.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_KEPT = "frame, sighting, telescope, evening, last, bin, reason, stage, next_try_us"


def upgrade() -> None:
    """Move the rows of sighted frames into the new table."""
    for index in ("ix_standings_night", "ix_standings_open"):
        op.drop_index(index, table_name="standings")
    op.rename_table("standings", "standings_before")
    _make_standings()
    op.execute(
        f"INSERT INTO standings ({_KEPT}, made, delivered) "  # noqa: S608 - our own names
        f"SELECT {_KEPT}, 0, 0 FROM standings_before ORDER BY sighting"
    )
    op.drop_table("standings_before")
    op.drop_table("products")
    _make_indexes()


def downgrade() -> None:
    """Refuse: a ledger is never unmade."""
    raise NotImplementedError("a ledger is never unmade; restore a copy of the database instead")


def _make_standings() -> None:
    op.create_table(
        "standings",
        sa.Column("frame", sa.Text(), nullable=False),
        sa.Column("sighting", _ROW_NUMBER, nullable=True),
        sa.Column("telescope", sa.Text(), nullable=False),
        sa.Column("evening", sa.Date(), nullable=False),
        sa.Column("made", sa.Boolean(), nullable=False),
        sa.Column("last", sa.Boolean(), nullable=False),
        sa.Column("bin", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("next_try_us", sa.BigInteger(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=True),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("delivered", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("frame", name=op.f("pk_standings")),
        sa.CheckConstraint(
            "bin IN ('delivered', 'held', 'failed', 'ignored', 'pending')", name=op.f("ck_standings_bin")
        ),
        sa.ForeignKeyConstraint(["sighting"], ["sightings.seq"], name=op.f("fk_standings_sighting")),
    )


def _make_indexes() -> None:
    op.create_index("ix_standings_night", "standings", ["telescope", "evening", "made", "bin", "sighting"])
    op.create_index(
        "ix_standings_open",
        "standings",
        ["telescope", "evening", "made", "bin"],
        sqlite_where=sa.text("bin IN ('held', 'failed', 'pending')"),
    )
    op.create_index(
        "ix_standings_made", "standings", ["telescope", "evening", "key", "first"], sqlite_where=sa.text("made = 1")
    )
