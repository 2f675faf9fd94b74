"""Labelled findings: what the detectors said, and what turned out to be true, source by source."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, select

from detectors.learning.judged import AT_ONCE, incidents_of
from watchkeeper.state.codec import parse
from watchkeeper.state.database import Database
from watchkeeper.state.labels import labels
from watchkeeper.state.schema import findings
from watchkeeper.vocabulary import Finding, Label, LabelSource

SOURCES: Final[tuple[LabelSource, ...]] = ("human", "chaos")


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One finding of a labelled incident, as it was at its worst, and when the label was given.

    `warranted`: was it right to page for this incident.
    """

    incident_id: str
    source: LabelSource
    at: datetime
    finding: Finding
    warranted: bool


def examples(db: Database, known: tuple[Label, ...] | None = None) -> tuple[Example, ...]:
    """Every finding that could page, of every incident whose page was judged, in the order of the labels.

    An incident that both sources judged gives examples of each: they are never merged. Of one source the last
    judgement of an incident counts. `known` are the labels, where the caller has read them already.
    """
    given = labels(db) if known is None else known
    judged = {(label.source, label.incident_id): label for label in given if label.warranted is not None}
    ids = list(dict.fromkeys(incident_id for _, incident_id in judged))
    with db.read() as connection:
        findings_of = _findings(connection, ids)
    return tuple(
        Example(incident_id=incident_id, source=source, at=label.at, finding=finding, warranted=bool(label.warranted))
        for (source, incident_id), label in judged.items()
        for finding in findings_of.get(incident_id, ())
        if finding.severity == "page" or finding.suppression
    )


def labelled(known: tuple[Example, ...]) -> dict[str, int]:
    """How many incidents each source has judged."""
    return {source: len({example.incident_id for example in known if example.source == source}) for source in SOURCES}


def _findings(connection: Connection, ids: list[str]) -> dict[str, tuple[Finding, ...]]:
    """Each incident's findings, each with what its episode came to in the end.

    Only those that the incident itself holds: what came after its end belongs to another.
    """
    latest: dict[tuple[str, str], Finding] = {}
    for first in range(0, len(ids), AT_ONCE):
        query = select(findings.c.incident_id, findings.c.body)
        query = query.where(findings.c.incident_id.in_(ids[first : first + AT_ONCE])).order_by(findings.c.seen_at)
        for incident_id, body in connection.execute(query):
            finding = parse(Finding, body)
            latest[incident_id, finding.key] = finding
    return {
        incident.id: tuple(
            _at_its_worst(finding, latest.get((incident.id, finding.key))) for finding in incident.findings
        )
        for incident in incidents_of(connection, ids).values()
    }


def _at_its_worst(first: Finding, last: Finding | None) -> Finding:
    """The finding as it was opened, with what its episode came to."""
    if last is None:
        return first
    return replace(
        first,
        episode=last.episode or first.episode,
        conditions=last.conditions or first.conditions,
        suppression=last.suppression or first.suppression,
    )
