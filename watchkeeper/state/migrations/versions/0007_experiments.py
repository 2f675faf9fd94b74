"""Experiments and control windows: what was true, and what became of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "experiments",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("target", sa.String(255), nullable=False),
        sa.Column("began", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.BigInteger, nullable=False),
        sa.Column("outcome", sa.String(16)),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("experiments_by_outcome", "experiments", ["outcome", "ended"])


def downgrade() -> None:
    op.drop_table("experiments")
