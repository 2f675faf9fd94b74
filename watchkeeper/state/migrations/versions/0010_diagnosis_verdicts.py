"""Which version of the diagnosis' weights puts the named cause of an incident first."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "diagnosis_verdicts",
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("incident_id", sa.String(32), primary_key=True),
        sa.Column("correct", sa.Integer, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("diagnosis_verdicts")
