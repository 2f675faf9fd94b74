"""The template of each postmortem, and who has reviewed it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    for name in ("template", "reviewed_by"):
        op.add_column("postmortem_documents", sa.Column(name, sa.Text, nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("postmortem_documents", "template")
    op.drop_column("postmortem_documents", "reviewed_by")
