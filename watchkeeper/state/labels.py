"""Labels: chaos truth and human judgement, kept apart by their source."""

from __future__ import annotations

from sqlalchemy import Connection, select

from watchkeeper.state.codec import dump, parse
from watchkeeper.state.database import Database, to_micros
from watchkeeper.state.insert import upsert
from watchkeeper.state.schema import labels as table
from watchkeeper.vocabulary import Label, LabelSource


def store_label(connection: Connection, label: Label) -> None:
    """Keep a label inside somebody else's transaction; the same id overwrites."""
    row = {
        "id": label.id,
        "incident_id": label.incident_id,
        "source": label.source,
        "at": to_micros(label.at),
        "body": dump(label),
    }
    upsert(connection, table, row)


def record_label(db: Database, label: Label) -> None:
    """Keep a label."""
    with db.write() as connection:
        store_label(connection, label)


def labels(db: Database, source: LabelSource | None = None, incident_id: str | None = None) -> tuple[Label, ...]:
    """The labels, oldest first, of one source or incident or of all."""
    query = select(table.c.body).order_by(table.c.at, table.c.id)
    if source:
        query = query.where(table.c.source == source)
    if incident_id:
        query = query.where(table.c.incident_id == incident_id)
    with db.read() as connection:
        return tuple(parse(Label, body) for body in connection.scalars(query))
