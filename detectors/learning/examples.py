"""Labelled findings: what the detectors said, and what turned out to be true, source by source."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, select

from detectors.learning.suppression import REASON
from watchkeeper.state.codec import parse
from watchkeeper.state.database import Database
from watchkeeper.state.labels import labels
from watchkeeper.state.schema import findings, incidents
from watchkeeper.vocabulary import Finding, Label, LabelSource

SOURCES: Final[tuple[LabelSource, ...]] = ("human", "chaos")
AT_ONCE: Final = 500  # ids in one query


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One finding of a labelled incident, as it was at its worst, and when the label was given.

    `warranted`: was it right to wake somebody for this incident.
    """

    incident_id: str
    source: LabelSource
    at: datetime
    finding: Finding
    warranted: bool


def examples(db: Database, known: tuple[Label, ...] | None = None) -> tuple[Example, ...]:
    """Every finding that could wake somebody, of every incident whose page was judged, in the order of the labels.

    An incident that both sources judged gives examples of each: they are never merged. Of one source the last
    judgement of an incident counts. `known` are the labels, where the caller has read them already.
    """
    given = labels(db) if known is None else known
    judged = {(label.source, label.incident_id): label for label in given if label.warranted is not None}
    ids = list(dict.fromkeys(incident_id for _, incident_id in judged))
    told: dict[str, tuple[Finding, ...]] = {}
    with db.read() as connection:
        for first in range(0, len(ids), AT_ONCE):
            told |= _told(connection, ids[first : first + AT_ONCE])
    return tuple(
        Example(incident_id=incident_id, source=source, at=label.at, finding=finding, warranted=bool(label.warranted))
        for (source, incident_id), label in judged.items()
        for finding in told.get(incident_id, ())
        if finding.severity == "page" or REASON in finding.attributes
    )


def labelled(known: tuple[Example, ...]) -> dict[str, int]:
    """How many incidents each source has judged."""
    return {source: len({one.incident_id for one in known if one.source == source}) for source in SOURCES}


def _told(connection: Connection, ids: list[str]) -> dict[str, tuple[Finding, ...]]:
    """Each incident's findings, each with the attributes that it had in the end."""
    latest: dict[tuple[str, str], Finding] = {}
    query = select(findings.c.incident_id, findings.c.body).where(findings.c.incident_id.in_(ids))
    for incident_id, body in connection.execute(query.order_by(findings.c.seen_at)):
        finding = parse(Finding, body)
        latest[incident_id, finding.key] = finding
    told: dict[str, tuple[Finding, ...]] = {}
    for incident_id, body in connection.execute(
        select(incidents.c.id, incidents.c.body).where(incidents.c.id.in_(ids))
    ):
        # Only those that the incident itself holds: what came after its end is another story.
        first = [parse(Finding, json.dumps(tree)) for tree in json.loads(body)["findings"]]
        told[incident_id] = tuple(_at_its_worst(one, latest.get((incident_id, one.key))) for one in first)
    return told


def _at_its_worst(first: Finding, last: Finding | None) -> Finding:
    """The finding as it was opened, with what its episode came to."""
    if last is None:
        return first
    return replace(first, attributes={**first.attributes, **last.attributes})
