"""When a timer was set, so that a clock that steps moves the right ones."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("timers", sa.Column("set_at", sa.BigInteger))


def downgrade() -> None:
    with op.batch_alter_table("timers") as table:
        table.drop_column("set_at")
