"""Alerts from outside: which episode they are, when they end by themselves, and who ended them."""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

# Alerts that fire at the upgrade get this long to be repeated or resolved.
GRACE_S = 36 * 3600


def upgrade() -> None:
    now = int(time.time() * 1e6)
    op.add_column("alerts", sa.Column("started", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("alerts", sa.Column("heard_at", sa.BigInteger, nullable=False, server_default=str(now)))
    until = now + GRACE_S * 1_000_000
    op.add_column("alerts", sa.Column("until", sa.BigInteger, nullable=False, server_default=str(until)))
    op.add_column("alerts", sa.Column("ended_at", sa.BigInteger))
    op.add_column("alerts", sa.Column("ended_by", sa.String(200)))
    op.create_index("alerts_by_end", "alerts", ["ended_at", "until"])


def downgrade() -> None:
    op.drop_index("alerts_by_end", "alerts")
    for name in ("ended_by", "ended_at", "until", "heard_at", "started"):
        op.drop_column("alerts", name)
