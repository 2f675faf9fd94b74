"""A message of the outbox is for one channel and one address; a message's place is a conversation."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    # What waits from before was for Slack, the only channel.
    op.add_column("outbox", sa.Column("channel", sa.String(64), nullable=False, server_default="slack"))
    op.add_column("outbox", sa.Column("address", sa.String(200), nullable=False, server_default=""))
    op.drop_index("outbox_due", "outbox")
    op.create_index("outbox_due", "outbox", ["sent_at", "channel", "due_at"])
    # Both databases rename a column in place, and its index with it.
    op.execute("ALTER TABLE messages RENAME COLUMN room TO conversation")


def downgrade() -> None:
    op.execute("ALTER TABLE messages RENAME COLUMN conversation TO room")
    op.drop_index("outbox_due", "outbox")
    op.create_index("outbox_due", "outbox", ["sent_at", "due_at"])
    with op.batch_alter_table("outbox") as table:
        table.drop_column("address")
        table.drop_column("channel")
