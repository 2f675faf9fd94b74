"""What merges by people teach."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    op.create_table(
        "merge_lessons",
        sa.Column("incident_id", sa.String(32), primary_key=True),
        sa.Column("into_id", sa.String(32), primary_key=True),
        sa.Column("pair", sa.String(16), primary_key=True),
        sa.Column("service", sa.String(255), nullable=False),
        sa.Column("what", sa.String(255), nullable=False),
        sa.Column("other_service", sa.String(255), nullable=False),
        sa.Column("other_what", sa.String(255), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("forgotten_at", sa.BigInteger),
        sa.Column("forgotten_by", sa.String(200), nullable=False),
    )
    op.create_index("merge_lessons_by_pair", "merge_lessons", ["pair"])
    op.create_index("merge_lessons_by_time", "merge_lessons", ["at"])


def downgrade() -> None:
    op.drop_table("merge_lessons")
