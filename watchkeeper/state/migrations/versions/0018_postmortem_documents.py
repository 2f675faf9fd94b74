"""Postmortems as documents with revisions, action items and status updates; a draft becomes a first revision."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    documents = op.create_table(
        "postmortem_documents",
        sa.Column("incident_id", sa.String(32), primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("service", sa.String(255), nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("submitted_by", sa.String(200), nullable=False),
        sa.Column("published_at", sa.BigInteger),
        sa.Column("published_version", sa.Integer),
        sa.Column("published", sa.Text, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("postmortem_documents_by_time", "postmortem_documents", ["updated_at"])
    revisions = op.create_table(
        "postmortem_revisions",
        sa.Column("incident_id", sa.String(32), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("via", sa.String(32), nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("changed", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.UniqueConstraint("incident_id", "key", name="revision_once"),
    )
    op.create_table(
        "action_items",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("incident_id", sa.String(32), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("due", sa.String(10), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("done_at", sa.BigInteger),
        sa.Column("done_by", sa.String(200), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_index("action_items_by_incident", "action_items", ["incident_id"])
    op.create_index("action_items_by_due", "action_items", ["done_at", "due"])
    op.create_table(
        "status_updates",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("incident_id", sa.String(32), nullable=False),
        sa.Column("audience", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("impact", sa.String(16), nullable=False),
        sa.Column("components", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("author", sa.String(200), nullable=False),
        sa.Column("via", sa.String(32), nullable=False),
        sa.Column("approved_at", sa.BigInteger),
        sa.Column("approved_by", sa.String(200), nullable=False),
    )
    op.create_index("status_updates_by_audience", "status_updates", ["audience", "at"])
    op.create_index("status_updates_by_incident", "status_updates", ["incident_id"])
    _first_revisions(documents, revisions)


def _first_revisions(documents: Any, revisions: Any) -> None:
    """Each draft that was written so far becomes the first revision of its document."""
    connection = op.get_bind()
    drafts = connection.execute(
        sa.text("SELECT p.incident_id, p.at, i.body FROM postmortems p JOIN incidents i ON i.id = p.incident_id")
    ).all()
    for incident_id, at, body in drafts:
        incident = json.loads(body)
        answers = [label for label in incident.get("labels", ()) if label.get("source") == "human"]
        document = json.dumps({"first_bad_at": incident["onset"], **(_judgement(answers[-1]) if answers else {})})
        connection.execute(
            documents.insert().values(
                incident_id=incident_id, version=1, state="draft", severity=incident["severity"],
                service=incident["service"][:255], title=incident["title"], updated_at=at, submitted_by="",
                published="", body=document,
                words=f"{incident_id} {incident['title']} {incident['service']}".casefold(),
            )
        )  # fmt: skip
        connection.execute(
            revisions.insert().values(
                incident_id=incident_id, version=1, at=at, actor="Watchkeeper", via="system", key="first",
                state="draft", changed="drafted", body=document,
            )
        )  # fmt: skip


def _judgement(label: dict[str, Any]) -> dict[str, Any]:
    answers: dict[bool | None, str] = {True: "yes", False: "no"}
    answer = answers.get(label.get("warranted"), "")
    return {"cause": label.get("cause") or "", "mechanism": label.get("mechanism") or "", "warranted": answer}


def downgrade() -> None:
    for table in ("status_updates", "action_items", "postmortem_revisions", "postmortem_documents"):
        op.drop_table(table)
