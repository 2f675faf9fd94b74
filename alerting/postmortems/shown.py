"""Postmortems and action items as JSON: the same for the command line and the API."""

from __future__ import annotations

import json
from typing import Any

from alerting.postmortems.actions import Action
from alerting.postmortems.rendering import Report
from alerting.postmortems.revisions import Revision, Stored
from watchkeeper.state.codec import dump


def head_tree(stored: Stored) -> dict[str, Any]:
    """What a list shows of a document."""
    published = stored.published
    return {
        "incident": stored.incident_id,
        "state": stored.state,
        "revision": stored.version,
        "severity": stored.severity,
        "service": stored.service,
        "title": stored.title,
        "updated_at": stored.updated_at.isoformat(),
        "published_at": published.at.isoformat() if published else None,
        "reviewed_by": list(stored.reviewed_by),
        "template": json.loads(stored.template.as_text()),
    }


def document_tree(report: Report) -> dict[str, Any]:
    """A document with its fields, its timeline, its action items and the newest human label."""
    stored = report.stored
    answers = [label for label in report.incident.labels if label.source == "human"]
    label = answers[-1] if answers else None
    form = {
        "cause": label.cause if label else None,
        "mechanism": label.mechanism if label else None,
        "warranted": label.warranted if label else None,
        "author": label.author if label else None,
        "note": label.note if label else None,
    }
    lines = [
        {"id": line.id, "at": line.at.isoformat(), "kind": line.kind, "who": line.who, "text": line.text}
        | {"important": line.important, "by_hand": line.by_hand}
        for line in report.lines
    ]
    return head_tree(stored) | {
        "at": stored.updated_at.isoformat(),
        "label": form,
        "fields": json.loads(dump(stored.document)),
        "timeline": lines,
        "actions": [action_tree(one) for one in report.actions],
        "disagreements": list(report.disagreements),
    }


def revision_tree(revision: Revision) -> dict[str, Any]:
    """One revision, complete."""
    return {
        "revision": revision.version,
        "at": revision.at.isoformat(),
        "by": revision.actor.name,
        "via": revision.actor.via,
        "state": revision.state,
        "changed": list(revision.changed),
        "fields": json.loads(dump(revision.document)),
    }


def action_tree(action: Action) -> dict[str, Any]:
    """One action item."""
    return {
        "id": action.id,
        "incident": action.incident_id,
        "text": action.text,
        "owner": action.owner,
        "due": action.due.isoformat() if action.due else None,
        "created_at": action.created_at.isoformat(),
        "created_by": action.created_by,
        "done_at": action.done_at.isoformat() if action.done_at else None,
        "done_by": action.done_by,
    }
