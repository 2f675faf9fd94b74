"""The findings that the state database keeps, for tests."""

from __future__ import annotations

from sqlalchemy import and_, or_, select

from watchkeeper.state.codec import parse
from watchkeeper.state.database import Database, to_micros
from watchkeeper.state.schema import findings
from watchkeeper.vocabulary import Finding, Window


def findings_between(db: Database, window: Window) -> tuple[Finding, ...]:
    """The findings that were firing at some time of a window, by onset."""
    start = to_micros(window.start)
    query = (
        select(findings.c.body)
        .where(findings.c.onset < to_micros(window.end))
        .where(or_(findings.c.cleared_at.is_(None), and_(findings.c.cleared_at >= start, findings.c.seen_at >= start)))
        .order_by(findings.c.onset, findings.c.key)
    )
    with db.read() as connection:
        return tuple(parse(Finding, body) for body in connection.scalars(query))
