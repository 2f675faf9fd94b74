"""The measured impact of incidents that are over: which postmortems wait for it, and how it is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select

from alerting.incidents import journal
from alerting.postmortems import revisions
from alerting.postmortems.document import Measured
from alerting.postmortems.revisions import MACHINE
from watchkeeper.errors import Conflict
from watchkeeper.state.database import Database, to_micros
from watchkeeper.state.schema import postmortem_documents as documents
from watchkeeper.vocabulary import Window

# Telemetry of the last requests is loaded by then.
SETTLED: Final = timedelta(seconds=60)
# A postmortem that was not measured for so long is left as it is: its telemetry may be gone.
GIVEN_UP: Final = timedelta(days=2)
MOST_SERVICES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmeasured:
    """An incident that is over: `service` is where users felt it, `services` are those of its findings."""

    incident_id: str
    service: str
    services: tuple[str, ...]
    window: Window


def unmeasured(db: Database, now: datetime, limit: int = 5) -> Iterator[Unmeasured]:
    """Incidents that are over, and whose postmortem has no measured impact yet."""
    waiting = documents.c.body.contains('"measured":null') & (documents.c.state != "published")
    query = select(documents.c.incident_id).where(waiting, documents.c.updated_at >= to_micros(now - GIVEN_UP))
    with db.read() as connection:
        ids = list(connection.scalars(query.order_by(documents.c.updated_at)))
        found = journal.load_many(connection, ids)
        starts = {one: revisions.load(connection, one).document.first_bad_at for one in found}
    ready = 0
    for incident in found.values():
        start, end = starts[incident.id] or incident.onset, incident.recovered_at or incident.resolved_at
        if end is None or end + SETTLED > now or start >= end:
            continue
        services = tuple(sorted({finding.service for finding in incident.findings} | {incident.service}))
        yield Unmeasured(
            incident_id=incident.id,
            service=incident.service,
            services=services[:MOST_SERVICES],
            window=Window(start=start, end=end),
        )
        ready += 1
        if ready >= limit:
            return


def record_impact(db: Database, incident_id: str, measured: Measured, now: datetime) -> bool:
    """Keep what was measured, as a revision of its own; whether it is new. A later round tries again."""
    try:
        with db.write() as connection:
            before = revisions.load(connection, incident_id)
            if before.document.measured is not None or before.state == "published":
                return False
            after = replace(before, document=replace(before.document, measured=measured))
            revisions.append(connection, before, after, MACHINE, "measured", ("measured",), now)
    except Conflict:
        return False
    return True
