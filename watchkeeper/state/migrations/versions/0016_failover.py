"""From when another channel pages in the place of one that has not."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.add_column("outbox", sa.Column("fails_over_at", sa.BigInteger))


def downgrade() -> None:
    with op.batch_alter_table("outbox") as table:
        table.drop_column("fails_over_at")
