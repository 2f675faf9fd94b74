"""Runs of runbooks as rows of their own, each with its steps and a lease."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

INTERRUPTED = "the run was interrupted by an upgrade; look at what it had done by then"


def upgrade() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("incident_id", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("leased_until", sa.BigInteger, nullable=False),
        sa.Column("approved_at", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.create_index("runs_by_state", "runs", ["state", "approved_at"])
    op.create_index("runs_by_incident", "runs", ["incident_id"])
    op.create_table(
        "run_steps",
        sa.Column("run_id", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("undone", sa.Text, nullable=False),
    )
    _carry_over(op.get_bind())
    op.drop_table("runbook_runs")


def downgrade() -> None:
    op.create_table(
        "runbook_runs",
        sa.Column("key", sa.String(200), primary_key=True),
        sa.Column("incident_id", sa.String(32), nullable=False),
        sa.Column("runbook", sa.String(100), nullable=False),
        sa.Column("step", sa.String(200), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.drop_table("run_steps")
    op.drop_table("runs")


def _carry_over(connection: sa.Connection) -> None:
    """Runs that were approved or under way get an end: the first begin or are cancelled, the others end as failed.

    One that was under way touches nothing any more: how far it came is known too badly to go on, or to undo.
    """
    metadata = sa.MetaData()
    incidents = sa.Table("incidents", metadata, autoload_with=connection)
    runs = sa.Table("runs", metadata, autoload_with=connection)
    steps = sa.Table("run_steps", metadata, autoload_with=connection)
    journal = sa.Table("runbook_runs", metadata, autoload_with=connection)
    is_meant = sa.or_(*(incidents.c.body.contains(f'"proposal_state":"{s}"') for s in ("approved", "running")))
    for row in connection.execute(sa.select(incidents).where(is_meant)).all():
        body = json.loads(row.body)
        if body.get("proposal_state") not in ("approved", "running") or not body.get("proposal"):
            continue
        proposal, began = body["proposal"], body["proposal_state"] == "running"
        run = {
            "id": f"{row.id}:{proposal['runbook']}:{proposal['service']}",
            "incident_id": row.id,
            "state": "undoing" if began else "approved",
            "body": json.dumps(proposal),
            "owner": "",
            "leased_until": 0,
            "approved_at": row.updated_at,
            "text": "",
        }
        connection.execute(runs.insert().values(**run))
        if not began:
            continue
        mine = sa.select(journal).where(journal.c.incident_id == row.id).order_by(journal.c.at, journal.c.key)
        known = [(entry.step, entry.at, entry.detail) for entry in connection.execute(mine).all()]
        for number, (name, at, detail) in enumerate([*known, ("upgrade", row.updated_at, "")]):
            left = INTERRUPTED if name == "upgrade" else ""
            step = {"run_id": run["id"], "number": number, "name": name[:100], "at": at, "detail": detail}
            connection.execute(steps.insert().values(**step, state="kept", undone=left))
