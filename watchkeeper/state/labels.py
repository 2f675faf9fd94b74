"""Labels: chaos truth and human judgement, kept apart by their source."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, delete, select

from watchkeeper.state.codec import dump, parse
from watchkeeper.state.database import Database, to_micros
from watchkeeper.state.insert import upsert
from watchkeeper.state.schema import labels as table
from watchkeeper.vocabulary import Label, LabelSource, supersedes


def store_label(connection: Connection, label: Label) -> None:
    """Keep a label inside somebody else's transaction, in place of those that it supersedes."""
    known = select(table.c.id, table.c.body).where(table.c.incident_id == label.incident_id)
    gone = [one for one, body in connection.execute(known) if supersedes(label, parse(Label, body))]
    if gone:
        connection.execute(delete(table).where(table.c.id.in_(gone)))
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


def labels_of(connection: Connection, incident_id: str, source: LabelSource) -> tuple[Label, ...]:
    """The labels of one source that count for an incident, oldest first."""
    query = select(table.c.body).where(table.c.incident_id == incident_id, table.c.source == source)
    return newest(parse(Label, body) for body in connection.scalars(query.order_by(table.c.at, table.c.id)))


def labels(db: Database, source: LabelSource | None = None, incident_id: str | None = None) -> tuple[Label, ...]:
    """The labels that count, oldest first, of one source or incident or of all."""
    query = select(table.c.body).order_by(table.c.at, table.c.id)
    if source:
        query = query.where(table.c.source == source)
    if incident_id:
        query = query.where(table.c.incident_id == incident_id)
    with db.read() as connection:
        return newest(parse(Label, body) for body in connection.scalars(query))


def newest(found: Iterable[Label]) -> tuple[Label, ...]:
    """Of labels in the order of their time those that no later one supersedes, as older versions kept them beside."""
    counts: dict[tuple[str, str, str], Label] = {}
    for label in found:
        key = (label.source, label.incident_id, label.author)
        counts.pop(key, None)  # the order is that of the judgements that count
        counts[key] = label
    return tuple(counts.values())
