"""What people are asked to approve of a scheduled experiment, where they were asked, and what they decided."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
TEXTS = ("approved_by", "request")
PLACES = ("conversation", "ts", "shown")


def upgrade() -> None:
    op.add_column("chaos_runs", sa.Column("postponed_from", sa.BigInteger))
    for name in TEXTS:
        op.add_column("chaos_runs", sa.Column(name, sa.Text, nullable=False, server_default=""))
    for name in PLACES:
        op.add_column("chaos_runs", sa.Column(name, sa.String(64), nullable=False, server_default=""))


def downgrade() -> None:
    with op.batch_alter_table("chaos_runs") as table:
        for name in (*PLACES, *TEXTS, "postponed_from"):
            table.drop_column(name)
