"""`watchkeeper incident`: the commands of alerting, and `show`, which adds what learning and runbooks know."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from alerting.commands.incident import human, open_incidents, print_proposal
from alerting.commands.incident_handover import app
from watchkeeper.clock import SystemClock
from watchkeeper.command_options import AsJson, ConfigPath, IncidentId
from watchkeeper.text import page_text, prose, seen_name

if TYPE_CHECKING:
    from alerting.incidents.machine import Incident
    from watchkeeper.state.database import Database


@app.command(epilog="Example: watchkeeper incident show inc-7f3a01 --json")
def show(incident: IncidentId, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """One incident: findings, suspects, the proposed runbook and the timeline."""
    from runbooks.preflight import playbooks_for
    from watchkeeper.config import load
    from watchkeeper.state.codec import dump
    from watchkeeper.state.database import Database

    shown = open_incidents(config).get(incident)
    if as_json:
        print(json.dumps(json.loads(dump(shown)), indent=2))
        return
    state = f"{shown.system_state}, {human(shown)}; onset {shown.onset:%Y-%m-%d %H:%M:%S} UTC"
    print(f"{shown.id}  {prose(shown.title)}\n{state}")
    db = Database.open(load(config))
    _print_findings(shown, db)
    if shown.diagnosis:
        print(f"\nSuspects: {shown.diagnosis.reason}")
        for number, suspect in enumerate(shown.diagnosis.suspects[:5], 1):
            print(f"  {number}. {seen_name(suspect.service)} ({suspect.mechanism}) {suspect.probability:.0%}")
            for evidence in suspect.evidence:
                print(f"       {evidence.weight:+.1f}  {prose(evidence.sentence)}")
    _print_runbook(shown, db)
    for playbook in playbooks_for(load(config).runbooks.dir, shown.diagnosis, shown.service):
        print(f"\nPlaybook {playbook.path}\n{page_text(playbook.text, 20_000)}")
    print("\nTimeline (UTC)")
    for entry in shown.complete_timeline:
        print(f"  {entry.at:%H:%M:%S}  {prose(entry.text, 2400)}  [{seen_name(entry.who)}, {entry.via}]")


def _print_findings(incident: Incident, db: Database) -> None:
    from chaos.evidence import evidence_of
    from detectors.learning.examples import examples
    from detectors.learning.track_record import track_record

    known = examples(db)
    tested = evidence_of(db, incident.id, incident.service, incident.diagnosis, SystemClock().now())
    if tested:
        print(f"\n{tested}")
    print("\nFindings")
    for finding in incident.findings:
        mark = "fires  " if finding.key in incident.firing_keys else "cleared"
        print(f"  {mark}  {prose(finding.summary)}  (score {finding.score:.2f})")
        print(f"           {track_record(known, finding).sentence()}")
        if finding.alert and finding.alert.runbook_url:
            print(f"           runbook: {prose(finding.alert.runbook_url)}")
        if finding.suppression:
            print(f"           suppressed: {prose(finding.suppression.reason)}")
            print(f"           `watchkeeper model reopen {finding.key}` if it should have paged")


def _print_runbook(incident: Incident, db: Database) -> None:
    from runbooks.commands.runbook import print_steps
    from runbooks.run_rows import runs_of

    if incident.proposal is None:
        return
    print(f"\nRunbook, {incident.proposal_state}: {prose(incident.proposal.title)}")
    print_proposal(incident.proposal)
    if incident.proposal_state == "proposed" and not incident.proposal.blocked:
        print(f"  `watchkeeper incident approve {incident.id} --proposal {incident.proposal.id}` runs it")
    for run in runs_of(db, incident.id):
        print_steps(run)
