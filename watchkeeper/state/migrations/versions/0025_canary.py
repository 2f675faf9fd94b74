"""The alerts that Watchkeeper raises for itself."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    op.create_table(
        "canary_runs",
        sa.Column("slot", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("began", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.BigInteger),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("broken", sa.Text, nullable=False),
        sa.Column("notified", sa.String(200), nullable=False),
    )
    op.create_index("canary_runs_by_time", "canary_runs", ["began"])


def downgrade() -> None:
    op.drop_table("canary_runs")
