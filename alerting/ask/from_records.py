"""Answers from Watchkeeper's own records: what is open, what changed, who is on call, what happened last time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from alerting.ask.answer import Answer
from alerting.ask.names import Name
from alerting.ask.sources import Reading
from alerting.ask.words import ago, cause, concerns, headline, holder, path_of, span_of
from alerting.incidents.machine import Incident
from alerting.oncall.chain import chain_for, whom
from alerting.oncall.schedule import Override, cover_at, final_schedule, person, schedule_of
from watchkeeper.config import OnCallConfig
from watchkeeper.durations import duration
from watchkeeper.text import one_line, prose, seen_name
from watchkeeper.vocabulary import Window

LISTED: Final = 8
CHANGES_WITHIN: Final = timedelta(hours=2)
AHEAD: Final = timedelta(days=14)
WARRANTED: Final[Mapping[bool | None, str]] = {
    True: "the page was warranted",
    False: "the page was not warranted",
    None: "not sure whether the page was warranted",
}
HOW: Final = {"override": "by an override", "rotation": "by rotation", "fallback": "as its fallback"}


def names_of(oncall: OnCallConfig) -> dict[str, str]:
    """What people are called, by id."""
    return {each.id: each.name for each in oncall.people}


def what_is_open(reading: Reading, subject: Name | None) -> Answer:
    """Every open incident; of a service, where one is named."""
    incidents, names = reading.open_incidents(), names_of(reading.oncall)
    about = ""
    if subject and subject.kind == "service":
        incidents = [one for one in incidents if concerns(one, subject.text)]
        about = f" about {seen_name(subject.text)}"
    if not incidents:
        return Answer(heading=f"No incident{about} is open.", links=(("All incidents", "/incidents"),))
    pages = [one for one in incidents if one.severity == "page"]
    tickets = len(incidents) - len(pages)
    many = len(incidents) != 1
    count = f"{len(incidents)} incident{'s'[:many]}{about} {'are' if many else 'is'} open"
    heading = f"{count}: {len(pages)} page{'s'[: len(pages) != 1]}, {tickets} ticket{'s'[: tickets != 1]}."
    ordered = sorted(incidents, key=lambda one: one.severity != "page")
    lines = [headline(one, reading.now, names) for one in ordered[:LISTED]]
    if len(incidents) > LISTED:
        lines.append(f"and {len(incidents) - LISTED} more")
    return Answer(heading=heading, lines=tuple(lines), links=(("Open incidents", "/incidents?state=open"),))


def what_changed(reading: Reading, subject: Name | None, question: str) -> Answer:
    """The changes of a service, or of all, within the time that the question names."""
    span = span_of(question, CHANGES_WITHIN, reading.now)
    window = Window(start=reading.now - span, end=reading.now)
    if subject and subject.kind == "incident":
        onset = reading.incident(subject.text).onset
        window = Window(start=onset - CHANGES_WITHIN, end=max(onset + timedelta(minutes=1), reading.now))
    changes = reading.changes(window)
    about = ""
    if subject and subject.kind == "service":
        changes = [one for one in changes if one.service == subject.text]
        about = f" in {seen_name(subject.text)}"
    within = f"between {window.start:%Y-%m-%d %H:%M} and {window.end:%H:%M} UTC ({duration(window.seconds)})"
    links = ((seen_name(subject.text), path_of(subject.text)),) if subject and subject.kind == "service" else ()
    if not changes:
        return Answer(heading=f"Nothing changed{about} {within}, as far as Watchkeeper was told.", links=links)
    lines = [
        f"{ago(one.at, reading.now)}: {one.kind} of {seen_name(one.service)}: {prose(one.title, 200)}"
        + (f", version {one_line(one.version, 60)}" if one.version else "")
        + (f", by {one_line(one.author, 60)}" if one.author else "")
        for one in changes[:LISTED]
    ]
    if len(changes) > LISTED:
        lines.append(f"and {len(changes) - LISTED} more")
    count = f"{len(changes)} change{'s'[: len(changes) != 1]}"
    return Answer(heading=f"{count}{about} {within}.", lines=tuple(lines), links=links)


def who_is_on_call(reading: Reading, subject: Name | None) -> Answer:
    """Whom an incident of a service pages; who has a schedule, or an incident; when somebody is on call."""
    link = (("On call", "/oncall"),)
    if subject is None:
        overrides = reading.overrides()
        lines = [_covered(reading, schedule.id, overrides) for schedule in reading.oncall.schedules]
        reading.who_is_on_call()
        first = lines[0] if lines else "No schedule is configured."
        return Answer(heading=first, lines=tuple(lines[1:]), links=link)
    match subject.kind:
        case "incident":
            incident = reading.incident(subject.text)
            return Answer(heading=f"{incident.id}: {holder(incident, names_of(reading.oncall))}.", links=link)
        case "schedule":
            reading.who_is_on_call()
            return Answer(heading=_covered(reading, subject.text, reading.overrides()), links=link)
        case "person":
            return Answer(heading=_shifts_of(reading, subject.text), links=link)
    return _called(reading, subject.text, link)


def _called(reading: Reading, service: str, links: tuple[tuple[str, str], ...]) -> Answer:
    """Whom each step of a service's escalation pages, and why them."""
    reading.who_is_on_call(service)
    chain, overrides = chain_for(reading.oncall, service), reading.overrides()
    lines = []
    for step in chain.steps[:LISTED]:
        when = f"after {duration(step.after_s)} without an answer" if step.after_s else "at once"
        lines += [f"{each.name} {when} ({each.why})" for each in whom(reading.oncall, step, reading.now, overrides)]
    first = whom(reading.oncall, chain.step(0), reading.now, overrides)
    names = " and ".join(each.name for each in first)
    return Answer(heading=f"{names}: an incident of {seen_name(service)} pages them.", lines=tuple(lines), links=links)


def _covered(reading: Reading, schedule_id: str, overrides: Sequence[Override]) -> str:
    cover = cover_at(reading.oncall, schedule_of(reading.oncall, schedule_id), reading.now, overrides)
    name = person(reading.oncall, cover.person).name if cover.person else "Nobody"
    until = f" until {cover.until:%a %Y-%m-%d %H:%M} UTC" if cover.until - reading.now < AHEAD else ""
    why = HOW.get(cover.source, "no rotation covers it, and there is no fallback")
    return f"{name} is on call in {seen_name(schedule_id)}{until} ({why})."


def _shifts_of(reading: Reading, name: str) -> str:
    """When somebody is on call next."""
    reading.who_is_on_call()
    who = reading.oncall.named(name)
    name = who.name if who else name
    window, overrides = Window(start=reading.now, end=reading.now + AHEAD), reading.overrides()
    shifts = [
        (shift.start, shift.end, schedule.id)
        for schedule in reading.oncall.schedules
        for shift in final_schedule(reading.oncall, schedule.id, window, overrides)
        if who and shift.person and shift.person.id == who.id
    ]
    if not shifts:
        return f"{name} is not on call within the next {AHEAD.days} days."
    start, end, schedule_id = min(shifts)
    until = f"until {end:%a %Y-%m-%d %H:%M} UTC" if end < window.end else f"for more than {AHEAD.days} days"
    if start <= reading.now:
        return f"{name} is on call now in {seen_name(schedule_id)}, {until}."
    return f"{name} is on call next from {start:%a %Y-%m-%d %H:%M} UTC in {seen_name(schedule_id)}, {until}."


def what_happened_last_time(reading: Reading, subject: Name | None) -> Answer:
    """The incidents like this that are over: how long, what it was in people's judgement, and what was done."""
    past, about = reading.past_incidents(), ""
    if subject and subject.kind == "incident":
        this = reading.incident(subject.text)
        kinds = {finding.kind for finding in this.findings}
        past = [
            one
            for one in past
            if one.id != this.id and one.service == this.service and kinds & {finding.kind for finding in one.findings}
        ]
        about = f" like {this.id} ({seen_name(this.service)})"
    elif subject and subject.kind == "service":
        past = [one for one in past if concerns(one, subject.text)]
        about = f" of {seen_name(subject.text)}"
    if not past:
        return Answer(heading=f"No incident{about} is on record that is over.", links=(("Incidents", "/incidents"),))
    newest = past[0]
    ended = f" {ago(newest.resolved_at, reading.now)}" if newest.resolved_at else ""
    heading = f"The last incident{about} was {newest.id}: {prose(newest.title, 200)}, resolved{ended}."
    lines = [*_ending(newest), *(_in_short(one, reading) for one in past[1:4])]
    if len(past) > 4:
        lines.append(f"and {len(past) - 4} before")
    links = [(newest.id, f"/incidents/{newest.id}"), ("Postmortem", f"/postmortems/{newest.id}")]
    return Answer(heading=heading, lines=tuple(lines), links=tuple(links))


def _ending(incident: Incident) -> Sequence[str]:
    """How an incident ended: in people's judgement first, else by the diagnosis."""
    lines = [
        f"{one_line(label.author, 60)} judged: "
        + WARRANTED[label.warranted]
        + (f", cause {seen_name(label.cause)}" if label.cause else "")
        + (f" ({label.mechanism})" if label.mechanism else "")
        + (f": {prose(label.note, 300)}" if label.note else "")
        for label in incident.labels
        if label.source == "human"
    ]
    if not lines and (named := cause(incident)):
        lines.append(f"{named}. Nobody judged it.")
    if incident.proposal and incident.proposal_state in ("done", "failed"):
        result = "helped it to its end" if incident.proposal_state == "done" else "failed"
        lines.append(f"The runbook {prose(incident.proposal.title, 120)} {result}.")
    if incident.resolved_at:
        by = f" by {one_line(incident.resolved_by.name, 60)}" if incident.resolved_by else ""
        lines.append(f"It lasted {duration(incident.resolved_at - incident.onset)} until it was resolved{by}.")
    return lines


def _in_short(incident: Incident, reading: Reading) -> str:
    causes = [label.cause for label in incident.labels if label.source == "human" and label.cause]
    was = f", cause {seen_name(causes[-1])}" if causes else ""
    return f"Before: {incident.id}, {ago(incident.onset, reading.now)}: {prose(incident.title, 120)}{was}"
