"""Pages that go out together, what belongs to an incident, and the clock of the last round."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("outbox", sa.Column("batch", sa.String(64)))
    op.create_index("outbox_by_incident", "outbox", ["incident_id"])
    op.create_index("outbox_by_batch", "outbox", ["batch"])
    op.create_index("timers_by_incident", "timers", ["incident_id"])
    op.create_index("messages_by_place", "messages", ["room", "ts"])
    op.create_table(
        "clocks",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("clocks")
    op.drop_index("messages_by_place", "messages")
    op.drop_index("timers_by_incident", "timers")
    op.drop_index("outbox_by_batch", "outbox")
    op.drop_index("outbox_by_incident", "outbox")
    with op.batch_alter_table("outbox") as table:
        table.drop_column("batch")
