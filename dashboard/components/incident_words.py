"""An incident in words: its state, its owner, its likely cause, and why it paged."""

from __future__ import annotations

from collections.abc import Mapping

from dash import dcc, html

from alerting.incidents.machine import Incident
from dashboard.components.elements import Part, moment, pill
from dashboard.components.wording import count, likely, listed
from dashboard.urls import incident_path
from dashboard.viewer import Viewer
from watchkeeper.durations import duration
from watchkeeper.vocabulary import Actor, Finding

# word, tone and shape of each half of the state
SYSTEM = {"firing": ("firing", "failing", "◆"), "recovered": ("recovered", "ok", "●")}
HUMAN = {
    "waiting": ("about to page", "unknown", "…"),
    "paged": ("unacknowledged", "failing", "!"),
    "acknowledged": ("acknowledged", "accent", "✓"),
    "resolved": ("resolved", "ok", "✓"),
    "snoozed": ("snoozed", "unknown", "z"),
    "silenced": ("silenced", "unknown", "∅"),
    "merged": ("merged", "unknown", "⇒"),
    "expired": ("nobody answered", "failing", "✕"),
}
_URGENCY = {
    "expired": 0,
    "paged": 1,
    "waiting": 2,
    "acknowledged": 3,
    "snoozed": 3,
    "silenced": 3,
    "merged": 5,
    "resolved": 5,
}


def is_unanswered(incident: Incident) -> bool:
    """Whether its page waits for somebody to take it."""
    return incident.severity == "page" and incident.human_state in ("waiting", "paged", "expired")


def may_be_taken(incident: Incident) -> bool:
    """Whether nobody has it yet."""
    return incident.human_state in ("waiting", "paged", "expired", "snoozed", "silenced")


def urgency(incident: Incident) -> tuple[int, float]:
    """Sorts what needs a human first: unanswered pages, then firing ones, then tickets; the newest first."""
    waits = _URGENCY[incident.human_state]
    later = 10 if incident.severity == "ticket" else 0
    return later + waits + (incident.system_state == "recovered"), -incident.opened_at.timestamp()


LEVELS: Mapping[str, tuple[str, str]] = {
    "SEV1": ("failing", "▲"),
    "SEV2": ("degraded", "▲"),
    "SEV3": ("accent", "△"),
    "SEV4": ("unknown", "▽"),
}


def level_pill(incident: Incident) -> Part:
    """Its severity level, in a word."""
    level = incident.level or "SEV4"
    return pill(level, *LEVELS[level])


def state_pills(incident: Incident) -> list[Part]:
    """Its severity, and both halves of its state: the system's and the human's."""
    return [level_pill(incident), " ", *_halves(incident)]


def _halves(incident: Incident) -> list[Part]:
    system, human = SYSTEM[incident.system_state], HUMAN[incident.human_state]
    if incident.severity == "page":
        return [pill(*system), " ", pill(*human)]
    answer = [" ", pill(*human)] if not may_be_taken(incident) else []
    return [pill("ticket", "unknown", "▫"), " ", pill(*system), *answer]


def owner(incident: Incident, viewer: Viewer, people: Mapping[str, str]) -> Part:
    """Who has it, or how long it has been waiting for somebody. `people` maps ids to names."""
    if incident.human_state == "resolved" and incident.resolved_at:
        return html.Span(["resolved by ", _name(incident.resolved_by), " ", moment(incident.resolved_at, viewer)])
    if incident.human_state == "acknowledged" and incident.acknowledged_at:
        return html.Span(
            [html.Strong(_name(incident.acknowledged_by)), " has it, since ", moment(incident.acknowledged_at, viewer)]
        )
    if incident.human_state == "snoozed" and incident.snoozed_until:
        return html.Span([_name(incident.snoozed_by), " snoozed it until ", moment(incident.snoozed_until, viewer)])
    if incident.human_state == "silenced" and incident.silenced_until:
        return html.Span(["A silence suppresses its pages until ", moment(incident.silenced_until, viewer)])
    if incident.human_state == "merged":
        return html.Span(["Merged into ", dcc.Link(incident.merged_into, href=incident_path(incident.merged_into))])
    if incident.human_state == "expired":
        return html.Span("Nobody answered. The escalation chain has ended.")
    if incident.paged_at:
        person = people.get(incident.paged_person, incident.paged_person) or "the person on call"
        return html.Span(
            ["Nobody yet: paged ", html.Strong(person), " ", moment(incident.paged_at, viewer, relative=True)]
        )
    return html.Span("Nobody. A ticket pages nobody." if incident.severity == "ticket" else "Nobody yet: about to page")


def cause(incident: Incident) -> Part:
    """The likeliest cause with its probability, or why there is none."""
    diagnosis = incident.diagnosis
    if diagnosis is None:
        return html.Span("Diagnosis pending", className="muted")
    if diagnosis.abstained or not diagnosis.suspects:
        return html.Span(["No cause named: ", diagnosis.reason], className="muted")
    first = diagnosis.suspects[0]
    how = f", {first.mechanism}" if first.mechanism != "unknown" else ""
    return html.Span([html.Strong(first.service), f"{how}, {likely(first.probability)} likely"])


def cause_text(incident: Incident) -> str:
    """The same, for a title."""
    diagnosis = incident.diagnosis
    if diagnosis is None or diagnosis.abstained or not diagnosis.suspects:
        return "no cause named yet"
    first = diagnosis.suspects[0]
    return f"{first.service} ({likely(first.probability)})"


def lasted(incident: Incident, viewer: Viewer) -> str:
    """How long it went on, from onset to its end or to now."""
    end = incident.resolved_at or viewer.now
    return duration(end - incident.onset)


def why_notified(incident: Incident) -> str:
    """One sentence that answers "Why was I notified?"."""
    findings = incident.findings
    if not findings:
        return "It was opened without a finding of a detector."
    if incident.severity == "ticket":
        return "You were not paged. A ticket pages somebody only when users feel it, or when a limit is near."
    pages = [f for f in findings if f.severity == "page"] or list(findings)
    raised = " It had been a ticket before." if incident.raised_at else ""
    services = sorted({f.service for f in pages})
    detectors = sorted({f.detector for f in pages})
    first = min(pages, key=lambda f: f.onset)
    together = (
        " They form one incident because they began close together and the services call each other."
        if len(services) > 1
        else ""
    )
    return (
        f"{listed(detectors)} reported {count(len(pages), 'finding')} on {listed(services)} that warranted a page. "
        f"First: {first.summary}.{together}{raised}"
    )


def opened_by(incident: Incident) -> Finding | None:
    """The first finding that paged."""
    pages = [finding for finding in incident.findings if finding.severity == "page"]
    return min(pages, key=lambda finding: (finding.onset, finding.key), default=None)


def link(incident: Incident, text: str | None = None) -> Part:
    return dcc.Link(text or incident.title, href=incident_path(incident.id), className="incident-link")


def _name(actor: Actor | None) -> str:
    return actor.name if actor else "somebody"
