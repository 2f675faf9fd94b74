"""Which incident a finding belongs to: one trouble, one incident, and a sentence that gives the reason.

A finding joins an incident when it is close in time and connected in the call graph, within two calls in either
direction: trouble spreads from callee to caller, so that one cause shows in several services. What began before an
incident was resolved is that incident's aftermath: it pages nobody, for a while, and reopens nothing.

Tickets are grouped in the same way, and a service has one open ticket at most. A finding that warrants a page joins an
incident that paged before it joins a ticket, which it raises to a page. A detail opens nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from alerting.incidents.machine import Incident
from watchkeeper.vocabulary import Finding

# Findings of one trouble begin this close to each other: long enough for callers that fail after some time-outs.
CLOSE: Final = timedelta(minutes=5)
# Calls between their services at most; three calls connect most services of a system with each other.
HOPS: Final = 2
# A finding that comes back this soon after its incident recovered is a flap of it, not a new trouble.
FLAP: Final = timedelta(minutes=2)
# While its page waits for an answer it is the same trouble for longer: a new incident would begin the escalation anew.
UNANSWERED: Final = timedelta(minutes=10)
# So many incidents that were opened about a minute from each other are a storm: what comes back of it within the longer
# time is the same storm, and not as many new incidents.
STORM: Final = 20
STORM_OPENED_WITHIN_S: Final = 60
# Neighbours' findings that begin this soon after the recovery are its backlog being worked off.
BACKLOG: Final = timedelta(seconds=45)
# An onset is an estimate: it may lie this much after a resolve while it fired, and still be the old trouble's.
ONSET_ERROR: Final = timedelta(seconds=15)
# Whatever still fires this long after a resolve was not over: it opens a new incident.
AFTERMATH: Final = timedelta(minutes=5)

# A ticket that is over sooner than this is not worth anybody's time; one about failed or slow requests is sooner.
LASTING: Final = timedelta(minutes=2)
LASTING_REQUESTS: Final = timedelta(seconds=30)
OF_REQUESTS: Final = frozenset({"errors", "latency", "silence", "slo"})

Edges = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What to do with a finding, and why.

    Open an incident of its severity, join one, raise a ticket to a page with it, count it to an incident that is
    resolved, or leave it: a ticket that is too young, or a detail.
    """

    how: Literal["open", "join", "raise", "aftermath", "leave"]
    reason: str
    incident_id: str | None = None


class Neighbourhood:
    """Which services are within two calls of each other."""

    def __init__(self, edges: Edges) -> None:
        self._next: dict[str, set[str]] = {}
        self._near: dict[str, dict[str, int]] = {}
        for caller, callee in edges:
            self._next.setdefault(caller, set()).add(callee)
            self._next.setdefault(callee, set()).add(caller)

    def near(self, service: str) -> dict[str, int]:
        """The services within two calls of one, each with its distance; itself included, at 0."""
        known = self._near.get(service)
        if known is None:
            known = {service: 0}
            frontier = {service}
            for hop in range(1, HOPS + 1):
                frontier = {other for service in frontier for other in self._next.get(service, ())} - known.keys()
                known.update(dict.fromkeys(frontier, hop))
            self._near[service] = known
        return known


class Recent:
    """The incidents that are not over, or over only a few minutes ago: found by their findings, however many."""

    def __init__(self, incidents: Iterable[Incident]) -> None:
        self._incidents: dict[str, Incident] = {}
        self._ranks: dict[str, int] = {}
        self._by_key: dict[str, set[str]] = {}
        self._by_service: dict[str, set[str]] = {}
        self._opened: Counter[int] = Counter()
        for incident in incidents:
            self.put(incident)

    def put(self, incident: Incident) -> None:
        """Add the newest incident, or what became of one."""
        known = self._incidents.get(incident.id)
        self._ranks.setdefault(incident.id, len(self._ranks))
        if known is None:
            self._opened[_minute(incident)] += 1
        self._incidents[incident.id] = incident
        known_keys = {finding.key for finding in known.findings} if known else frozenset()
        for finding in incident.findings:
            if finding.key not in known_keys:
                self._by_key.setdefault(finding.key, set()).add(incident.id)
                self._by_service.setdefault(finding.service, set()).add(incident.id)

    def forget(self, incident_id: str) -> None:
        """One that could not be kept."""
        gone = self._incidents.pop(incident_id, None)
        if gone:
            self._opened[_minute(gone)] -= 1
        for names in (*self._by_key.values(), *self._by_service.values()):
            names.discard(incident_id)

    def get(self, incident_id: str) -> Incident | None:
        return self._incidents.get(incident_id)

    def in_storm(self, incident: Incident) -> bool:
        """Whether many others were opened when it was."""
        minute = _minute(incident)
        return sum(self._opened[near] for near in (minute - 1, minute, minute + 1)) >= STORM

    def all(self) -> tuple[Incident, ...]:
        """Every incident, the newest last."""
        return tuple(self._incidents.values())

    def with_key(self, key: str) -> list[Incident]:
        """The incidents that a finding is in, the newest first."""
        return self._newest_first(self._by_key.get(key, set()))

    def with_services(self, services: Iterable[str]) -> list[Incident]:
        """The incidents that have a finding of one of the services, the newest first."""
        return self._newest_first({name for service in services for name in self._by_service.get(service, ())})

    def _newest_first(self, names: Iterable[str]) -> list[Incident]:
        return [self._incidents[name] for name in sorted(names, key=lambda name: -self._ranks[name])]


def _minute(incident: Incident) -> int:
    return int(incident.opened_at.timestamp()) // STORM_OPENED_WITHIN_S


def place(finding: Finding, incidents: Recent | Sequence[Incident], near: Neighbourhood, now: datetime) -> Placement:
    """Where a finding belongs.

    `incidents` are those that are not over, or over only a few minutes ago; the newest last, which is tried first.
    """
    recent = incidents if isinstance(incidents, Recent) else Recent(incidents)
    known, around = recent.with_key(finding.key), near.near(finding.service)
    neighbours = recent.with_services(around)
    for severity in ("page", "ticket"):
        for incident in (one for one in known if one.severity == severity):
            if _is_aftermath(finding, incident, now):
                return _aftermath(incident)
            if incident.is_open and _is_flap_or_firing(finding, incident, recent):
                return _join(finding, incident, "the same finding")
        for incident in (one for one in neighbours if one.severity == severity):
            if _is_aftermath(finding, incident, now):
                return _aftermath(incident)
            if incident.is_open and is_close(finding, incident):
                shared = around.keys() & {other.service for other in incident.findings}
                nearest = min(shared, key=lambda service: (around[service], service))
                return _join(finding, incident, _why(around[nearest], nearest, incident))
    for incident in neighbours:
        if _is_ticket_of(finding, incident):
            return _join(finding, incident, "the same service, which has an open ticket")
    if finding.severity == "detail" or finding.suppression:
        return Placement(how="leave", reason="a detail, or what was suppressed, opens no incident")
    lasting = LASTING_REQUESTS if finding.kind in OF_REQUESTS else LASTING
    if finding.severity == "ticket" and now < finding.onset + lasting:
        return Placement(how="leave", reason="it began a moment ago, and may be over as soon")
    return Placement(how="open", reason="no open incident is near in time and calls")


def is_close(finding: Finding, incident: Incident) -> bool:
    """Whether a finding began about when an incident did, whatever their services."""
    if incident.recovered_at is not None:
        return incident.onset - CLOSE <= finding.onset <= incident.recovered_at + BACKLOG
    latest = max(known.onset for known in incident.findings)
    return incident.onset - CLOSE <= finding.onset <= max(latest, incident.opened_at) + CLOSE


def _join(finding: Finding, incident: Incident, reason: str) -> Placement:
    raises = finding.severity == "page" and incident.severity == "ticket"
    return Placement(how="raise" if raises else "join", incident_id=incident.id, reason=reason)


def _aftermath(incident: Incident) -> Placement:
    reason = f"it began before {incident.id} was resolved"
    return Placement(how="aftermath", incident_id=incident.id, reason=reason)


def _why(distance: int, other: str, incident: Incident) -> str:
    if distance == 0:
        where = "the same service"
    else:
        where = f"{other} is {'one call' if distance == 1 else f'{distance} calls'} away"
    when = "and it began before the recovery" if incident.recovered_at else "and they began within minutes"
    return f"{where}, {when}"


def _is_ticket_of(finding: Finding, incident: Incident) -> bool:
    """Whether an incident is the open ticket of a finding's service; a page joins it only while it fires."""
    if incident.severity != "ticket" or not incident.is_open:
        return False
    if all(known.service != finding.service for known in incident.findings):
        return False
    return incident.recovered_at is None or finding.severity == "ticket"


def _is_flap_or_firing(finding: Finding, incident: Incident, recent: Recent) -> bool:
    if incident.recovered_at is None or finding.onset <= incident.recovered_at + FLAP:
        return True
    lasts_longer = incident.human_state == "paged" or recent.in_storm(incident)
    return lasts_longer and finding.onset <= incident.recovered_at + UNANSWERED


def _is_aftermath(finding: Finding, incident: Incident, now: datetime) -> bool:
    """Whether a finding is what a resolved incident left behind. A page is never left behind by a ticket."""
    if incident.resolved_at is None or now > incident.resolved_at + AFTERMATH:
        return False
    if incident.severity == "ticket" and finding.severity == "page":
        return False
    # Where nothing fired any more when it was resolved, nothing was left: what began since is new.
    was_over = incident.recovered_at is not None and incident.recovered_at <= incident.resolved_at
    return finding.onset <= (incident.resolved_at if was_over else incident.resolved_at + ONSET_ERROR)
