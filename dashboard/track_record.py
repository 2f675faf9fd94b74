"""How often a detector was right about a service, by the labels of incidents that it helped to open."""

from __future__ import annotations

from sqlalchemy import select

from watchkeeper.state.database import Database
from watchkeeper.state.labels import labels
from watchkeeper.state.schema import findings
from watchkeeper.vocabulary import Finding


def track_record(db: Database, finding: Finding) -> str:
    """`red was right 41 of 46 times on payments`, from human labels; empty where there are none yet."""
    judged = {label.incident_id: label.warranted for label in labels(db, "human") if label.warranted is not None}
    if not judged:
        return ""
    with db.read() as connection:
        query = select(findings.c.incident_id, findings.c.body).where(
            findings.c.service == finding.service, findings.c.incident_id.in_(list(judged))
        )
        mark = f'"detector":"{finding.detector}"'
        incidents = {row.incident_id for row in connection.execute(query) if mark in row.body.replace('": "', '":"')}
    if not incidents:
        return ""
    right = sum(1 for incident_id in incidents if judged[incident_id])
    return f"{finding.detector} was right {right} of {len(incidents)} times on {finding.service}, by people’s labels"
