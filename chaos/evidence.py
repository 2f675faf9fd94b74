"""The line of evidence on a page: how faults like this one were found here, and when that was tested last."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from chaos.scored import ScoredExperiment, scored_experiments
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Diagnosis, Mechanism


def evidence_line(known: Sequence[ScoredExperiment], service: str, mechanism: Mechanism | None, now: datetime) -> str:
    """How often experiments like a page were found; empty where there never was an experiment.

    Those in the same service with the same mechanism; where there is none, with the same mechanism anywhere, then in
    the same service with any. `mechanism` None or `unknown`: it is not known.

    >>> from datetime import UTC
    >>> evidence_line((), "orders", "killed", datetime(2026, 3, 1, tzinfo=UTC))
    ''
    """
    tests = [one for one in known if one.counts]
    if not tests:
        return ""
    of_kind = [one for one in tests if mechanism not in (None, "unknown") and one.truth.mechanism == mechanism]
    here = [one for one in tests if one.truth.service == service]
    for similar, words in (
        ([one for one in of_kind if one.truth.service == service], "Faults like this here"),
        (of_kind, f"Faults like this were never tested in {service}; elsewhere"),
        (here, f"Faults in {service}, of other kinds" if of_kind or mechanism else f"Faults in {service}"),
    ):
        if similar:
            found = sum(one.found for one in similar)
            last = max(one.truth.ended for one in similar)
            return f"{words}: found {found} of {len(similar)}, last tested {ago(now - last)}"
    return f"Faults in {service} were never tested"


def evidence_of(db: Database, incident_id: str, service: str, diagnosis: Diagnosis | None, now: datetime) -> str:
    """The line for one incident, read now."""
    return evidence_about(scored_experiments(db), incident_id, service, diagnosis, now)


def evidence_about(
    known: Sequence[ScoredExperiment], incident_id: str, service: str, diagnosis: Diagnosis | None, now: datetime
) -> str:
    """The line for an incident of a service; where a diagnosis names a cause, for that.

    What still runs, and what has caused this very incident, is no evidence, and must not be given away by it.
    """
    known = [one for one in known if one.truth.ended < now and incident_id not in one.incidents]
    if diagnosis and diagnosis.suspects and not diagnosis.abstained:
        first = diagnosis.suspects[0]
        return evidence_line(known, first.service, first.mechanism, now)
    return evidence_line(known, service, None, now)


def ago(span: timedelta) -> str:
    """How long ago, in one unit.

    >>> ago(timedelta(days=3, hours=2)), ago(timedelta(minutes=61)), ago(timedelta(seconds=3))
    ('3 days ago', '1 hour ago', 'just now')
    """
    for name, seconds in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if (count := int(span.total_seconds() // seconds)) >= 1:
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    return "just now"
