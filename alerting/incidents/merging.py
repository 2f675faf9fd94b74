"""Two incidents that turn out to be one trouble, and one that turns out to be two: merge and split.

Both incidents change in one transaction, or neither does; so does what the merge teaches.
"""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection

from alerting.incidents import journal
from alerting.incidents.findings import move_findings
from alerting.incidents.machine import Absorbed, Command, Incident, Outcome
from alerting.incidents.merge_lessons import record_lessons, unlearn_merge
from alerting.incidents.refusals import refused_target
from alerting.incidents.writer import Writer
from alerting.oncall.escalation import MACHINE, page_command
from watchkeeper.vocabulary import Finding


def merge(connection: Connection, writer: Writer, incident_id: str, command: Command) -> Outcome:
    """Merge an incident into `command.other`, which goes on with the findings and the timeline of both.

    Raises:
        NotFound: one of them does not exist.
    """
    incident, into = journal.load(connection, incident_id), journal.load(connection, command.other)
    if journal.event_by_key(connection, incident_id, command.key) is None and (why := refused_target(incident, into)):
        return Outcome(changed=False, message=why, incident=incident)
    outcome = writer.apply(connection, incident_id, command)
    if not outcome.changed:
        return outcome
    brought = Absorbed(
        id=incident.id,
        title=incident.title,
        findings=incident.findings,
        cleared=incident.cleared,
        timeline=incident.complete_timeline,
        level=incident.level,
    )
    absorbed = replace(
        command,
        type="absorbed",
        key=f"absorbed:{incident_id}:{command.key}",
        other=incident_id,
        absorbed=brought,
        text=f"{incident_id} joins: {command.text}" if command.text else "",
    )
    after = writer.apply(connection, into.id, absorbed).incident
    move_findings(connection, incident_id, into.id)
    record_lessons(connection, incident, into, command.actor, command.at)
    _go_on(connection, writer, after, command)
    return outcome


def _go_on(connection: Connection, writer: Writer, into: Incident, command: Command) -> None:
    """What has recovered, or pages nobody any more, fires and pages with what it took in."""
    if into.system_state == "recovered" and into.counting_keys & into.firing_keys:
        refired = Command(type="refired", at=command.at, actor=MACHINE, key=f"refired:{into.version}")
        writer.apply(connection, into.id, refired)
    elif into.human_state == "expired" and into.system_state == "firing":
        writer.apply(connection, into.id, page_command("paged", 0, command.at, f"paged:{into.version}"))


def split(connection: Connection, writer: Writer, incident_id: str, command: Command) -> Outcome:
    """Undo a merge: the incident takes back its findings, as they stand now. Whoever splits it off has it.

    Raises:
        NotFound: no such incident.
    """
    incident = journal.load(connection, incident_id)
    repeated = journal.event_by_key(connection, incident_id, command.key)
    if incident.human_state != "merged" or repeated:
        return writer.apply(connection, incident_id, command)
    into = journal.load(connection, incident.merged_into)
    if into.human_state == "merged":
        return Outcome(changed=False, message=f"{into.id} is merged, too: split that one off first", incident=incident)
    if not into.is_open:
        return Outcome(changed=False, message=f"{into.id} is resolved, and this one with it", incident=incident)
    taken = _taken_back(incident, into)
    released = replace(command, type="released", key=f"released:{incident_id}:{command.key}", other=incident_id)
    writer.apply(connection, into.id, released)
    outcome = writer.apply(connection, incident_id, replace(command, absorbed=taken))
    move_findings(connection, into.id, incident_id, [finding.key for finding in taken.findings])
    own = {finding.key for finding in taken.findings}
    rest = [finding for finding in into.findings if finding.key not in own]
    unlearn_merge(connection, incident, into, rest, command.actor, command.at)
    after = outcome.incident
    felt = next((one for one in after.findings if one.severity == "page" and one.key in after.firing_keys), None)
    if felt and after.severity == "ticket":  # it got worse while it was part of a page
        raised = Command(type="raised", at=command.at, actor=MACHINE, key=f"raised:{after.version}", finding=felt)
        after = writer.apply(connection, incident_id, raised).incident
    return replace(outcome, incident=after)


def _taken_back(incident: Incident, into: Incident) -> Absorbed:
    """The findings of an incident as they stand now in the one that it was merged into."""
    current = {finding.key: finding for finding in into.findings}
    keys = {finding.key for finding in incident.findings}
    cleared = (into.cleared & keys) | (incident.cleared - current.keys())

    def now(finding: Finding) -> Finding:
        # A ticket stays one, whatever was severe and is over.
        is_over = incident.severity == "ticket" and finding.key in cleared
        return finding if is_over else current.get(finding.key, finding)

    findings = tuple(now(finding) for finding in incident.findings)
    return Absorbed(id=into.id, title=into.title, findings=findings, cleared=cleared)
