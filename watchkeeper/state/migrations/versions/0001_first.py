"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# SQLite only numbers rows by itself when the key is INTEGER.
SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")
TABLES = (
    "incidents",
    "incident_events",
    "findings",
    "alerts",
    "timers",
    "outbox",
    "messages",
    "labels",
    "changes",
    "postmortems",
    "models",
    "promotions",
    "shadow_verdicts",
    "overrides",
    "runbook_runs",
    "audit",
)


def upgrade() -> None:
    op.create_table(
        "incidents",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("system_state", sa.String(16), nullable=False),
        sa.Column("human_state", sa.String(16), nullable=False),
        sa.Column("opened_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("incidents_by_state", "incidents", ["human_state", "opened_at"])
    op.create_index("incidents_by_end", "incidents", ["ended_at"])
    op.create_table(
        "incident_events",
        sa.Column("incident_id", sa.String(32), primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("via", sa.String(32), nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.UniqueConstraint("incident_id", "key", name="event_once"),
    )
    op.create_table(
        "findings",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("onset", sa.BigInteger, primary_key=True),
        sa.Column("service", sa.String(255), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("incident_id", sa.String(32)),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
        sa.Column("cleared_at", sa.BigInteger),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("findings_by_time", "findings", ["seen_at"])
    op.create_table(
        "alerts",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "timers",
        sa.Column("id", sa.String(100), primary_key=True),
        sa.Column("incident_id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("done_at", sa.BigInteger),
    )
    op.create_index("timers_due", "timers", ["done_at", "due_at"])
    op.create_table(
        "outbox",
        sa.Column("id", SERIAL, primary_key=True, autoincrement=True),
        sa.Column("key", sa.String(200), nullable=False, unique=True),
        sa.Column("incident_id", sa.String(32), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("leased_until", sa.BigInteger, nullable=False, default=0),
        sa.Column("attempts", sa.Integer, nullable=False, default=0),
        sa.Column("sent_at", sa.BigInteger),
        sa.Column("error", sa.Text),
    )
    op.create_index("outbox_due", "outbox", ["sent_at", "due_at"])
    op.create_table(
        "messages",
        sa.Column("incident_id", sa.String(32), primary_key=True),
        sa.Column("channel", sa.String(64), primary_key=True),
        sa.Column("room", sa.String(64), nullable=False),
        sa.Column("ts", sa.String(64), nullable=False),
    )
    op.create_table(
        "labels",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("incident_id", sa.String(32), nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("labels_by_incident", "labels", ["incident_id"])
    op.create_table(
        "changes",
        sa.Column("id", sa.String(255), primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("service", sa.String(255), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("changes_by_time", "changes", ["at"])
    op.create_table(
        "postmortems",
        sa.Column("incident_id", sa.String(32), primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("markdown", sa.Text, nullable=False),
    )
    op.create_table(
        "models",
        sa.Column("name", sa.String(100), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("lineage", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("stage", sa.String(16), nullable=False),
        sa.UniqueConstraint("name", "digest", name="model_content_once"),
    )
    op.create_table(
        "promotions",
        sa.Column("id", SERIAL, primary_key=True, autoincrement=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("stage", sa.String(16), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("record", sa.Text, nullable=False),
    )
    op.create_table(
        "shadow_verdicts",
        sa.Column("name", sa.String(100), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("incident_id", sa.String(32), primary_key=True),
        sa.Column("would_page", sa.Integer, nullable=False),
        sa.Column("score", sa.Float, nullable=False),
    )
    op.create_table(
        "overrides",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("schedule", sa.String(64), nullable=False),
        sa.Column("person", sa.String(64), nullable=False),
        sa.Column("start", sa.BigInteger, nullable=False),
        sa.Column("end", sa.BigInteger, nullable=False),
        sa.Column("author", sa.String(200), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
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
    op.create_table(
        "audit",
        sa.Column("id", SERIAL, primary_key=True, autoincrement=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("via", sa.String(32), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)
