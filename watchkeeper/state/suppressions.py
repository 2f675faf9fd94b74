"""Which findings a version of the model suppresses, why, since when and until when; kept with the findings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, select, update

from watchkeeper.state.database import to_micros
from watchkeeper.state.insert import insert_new
from watchkeeper.state.schema import suppressions
from watchkeeper.vocabulary import Finding


def store_suppressions(connection: Connection, stored: Iterable[tuple[int, Finding]]) -> None:
    """Begin and end suppressions, by findings that fire.

    Args:
        connection: of the transaction that stores the findings.
        stored: each finding with the onset of its row, in microseconds.
    """
    lasting = set(connection.scalars(select(suppressions.c.key).where(suppressions.c.until.is_(None))))
    for onset, finding in stored:
        if finding.suppression is None:
            if finding.key in lasting:
                end_suppressions(connection, [finding.key], finding.seen_at)
        elif finding.key not in lasting:
            row = {
                "key": finding.key,
                "onset": onset,
                "detector": finding.detector,
                "service": finding.service,
                "model_version": finding.suppression.model_version,
                "reason": finding.suppression.reason,
                "began": to_micros(finding.seen_at),
                "until": None,
            }
            insert_new(connection, suppressions, row)


def end_suppressions(connection: Connection, keys: Sequence[str], now: datetime) -> None:
    """End the suppressions of these findings: they cleared, paged after all, or were reopened."""
    if keys:
        statement = update(suppressions).where(suppressions.c.until.is_(None), suppressions.c.key == bindparam("ended"))
        connection.execute(statement.values(until=to_micros(now)), [{"ended": key} for key in keys])
