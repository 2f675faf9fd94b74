"""How far the detectors have learned each service: the watch role's newest word, for whoever shows it."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import delete, select

from watchkeeper.state.codec import dump, parse
from watchkeeper.state.database import Database
from watchkeeper.state.insert import upsert
from watchkeeper.state.schema import readiness
from watchkeeper.vocabulary import Readiness


def record_readiness(db: Database, known: Mapping[str, Readiness]) -> None:
    """Replace what was recorded by `known`; rows that say the same are not written."""
    before = read_readiness(db)
    with db.write() as connection:
        gone = before.keys() - known.keys()
        if gone:
            connection.execute(delete(readiness).where(readiness.c.service.in_(sorted(gone))))
        for service, one in known.items():
            if before.get(service) != one:
                upsert(connection, readiness, {"service": service, "body": dump(one)})


def read_readiness(db: Database) -> dict[str, Readiness]:
    """What was recorded last, by service."""
    with db.read() as connection:
        known = [parse(Readiness, body) for body in connection.scalars(select(readiness.c.body))]
        return {one.service: one for one in known}  # the column may hold a shortened name
