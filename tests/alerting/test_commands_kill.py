"""kill -9 of whoever gives commands, at random instants: each command is there with all that it means, or not."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from command_kill_worker import BOSS, ONCALL
from promises import Moment, is_the_fold_of_its_events, what_is_merged_goes_along
from protocol import finding

from alerting.incidents.commands import Incidents
from alerting.incidents.silences import list_silences
from alerting.oncall import swaps
from alerting.oncall.applying import bring_into_force, plan_file
from alerting.oncall.schedule import final_schedule, stored_overrides
from alerting.oncall.swaps import Swap
from alerting.oncall.versions import versions
from watchkeeper.clock import SystemClock
from watchkeeper.config import Config
from watchkeeper.state.audit import audit_trail, verify_audit
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Window

WORKER = Path(__file__).with_name("command_kill_worker.py")
NUMBERS = 30
KILLS = 5


@pytest.mark.slow
def test_no_command_is_half_done(db: Database) -> None:
    """Merges, splits and severities, silences, swaps of two shifts, and versions of the rota, each with its entry."""
    url, clock = db.engine.url.render_as_string(hide_password=False), SystemClock()
    incidents, now = Incidents(db, clock, ONCALL), clock.now()
    incidents.observe([finding(now, f"{side}{number}") for side in "abc" for number in range(NUMBERS)])
    days = Window(start=now, end=now + timedelta(days=2 * NUMBERS + 3))
    shifts = final_schedule(ONCALL, "primary", days)
    whole = [s for s in shifts[1:-1] if s.person]
    for one, other in zip(whole[0::2][:NUMBERS], whole[1::2][:NUMBERS], strict=True):
        assert one.person is not None
        assert other.person is not None
        windows = [Window(start=s.start, end=s.end) for s in (one, other)]
        asked = Swap(
            schedule="primary", asker=one.person.id, taker=other.person.id, window=windows[0], returned=windows[1]
        )
        swaps.ask(db, ONCALL, asked, now, BOSS)
    bring_into_force(db, plan_file(db, Config(oncall=ONCALL), "file"), now, BOSS)
    dice, done = random.Random(11), -1
    for kill in range(KILLS + 1):
        command = [sys.executable, WORKER, url, str(done + 1), str(NUMBERS)]
        worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        until = (kill + 1) * NUMBERS // (KILLS + 2) if kill < KILLS else NUMBERS
        while done + 1 < until:
            done = int(worker.stdout.readline())
        if kill < KILLS:
            time.sleep(dice.uniform(0.0, 0.06))
            worker.kill()
        rest, _ = worker.communicate()
        done = max([done, *map(int, rest.split())])
    assert done == NUMBERS - 1
    _holds(db, incidents)


def _holds(db: Database, incidents: Incidents) -> None:
    moment = Moment.of(db, incidents)
    what_is_merged_goes_along(moment)
    for incident in moment.incidents.values():
        with db.read() as connection:
            is_the_fold_of_its_events(connection, incident)
        kinds = Counter(entry.kind for entry in incident.timeline)
        number = int(incident.service[1:])
        wanted = (1, number % 3 == 0) if incident.service.startswith("a") else (0, 0)
        assert (kinds["merged"], kinds["split"]) == wanted
        is_severe = incident.service.startswith("c")
        assert kinds["severity_changed"] == is_severe
        # SEV1 asks for status updates: the wait for the first was kept with the change.
        assert ("update" in moment.waits[incident.id]) == is_severe
    everybody = audit_trail(db, limit=10_000)
    actions = Counter(entry.action for entry in everybody)
    # A silence that was kept before the kill is made again: each has its line.
    assert actions["silence.add"] == len(list_silences(db, SystemClock().now())) >= NUMBERS
    by_author = Counter(override.author for override in stored_overrides(db))
    answered = swaps.swaps(db, "accepted")
    assert by_author == {f"swap {swap.id}": 2 for swap in answered}
    assert len(answered) == actions["swap.accepted"] == NUMBERS
    known = versions(db)
    assert actions["rota.change"] == len(known) == NUMBERS + 1
    assert sorted(json.loads(known[-1].text)["teams"]) == sorted(f"t{number}" for number in range(NUMBERS))
    verify_audit(db)
