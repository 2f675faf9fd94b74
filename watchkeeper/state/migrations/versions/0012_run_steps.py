"""What a step of a run must know after a restart, humans' answers to steps, who approved a run, and the global stop."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("run_steps", sa.Column("body", sa.Text, nullable=False, server_default=""))
    op.add_column("runs", sa.Column("approved_by", sa.String(200), nullable=False, server_default=""))
    op.add_column("runs", sa.Column("autonomous", sa.Integer, nullable=False, server_default="0"))
    op.create_table(
        "run_answers",
        sa.Column("run_id", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("asked", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("via", sa.String(32), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "stops",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("stops")
    op.drop_table("run_answers")
    with op.batch_alter_table("runs") as table:
        table.drop_column("autonomous")
        table.drop_column("approved_by")
    with op.batch_alter_table("run_steps") as table:
        table.drop_column("body")
