"""Subscribers of the public status page, and the e-mails that wait for them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    op.create_table(
        "status_subscribers",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("address", sa.String(254), nullable=False),
        sa.Column("folded", sa.String(254), nullable=False, unique=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("components", sa.Text, nullable=False),
        sa.Column("wanted", sa.Text, nullable=False),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
        sa.Column("confirmed_at", sa.BigInteger),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_index("status_subscribers_by_state", "status_subscribers", ["state", "asked_at"])
    op.create_table(
        "status_mails",
        sa.Column("key", sa.String(100), primary_key=True),
        sa.Column("subscriber_id", sa.String(32), nullable=False),
        sa.Column("update_id", sa.String(64), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("leased_until", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("sent_at", sa.BigInteger),
        sa.Column("error", sa.Text, nullable=False),
    )
    op.create_index("status_mails_due", "status_mails", ["sent_at", "due_at"])
    op.create_index("status_mails_by_subscriber", "status_mails", ["subscriber_id"])
    op.create_index("status_mails_by_update", "status_mails", ["update_id"])


def downgrade() -> None:
    op.drop_table("status_mails")
    op.drop_table("status_subscribers")
