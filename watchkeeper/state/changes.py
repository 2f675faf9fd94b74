"""Change events: kept once each, whoever repeats them."""

from __future__ import annotations

import structlog
from sqlalchemy import select

from watchkeeper.state.codec import dump, parse
from watchkeeper.state.database import Database, to_micros
from watchkeeper.state.insert import insert_new
from watchkeeper.state.schema import changes
from watchkeeper.vocabulary import ChangeEvent, Window


def record_change(db: Database, change: ChangeEvent) -> bool:
    """Keep a change event; False when its id is known already."""
    with db.write() as connection:
        row = {"id": change.id, "at": to_micros(change.at), "service": change.service, "body": dump(change)}
        return insert_new(connection, changes, row)


def changes_between(db: Database, window: Window) -> tuple[ChangeEvent, ...]:
    """The change events of a window, oldest first; a row that cannot be read is left out."""
    query = (
        select(changes.c.id, changes.c.body)
        .where(changes.c.at >= to_micros(window.start), changes.c.at < to_micros(window.end))
        .order_by(changes.c.at, changes.c.id)
    )
    read: list[ChangeEvent] = []
    with db.read() as connection:
        for row in connection.execute(query):
            try:
                read.append(parse(ChangeEvent, row.body))
            except ValueError as error:
                structlog.get_logger().warning("change.unreadable", id=row.id, error=str(error))
    return tuple(read)
