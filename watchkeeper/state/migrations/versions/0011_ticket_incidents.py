"""Whether an incident is a page or a ticket; until now all of them were pages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("incidents", sa.Column("severity", sa.String(16), nullable=False, server_default="page"))


def downgrade() -> None:
    with op.batch_alter_table("incidents") as table:
        table.drop_column("severity")
