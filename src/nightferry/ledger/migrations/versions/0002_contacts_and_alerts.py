"""Remember how telescopes answer and what people were told, and find open frames without a walk through all."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables and the index, and fill in the times of the last proofs."""
    op.create_index(
        "ix_standings_open",
        "standings",
        ["telescope", "evening", "bin"],
        sqlite_where=sa.text("bin IN ('held', 'failed', 'pending')"),
    )
    op.create_table(
        "contacts",
        sa.Column("telescope", sa.Text(), nullable=False),
        sa.Column("looked_us", sa.BigInteger(), nullable=False),
        sa.Column("reached_us", sa.BigInteger(), nullable=False),
        sa.Column("news_us", sa.BigInteger(), nullable=False),
        sa.Column("proven_us", sa.BigInteger(), nullable=False),
        sa.Column("trouble", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("telescope", name=op.f("pk_contacts")),
    )
    op.execute(
        "INSERT INTO contacts (telescope, looked_us, reached_us, news_us, proven_us, trouble) "
        "SELECT telescope, 0, 0, 0, max(started_us), '' FROM receipts "
        "WHERE step IN ('deliver', 'audit') AND outcome = 'done' GROUP BY telescope"
    )
    _make_alerts()
    for table in ("alerts", "mailings"):
        _make_append_only(table)


def downgrade() -> None:
    """Refuse: a ledger is never unmade."""
    raise NotImplementedError("a ledger is never unmade; restore a copy of the database instead")


def _make_alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("seq", _ROW_NUMBER, autoincrement=False, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("channels", sa.Text(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_alerts")),
        sa.CheckConstraint(
            "kind IN ('noticed', 'raised', 'resolved', 'passed', 'digest', 'test')", name=op.f("ck_alerts_kind")
        ),
    )
    op.create_index("ix_alerts_key", "alerts", ["key", "seq"])
    op.create_table(
        "mailings",
        sa.Column("seq", _ROW_NUMBER, autoincrement=False, nullable=False),
        sa.Column("alert", _ROW_NUMBER, nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_mailings")),
        sa.CheckConstraint("outcome IN ('begun', 'sent', 'failed')", name=op.f("ck_mailings_outcome")),
        sa.ForeignKeyConstraint(["alert"], ["alerts.seq"], name=op.f("fk_mailings_alert")),
    )
    op.create_index("ix_mailings_alert", "mailings", ["alert", "channel", "seq"])


def _make_append_only(table: str) -> None:
    """Refuse to change or delete a row, and to write one anywhere but at the end."""
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
