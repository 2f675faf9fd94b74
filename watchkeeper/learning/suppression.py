"""Findings that a model holds back: never silently, and never again once a human reopened one.

A finding that is held back becomes a ticket that carries its reason. Whoever disagrees reopens it; from then on no
model version may hold back that detector on that service.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy import select

from watchkeeper.learning.learnt import Learnt
from watchkeeper.state.audit import record_audit
from watchkeeper.state.database import Database
from watchkeeper.state.schema import audit
from watchkeeper.vocabulary import Actor, Finding

REOPENED: Final = "finding.reopened"
REASON: Final = "held back"  # the attribute that keeps the reason
BY: Final = "held back by"


def hold_back(finding: Finding, learnt: Learnt, version: str) -> Finding:
    """The finding as a ticket with its reason."""
    attributes = {**finding.attributes, REASON: learnt.why(finding), BY: version}
    return replace(finding, severity="ticket", attributes=attributes)


def reopen(db: Database, finding: Finding, actor: Actor, now: datetime, note: str = "") -> None:
    """A human says that this should not have been held back: its detector on its service is never again."""
    with db.write() as connection:
        record_audit(connection, now, actor, REOPENED, f"{finding.detector}|{finding.service}", note)


def barred(db: Database) -> frozenset[str]:
    """The groups (`detector|service`) that no model may hold back."""
    with db.read() as connection:
        return frozenset(connection.scalars(select(audit.c.subject).where(audit.c.action == REOPENED)))
