"""What the protocol between machine and human promises, each as a check of one moment of the state database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, select

from alerting.incidents import journal
from alerting.incidents.commands import Incidents
from alerting.incidents.machine import Incident, TimelineEntry, replay
from alerting.oncall.escalation import LAST_WAIT
from watchkeeper.state.database import Database, from_micros
from watchkeeper.state.schema import timers

PAGES: Final = ("paged", "escalated", "ack_timed_out", "snooze_ended", "silence_ended")
SILENCED: Final = ("snoozed", "silenced")
SECOND_STEP: Final = timedelta(seconds=120)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """All incidents, and the waits that have not ended: by incident, the kind and when it is due."""

    db: Database
    incidents: Mapping[str, Incident]
    waits: Mapping[str, Mapping[str, datetime]]

    @classmethod
    def of(cls, db: Database, incidents: Incidents) -> Moment:
        """As it is now."""
        everything = {incident.id: incident for incident in incidents.list(limit=1000)}
        waits: dict[str, dict[str, datetime]] = {name: {} for name in everything}
        with db.read() as connection:
            query = select(timers.c.incident_id, timers.c.kind, timers.c.due_at).where(timers.c.done_at.is_(None))
            for row in connection.execute(query):
                if row.incident_id not in waits:
                    continue  # a swap, an action item or the digest waits, too
                assert row.kind not in waits[row.incident_id]
                waits[row.incident_id][row.kind] = from_micros(row.due_at)
        return cls(db=db, incidents=everything, waits=waits)


def is_the_fold_of_its_events(connection: Connection, incident: Incident) -> None:
    """What stands beside the events is what they say."""
    refolded = journal.refold(connection, incident.id)
    assert refolded.version == incident.version == len(incident.timeline)
    assert (refolded.human_state, refolded.system_state) == (incident.human_state, incident.system_state)
    assert refolded.findings == incident.findings


def nobody_s_turn_to_be_paged_is_put_off(moment: Moment, set_since: Callable[[str, int], timedelta]) -> None:
    """However it flaps: what fires was paged at its step's time, but for the seconds since the last round.

    `set_since` says by how much the clock was set since an entry of an incident's timeline, by its number.
    """
    for incident in moment.incidents.values():
        if incident.human_state != "paged" or incident.system_state != "firing":
            continue
        pages = [n for n, entry in enumerate(incident.timeline) if entry.kind in (*PAGES, "assigned")]
        last = incident.timeline[pages[-1]]
        wait = SECOND_STEP if incident.escalation_step == 0 else LAST_WAIT
        (due,) = [at for kind, at in moment.waits[incident.id].items() if kind in ("escalate", "expire")]
        assert due <= last.at + wait + set_since(incident.id, pages[-1])


def a_ticket_pages_nobody_and_is_raised_once(moment: Moment) -> None:
    for incident in moment.incidents.values():
        kinds = [entry.kind for entry in incident.timeline]
        before = kinds[: kinds.index("raised")] if "raised" in kinds else kinds if incident.raised_at else []
        assert kinds.count("raised") == (incident.raised_at is not None) <= 1
        assert not {*before} & {*PAGES, "expired", "delivered"}
        if incident.severity == "ticket":
            assert incident.paged_at is None
            assert not {*kinds} & {*PAGES, "expired"}
            assert all(one.severity != "page" for one in incident.findings)


def a_service_has_one_open_ticket(moment: Moment) -> None:
    services = [
        incident.service
        for incident in moment.incidents.values()
        if incident.is_open and incident.severity == "ticket" and incident.system_state == "firing"
        if all(entry.kind != "split" for entry in incident.timeline)
    ]
    assert len(services) == len(set(services))


def what_is_merged_goes_along(moment: Moment) -> None:
    """Its findings are the other's, and it is in no list of what is open."""
    for incident in moment.incidents.values():
        if incident.human_state != "merged":
            continue
        assert not incident.is_open
        into = moment.incidents[incident.merged_into]
        assert {one.key for one in incident.findings} <= {one.key for one in into.findings}
        with moment.db.read() as connection:
            complete = journal.load(connection, into.id).complete_timeline
        assert incident.timeline[0] in [replace(e, text=e.text.partition(": ")[2]) for e in complete]


def nobody_is_woken_and_nobody_acknowledges_what_somebody_holds(moment: Moment) -> None:
    for incident in moment.incidents.values():
        acknowledged = False
        for entry in incident.timeline:
            if entry.kind == "raised":
                acknowledged = False  # who took the ticket has not answered the page
            elif entry.kind == "ack_timed_out":
                assert acknowledged
                acknowledged = False
            elif entry.kind in ("assigned", "snoozed", "silenced", "merged"):
                acknowledged = acknowledged and entry.kind == "assigned" and not _is_told(moment, incident, entry)
            elif entry.kind == "split":
                acknowledged = True
            elif entry.kind in ("paged", "escalated", "acknowledged", "expired"):
                assert not acknowledged
                acknowledged = entry.kind == "acknowledged"


def _is_told(moment: Moment, incident: Incident, assigned: TimelineEntry) -> bool:
    """Whether an assignment paged: as the incident stood then."""
    with moment.db.read() as connection:
        events = journal.events(connection, incident.id)
    before = replay(incident.id, events[: incident.timeline.index(assigned)])
    return before.severity == "page" and before.system_state == "firing"


def every_wait_has_its_timer(moment: Moment) -> None:
    for incident in moment.incidents.values():
        kinds = set(moment.waits[incident.id])
        match incident.human_state:
            case "waiting" | "acknowledged" if incident.severity == "ticket":
                assert kinds == ({"quiet"} if incident.system_state == "recovered" else set())
            case "waiting":
                assert kinds == {"page"}
            case "paged" if incident.system_state == "recovered":
                # The wait for the next step goes on, should it fire again; the page ends in any case.
                assert {"expire"} <= kinds <= {"escalate", "expire"}
            case "paged":
                assert len(kinds & {"escalate", "expire"}) == 1
            case "acknowledged":
                assert incident.system_state == "recovered" or kinds == {"ack_timeout"}
            case "snoozed":
                assert incident.system_state == "recovered" or kinds == {"snooze"}
            case "silenced":
                assert incident.system_state == "recovered" or kinds == {"silence"}
            case "expired" | "merged" | "resolved":
                assert not kinds


PROMISES: Final[Sequence[Callable[[Moment], None]]] = (
    a_ticket_pages_nobody_and_is_raised_once,
    a_service_has_one_open_ticket,
    what_is_merged_goes_along,
    nobody_is_woken_and_nobody_acknowledges_what_somebody_holds,
    every_wait_has_its_timer,
)
