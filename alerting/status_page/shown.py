"""Status updates as JSON: the same for the command line and the API. For colleagues: it has names."""

from __future__ import annotations

from typing import Any

from alerting.status_page.updates import StatusUpdate


def update_tree(update: StatusUpdate) -> dict[str, Any]:
    """One update."""
    return {
        "id": update.id,
        "incident": update.incident_id,
        "audience": update.audience,
        "state": update.state,
        "impact": update.impact,
        "components": list(update.components),
        "text": update.text,
        "at": update.at.isoformat(),
        "author": update.author,
        "public": update.is_public,
        "approved_at": update.approved_at.isoformat() if update.approved_at else None,
        "approved_by": update.approved_by,
    }
