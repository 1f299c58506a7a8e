"""Remember where products of many frames stand, so that nobody need walk through all receipts to find them.

Whoever migrates makes the rows of all products anew afterwards.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "products",
        sa.Column("frame", sa.Text(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("telescope", sa.Text(), nullable=False),
        sa.Column("evening", sa.Date(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("bin", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("delivered", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("frame", name=op.f("pk_products")),
        sa.CheckConstraint(
            "bin IN ('delivered', 'held', 'failed', 'ignored', 'pending')", name=op.f("ck_products_bin")
        ),
    )
    op.create_index("ix_products_night", "products", ["telescope", "evening", "key", "first"])


def downgrade() -> None:
    """Refuse: a ledger is never unmade."""
    raise NotImplementedError("a ledger is never unmade; restore a copy of the database instead")
