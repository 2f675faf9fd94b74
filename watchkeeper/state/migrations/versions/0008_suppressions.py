"""Suppressions and reopenings are tables; what packages tell each other of a finding is in fields of its own."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

AT_ONCE = 500  # rows
BODIES = {
    "findings": ("key", "onset"),
    "alerts": ("key",),
    "incidents": ("id",),
    "incident_events": ("incident_id", "seq"),
}


def upgrade() -> None:
    op.create_table(
        "suppressions",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("onset", sa.BigInteger, primary_key=True),
        sa.Column("detector", sa.String(200), nullable=False),
        sa.Column("service", sa.String(255), nullable=False),
        sa.Column("model_version", sa.String(32), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("began", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger),
    )
    op.create_index("suppressions_by_until", "suppressions", ["until"])
    op.create_index("suppressions_by_time", "suppressions", ["began"])
    op.create_table(
        "reopenings",
        sa.Column("detector", sa.String(200), primary_key=True),
        sa.Column("service", sa.String(255), primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("via", sa.String(32), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
    )
    connection = op.get_bind()
    for table, keys in BODIES.items():
        _rewrite(connection, sa.table(table, *map(sa.column, (*keys, "body"))), keys)
    _fill_suppressions(connection)
    _fill_reopenings(connection)


def downgrade() -> None:
    op.drop_table("reopenings")
    op.drop_table("suppressions")


def _rewrite(connection: sa.Connection, table: sa.TableClause, keys: tuple[str, ...]) -> None:
    """Give every finding in these bodies its fields."""
    marked = table.c.body.contains('"attributes":', autoescape=True)
    rows = connection.execute(sa.select(*(table.c[key] for key in keys)).where(marked)).all()
    where = [table.c[key] == sa.bindparam(f"of_{key}") for key in keys]
    for first in range(0, len(rows), AT_ONCE):
        changed = []
        for row in rows[first : first + AT_ONCE]:
            named = {f"of_{key}": value for key, value in zip(keys, row, strict=True)}
            body = connection.scalar(sa.select(table.c.body).where(*where), named)
            try:
                tree = json.loads(str(body))
            except ValueError:
                continue  # it could not be read before, either
            if _give_fields(tree):
                changed.append({**named, "new": json.dumps(tree, ensure_ascii=False, separators=(",", ":"))})
        if changed:
            connection.execute(sa.update(table).where(*where).values(body=sa.bindparam("new")), changed)


def _give_fields(tree: Any) -> bool:
    """Turn the attributes of every finding in a tree into fields; says whether there was one."""
    if isinstance(tree, list):
        return sum(map(_give_fields, tree)) > 0
    if not isinstance(tree, dict):
        return False
    if {"detector", "detector_version", "attributes"} <= tree.keys():
        attributes = tree.pop("attributes")
        tree.update(_fields(attributes if isinstance(attributes, dict) else {}))
        return True
    return sum(map(_give_fields, tree.values())) > 0


def _fields(attributes: dict[str, str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if "held back" in attributes:
        version = attributes.get("held back by", "?")
        fields["suppression"] = {"reason": attributes["held back"], "model_version": version}
    if (peak := _number(attributes, "peak score")) is not None:
        fields["episode"] = {
            "peak_score": peak,
            "peak_value": _number(attributes, "peak value"),
            "deployed_s": _number(attributes, "deployed before"),
        }
    load, common = _number(attributes, "load"), _number(attributes, "common")
    if load is not None or common is not None:
        fields["conditions"] = {
            "load": 1.0 if load is None else load,
            "slowdown": 1.0 if common is None else common,
        }
    if "alertname" in attributes:
        fields["alert"] = {
            "name": attributes["alertname"],
            "labels": attributes.get("labels", ""),
            "url": attributes.get("url", ""),
            "runbook_url": attributes.get("runbook_url", ""),
            "truncated": int(_number(attributes, "truncated") or 0),
        }
    return fields


def _number(attributes: dict[str, str], name: str) -> float | None:
    try:
        number = float(attributes[name])
    except (KeyError, ValueError, TypeError):
        return None
    return number if math.isfinite(number) else None


def _fill_suppressions(connection: sa.Connection) -> None:
    """A suppression of each finding that was suppressed."""
    names = ("key", "onset", "service", "seen_at", "cleared_at", "body")
    findings = sa.table("findings", *map(sa.column, names))
    suppressions = sa.table(
        "suppressions",
        *map(sa.column, ("key", "onset", "detector", "service", "model_version", "reason", "began", "until")),
    )
    marked = findings.c.body.contains('"suppression":{', autoescape=True)
    rows = connection.execute(sa.select(findings).where(marked)).all()
    _insert(
        connection,
        suppressions,
        (
            {
                "key": row.key,
                "onset": row.onset,
                "detector": body["detector"][:200],
                "service": row.service,
                "model_version": body["suppression"]["model_version"][:32],
                "reason": body["suppression"]["reason"],
                "began": row.onset,
                "until": row.cleared_at,
            }
            for row in rows
            for body in [json.loads(row.body)]
        ),
    )


def _fill_reopenings(connection: sa.Connection) -> None:
    """The first reopening of each detector on each service, until now a line of the audit trail."""
    audit = sa.table("audit", *map(sa.column, ("id", "at", "actor", "via", "action", "subject", "detail")))
    reopenings = sa.table("reopenings", *map(sa.column, ("detector", "service", "at", "actor", "via", "key", "note")))
    query = sa.select(audit).where(audit.c.action == "finding.reopened").order_by(audit.c.id)
    first: dict[tuple[str, str], dict[str, Any]] = {}
    for row in connection.execute(query):
        detector, _, service = row.subject.partition("|")
        kept = {"at": row.at, "actor": row.actor, "via": row.via, "key": "", "note": row.detail}
        first.setdefault((detector, service), {"detector": detector[:200], "service": service, **kept})
    _insert(connection, reopenings, first.values())


def _insert(connection: sa.Connection, table: sa.TableClause, rows: Iterable[dict[str, Any]]) -> None:
    known = list(rows)
    if known:
        connection.execute(sa.insert(table), known)
