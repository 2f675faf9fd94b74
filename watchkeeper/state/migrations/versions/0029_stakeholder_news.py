"""News for stakeholders: what happened, and the message that gathers it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    for name, kind in (("news", sa.Text), ("batch", sa.String(16))):
        op.add_column("status_mails", sa.Column(name, kind, nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("status_mails", "news")
    op.drop_column("status_mails", "batch")
