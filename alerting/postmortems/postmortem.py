"""Postmortems: a draft with everything filled in that the machine knows, and a form for what it cannot know.

The draft is written by the transaction that resolves the incident, and again when a label comes or a runbook ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, select

from alerting.incidents import journal
from alerting.incidents.machine import Incident
from alerting.postmortems import revisions
from alerting.postmortems.markdown import markdown_text, web_address
from alerting.postmortems.templates import template_of
from watchkeeper.config import OnCallConfig
from watchkeeper.durations import duration
from watchkeeper.errors import NotFound
from watchkeeper.state.codec import parse
from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.state.insert import upsert
from watchkeeper.state.labels import newest
from watchkeeper.state.schema import changes, findings, labels, postmortems
from watchkeeper.text import seen_name
from watchkeeper.vocabulary import ChangeEvent, Diagnosis, Finding, Label

# Changes this long before the onset are listed: as far as the diagnosis looks back for a cause.
CHANGES_BEFORE: Final = timedelta(hours=2)
# Of a detector's record, the newest this many judged findings count.
RECORD_SIZE: Final = 500
# What a postmortem lists at most, so that one of a storm can still be read; a line is as long as Slack's longest text.
MOST_SERVICES: Final = 30
MOST_FINDINGS: Final = 200
LONGEST_LINE: Final = 2400
TO_CHANGE: Final = ("prevented it", "shown it earlier", "ended it sooner")


@dataclass(frozen=True, slots=True, kw_only=True)
class Postmortem:
    """A draft, and the label form as it stands: None where no human has answered yet."""

    incident_id: str
    at: datetime
    markdown: str
    label: Label | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """How often a detector was right so far, by the humans' labels: `warranted` of `judged` incidents."""

    detector: str
    warranted: int
    judged: int


def draft(db: Database, incident_id: str, now: datetime, oncall: OnCallConfig) -> Postmortem:
    """Write the draft anew from what is known now; `oncall` has the templates.

    Raises:
        NotFound: no such incident.
    """
    with db.write() as connection:
        return store_draft(connection, journal.load(connection, incident_id), now, oncall)


def store_draft(connection: Connection, incident: Incident, now: datetime, oncall: OnCallConfig) -> Postmortem:
    """Write the draft inside somebody else's transaction; the first one begins the document."""
    text = facts(connection, incident)
    revisions.begin(connection, incident, now, template_of(oncall, incident.level or "SEV3"))
    row = {"incident_id": incident.id, "at": to_micros(now), "markdown": text}
    upsert(connection, postmortems, row)
    return Postmortem(incident_id=incident.id, at=now, markdown=text, label=human_label(incident))


def facts(connection: Connection, incident: Incident) -> str:
    """What the machine knows of an incident now, as Markdown."""
    return render(incident, _changes(connection, incident), _records(connection, incident))


def show(db: Database, incident_id: str) -> Postmortem:
    """The draft that was written last.

    Raises:
        NotFound: no such incident, or no draft yet.
    """
    with db.read() as connection:
        incident = journal.load(connection, incident_id)
        row = connection.execute(select(postmortems).where(postmortems.c.incident_id == incident_id)).first()
    if row is None:
        raise NotFound(f"{incident_id} has no postmortem yet; `watchkeeper postmortem new {incident_id}` drafts one")
    return Postmortem(
        incident_id=incident_id, at=from_micros(row.at), markdown=row.markdown, label=human_label(incident)
    )


def human_label(incident: Incident) -> Label | None:
    """The newest human judgement. Chaos truth never fills in a human's form."""
    answers = [label for label in incident.labels if label.source == "human"]
    return answers[-1] if answers else None


def render(incident: Incident, changed: Sequence[ChangeEvent], records: Sequence[Record]) -> str:
    """The draft as Markdown. Pure."""
    parts = [
        f"# Postmortem of {incident.id}: {_line(incident.title)}",
        _summary(incident),
        "## Impact\n\n" + _impact(incident),
        "## Timeline\n\n" + _timeline(incident),
        "## Suspects and evidence\n\n" + _suspects(incident.diagnosis),
        "## Changes before it began\n\n" + _changes_table(changed),
        "## What was done\n\n" + _done(incident),
        "## How the detectors did\n\n" + _detectors(incident, records),
        "## Label\n\n" + _form(human_label(incident)),
        "## What we change\n\n" + "\n".join(f"- [ ] (what would have {did})" for did in TO_CHANGE),
    ]
    return "\n\n".join(parts) + "\n"


def _summary(incident: Incident) -> str:
    took = [
        ("Began (onset)", _moment(incident.onset)),
        ("Opened", f"{_moment(incident.opened_at)}, {duration(incident.opened_at - incident.onset)} after the onset"),
        ("Paged", _after(incident.paged_at, incident.onset, _name(incident.paged_person))),
        ("Acknowledged", _after(incident.acknowledged_at, incident.onset, _who(incident, "acknowledged"))),
        ("Recovered", _after(incident.recovered_at, incident.onset, "")),
        ("Resolved", _after(incident.resolved_at, incident.onset, _who(incident, "resolved"))),
    ]
    rows = "\n".join(f"| {name} | {text} |" for name, text in took)
    return f"| | |\n|---|---|\n| Service | {_name(incident.service)} |\n| Severity | {incident.severity} |\n{rows}"


def _who(incident: Incident, what: str) -> str:
    actor = incident.acknowledged_by if what == "acknowledged" else incident.resolved_by
    return f"{_name(actor.name)} ({actor.via})" if actor else ""


def _after(at: datetime | None, onset: datetime, who: str) -> str:
    if at is None:
        return "not yet"
    return f"{_moment(at)}, {duration(at - onset)} after the onset" + (f", {who}" if who else "")


def _impact(incident: Incident) -> str:
    services = sorted({finding.service for finding in incident.findings})
    end = incident.recovered_at or incident.resolved_at
    lasted = f"It lasted {duration(end - incident.onset)}. " if end else "It is not over. "
    more = f" and {len(services) - MOST_SERVICES} more" if len(services) > MOST_SERVICES else ""
    named = ", ".join(_name(service) for service in services[:MOST_SERVICES])
    lines = [f"{lasted}{len(services)} service{'s' if len(services) != 1 else ''}: {named}{more}.", ""]
    lines += ["| service | what | seen | expected | score |", "|---|---|---|---|---|"]
    ordered = sorted(incident.findings, key=lambda f: (f.severity == "detail", f.onset, f.service))
    for finding in ordered[:MOST_FINDINGS]:
        seen, expected = _number(finding.value, finding.unit), _number(finding.expected, finding.unit)
        score = f"{finding.score:.2f}"
        lines.append(f"| {_name(finding.service)} | {_line(finding.summary)} | {seen} | {expected} | {score} |")
    if len(ordered) > MOST_FINDINGS:
        lines.append(f"| | and {len(ordered) - MOST_FINDINGS} more | | | |")
    return "\n".join(lines)


def _timeline(incident: Incident) -> str:
    lines = ["| UTC | since onset | who | what |", "|---|---|---|---|"]
    lines.append(f"| {incident.onset:%H:%M:%S} | 0 s | | first bad time, by telemetry |")
    for entry in incident.complete_timeline:
        since = duration(entry.at - incident.onset)
        lines.append(f"| {entry.at:%H:%M:%S} | {since} | {_name(entry.who)} ({entry.via}) | {_line(entry.text)} |")
    return "\n".join(lines)


def _suspects(diagnosis: Diagnosis | None) -> str:
    if diagnosis is None:
        return "There was no diagnosis."
    lines = [f"Diagnosis of engine version {diagnosis.engine_version}: {_line(diagnosis.reason)}"]
    if diagnosis.abstained:
        lines.append("The engine abstained; what follows are leads, not answers.")
    for number, suspect in enumerate(diagnosis.suspects[:5], 1):
        extra: list[str] = [suspect.mechanism] if suspect.mechanism != "unknown" else []
        extra += [_name(text) for text in (suspect.instance, suspect.operation, suspect.change_id) if text]
        what = f" ({', '.join(extra)})" if extra else ""
        lines.append(f"{number}. **{_name(suspect.service)}**{what}: {suspect.probability:.0%}")
        lines += [f"   - {evidence.weight:+.1f}: {_line(evidence.sentence)}" for evidence in suspect.evidence]
    return "\n".join([*lines[:1], "", *lines[1:]])


def _changes_table(changed: Sequence[ChangeEvent]) -> str:
    if not changed:
        return "None was reported in the two hours before the onset."
    lines = ["| UTC | kind | service | what | by |", "|---|---|---|---|---|"]
    for change in changed:
        url = web_address(change.url)
        title = f"[{_line(change.title)}]({url})" if url else _line(change.title)
        who = _name(change.author) if change.author else "?"
        lines.append(f"| {change.at:%H:%M:%S} | {change.kind} | {_name(change.service)} | {title} | {who} |")
    return "\n".join(lines)


def _done(incident: Incident) -> str:
    lines = []
    if incident.proposal:
        proposal = incident.proposal
        lines.append(f"Runbook **{_line(proposal.title)}** on {_name(proposal.service)}: {incident.proposal_state}.")
        lines += [f"- {_line(step)}" for step in proposal.steps]
        lines.append(f"- blast radius: {_line(proposal.blast_radius)}; undo: {_line(proposal.undo)}")
    kinds = ("approved", "declined", "run_started", "run_finished", "run_cancelled", "noted")
    done = [entry for entry in incident.complete_timeline if entry.kind in kinds]
    lines += [f"- {entry.at:%H:%M:%S} {_name(entry.who)}: {_line(entry.text)}" for entry in done]
    return "\n".join(lines) or "Nothing was run and nobody left a note."


def _detectors(incident: Incident, records: Sequence[Record]) -> str:
    lines = []
    by_name = {record.detector: record for record in records}
    for name in sorted({finding.detector for finding in incident.findings}):
        own_findings = [finding for finding in incident.findings if finding.detector == name]
        first = min(own_findings, key=lambda finding: finding.seen_at)
        late = duration(first.seen_at - incident.onset)
        record = by_name.get(name)
        was = f"warranted {record.warranted} of {record.judged} times" if record else "not judged by a human before"
        lines.append(f"- {_name(name)} {_name(first.detector_version)}: {late} after the onset; {was}.")
    return "\n".join(lines)


def _form(label: Label | None) -> str:
    """The typed form. Filled in by `watchkeeper incident label`, Slack or the dashboard."""
    fields = {
        "true cause": _cause(label) if label else "?",
        "mechanism": (label.mechanism or "?") if label else "?",
        "was the page warranted": {True: "yes", False: "no", None: "not sure"}[label.warranted] if label else "?",
        "note": (_line(label.note) if label.note else "-") if label else "?",
        "by": f"{_name(label.author)}, {_moment(label.at)}" if label else "nobody yet",
    }
    rows = "\n".join(f"| {name} | {value} |" for name, value in fields.items())
    return f"| field | a human's judgement |\n|---|---|\n{rows}"


def _cause(label: Label) -> str:
    """None is no service at all only where the page was wrong; else it was left open."""
    if label.cause:
        return _name(label.cause)
    return "none" if label.warranted is False else "not named"


def _changes(connection: Connection, incident: Incident) -> tuple[ChangeEvent, ...]:
    """Changes shortly before the onset, those of affected services first."""
    query = select(changes.c.body).where(
        changes.c.at >= to_micros(incident.onset - CHANGES_BEFORE), changes.c.at <= to_micros(incident.opened_at)
    )
    recent = [parse(ChangeEvent, body) for body in connection.scalars(query.order_by(changes.c.at.desc()).limit(20))]
    services = {finding.service for finding in incident.findings}
    if incident.diagnosis:
        services |= {suspect.service for suspect in incident.diagnosis.suspects}
    return tuple(sorted(recent, key=lambda change: change.service not in services))


def _records(connection: Connection, incident: Incident) -> tuple[Record, ...]:
    """How humans judged other incidents that the same detectors had a part in."""
    human = select(labels.c.body).where(labels.c.source == "human", labels.c.incident_id != incident.id)
    bodies = list(connection.scalars(human.order_by(labels.c.at.desc(), labels.c.id.desc()).limit(RECORD_SIZE)))
    current = newest(parse(Label, body) for body in reversed(bodies))
    warranted = {label.incident_id: label.warranted for label in current if label.warranted is not None}
    seen: dict[str, set[str]] = {}
    query = select(findings.c.incident_id, findings.c.body).where(findings.c.incident_id.in_(list(warranted)))
    for incident_id, body in connection.execute(query.limit(RECORD_SIZE * 4)):
        seen.setdefault(parse(Finding, body).detector, set()).add(incident_id)
    return tuple(
        Record(detector=name, warranted=sum(warranted[incident_id] for incident_id in judged), judged=len(judged))
        for name, judged in sorted(seen.items())
    )


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _number(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.4g} {_name(unit) if unit else ''}".strip()


def _line(text: str) -> str:
    """Foreign text that does nothing in Markdown and stays in its cell."""
    return markdown_text(text, LONGEST_LINE) if text else ""


def _name(text: str) -> str:
    """A foreign name, as it can be seen, in Markdown."""
    return markdown_text(seen_name(text))
