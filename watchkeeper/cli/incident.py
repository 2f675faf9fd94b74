"""`watchkeeper incident`: the commands of alerting, and `show`, which adds what learning and runbooks know."""

from __future__ import annotations

import json

from pydantic import TypeAdapter

from alerting.commands.incident import IncidentId, app, human, open_incidents, print_proposal
from alerting.incidents.machine import Incident
from detectors.learning.examples import examples
from detectors.learning.suppression import REASON
from detectors.learning.track_record import track_record
from watchkeeper.command_options import AsJson, ConfigPath
from watchkeeper.config import load
from watchkeeper.state.database import Database
from watchkeeper.state.runs import runs_of
from watchkeeper.text import prose, seen_name


@app.command(epilog="Example: watchkeeper incident show inc-7f3a01 --json")
def show(incident: IncidentId, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """One incident: findings, suspects, the proposed runbook and the timeline."""
    one = open_incidents(config).get(incident)
    if as_json:
        print(json.dumps(TypeAdapter(Incident).dump_python(one, mode="json"), indent=2))
        return
    print(f"{one.id}  {prose(one.title)}\n{one.system_state}, {human(one)}; onset {one.onset:%Y-%m-%d %H:%M:%S} UTC")
    db = Database.open(load(config))
    known = examples(db)
    print("\nFindings")
    for finding in one.findings:
        mark = "fires  " if finding.key in one.firing_keys else "cleared"
        print(f"  {mark}  {prose(finding.summary)}  (score {finding.score:.2f})")
        print(f"           {track_record(known, finding).sentence()}")
        if REASON in finding.attributes:
            print(f"           suppressed: {prose(finding.attributes[REASON])}")
            print(f"           `watchkeeper model reopen {finding.key}` if it should have paged")
    if one.diagnosis:
        print(f"\nSuspects: {one.diagnosis.reason}")
        for number, suspect in enumerate(one.diagnosis.suspects[:5], 1):
            print(f"  {number}. {seen_name(suspect.service)} ({suspect.mechanism}) {suspect.probability:.0%}")
            for evidence in suspect.evidence:
                print(f"       {evidence.weight:+.1f}  {prose(evidence.sentence)}")
    if one.proposal:
        print(f"\nRunbook, {one.proposal_state}: {prose(one.proposal.title)}")
        print_proposal(one.proposal)
        if one.proposal_state == "proposed" and not one.proposal.blocked:
            print(f"  `watchkeeper incident approve {one.id} --proposal {one.proposal.id}` runs it")
        for run in runs_of(db, one.id):
            for step in run.steps:
                said = "; ".join(prose(text) for text in (step.detail, step.undone) if text)
                print(f"  {step.state:8}  {step.name}  {said}".rstrip())
    print("\nTimeline (UTC)")
    for entry in one.timeline:
        print(f"  {entry.at:%H:%M:%S}  {prose(entry.text, 2400)}  [{seen_name(entry.who)}, {entry.via}]")
