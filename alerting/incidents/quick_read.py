"""Incidents for a list, read in milliseconds: for commands that somebody types while being paged.

The same rows as `incidents.journal.newest` reads, without the libraries behind it, and without writing anything.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from watchkeeper.state.revision import newest_revision

Tree = dict[str, Any]


def newest_incidents(file: Path, state: str | None, limit: int, severity: str | None = None) -> list[Tree] | None:
    """Incidents as JSON trees, newest first; None where Alembic must look first: another schema, no file, damage."""
    conditions, values = ["1"], []
    if state == "open":
        conditions.append("human_state NOT IN ('merged', 'resolved')")
    elif state:
        conditions.append("human_state = ?")
        values.append(state)
    # Of the canary's incidents, `canary` is the severity; this module imports no vocabulary.
    if severity and severity.startswith("SEV"):
        conditions.append("level = ?")
        values.append(severity)
        severity = None
    conditions.append("severity = ?" if severity else "severity != ?")
    values.append(severity or "canary")
    where = " AND ".join(conditions)
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True, timeout=30)) as connection:
            (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone() or ("",)
            if revision != newest_revision():
                return None
            query = f"SELECT body FROM incidents WHERE {where} ORDER BY opened_at DESC, id LIMIT ?"  # noqa: S608 - constants
            return [json.loads(body) for (body,) in connection.execute(query, [*values, limit])]
    except (sqlite3.Error, ValueError):
        return None
