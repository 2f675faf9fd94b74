"""Labelled findings: what the detectors said, and what turned out to be true, source by source."""

from __future__ import annotations

from dataclasses import dataclass

from alerting import journal
from watchkeeper.errors import NotFound
from watchkeeper.state.database import Database
from watchkeeper.state.labels import labels
from watchkeeper.vocabulary import Finding, LabelSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One finding of a labelled incident. `warranted`: was it right to wake somebody for this incident."""

    incident_id: str
    source: LabelSource
    finding: Finding
    warranted: bool


def examples(db: Database) -> tuple[Example, ...]:
    """Every finding that could wake somebody, of every incident whose page was judged, in the order of the labels.

    An incident that both sources judged gives examples of each: they are never merged. Of one source the last
    judgement of an incident counts.
    """
    judged = {(label.source, label.incident_id): label for label in labels(db) if label.warranted is not None}
    found: list[Example] = []
    for (source, incident_id), label in judged.items():
        try:
            with db.read() as connection:
                incident = journal.load(connection, incident_id)
        except NotFound:
            continue  # a label of an incident that this database does not know teaches nothing about a finding
        for finding in incident.findings:
            if finding.severity == "page" or "held back" in finding.attributes:
                warranted = bool(label.warranted)
                found.append(Example(incident_id=incident_id, source=source, finding=finding, warranted=warranted))
    return tuple(found)
