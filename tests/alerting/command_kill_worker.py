"""Somebody's commands in a row, to be killed: merges, silences, swaps and a new rota, one after the other.

Usage: python command_kill_worker.py STATE_URL FIRST LAST. Prints each number when its commands are done.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import timedelta

from alerting.incidents.commands import Incidents
from alerting.incidents.silences import add_silence, new_silence
from alerting.oncall import swaps
from alerting.oncall.applying import bring_into_force, plan_edit
from watchkeeper.clock import SystemClock
from watchkeeper.config import Config, LayerConfig, OnCallConfig, PersonConfig, ScheduleConfig
from watchkeeper.errors import StateError
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor

BOSS = Actor(name="boss", via="cli")
ONCALL = OnCallConfig(
    people=tuple(
        PersonConfig(id=name, name=name.title(), addresses={"slack": f"U{name}"}) for name in ("ana", "ben", "oncall")
    ),
    schedules=(
        ScheduleConfig(id="primary", layers=(LayerConfig(people=("ana", "ben"), turn_hours=24),)),
        ScheduleConfig(id="second", layers=(LayerConfig(people=("ben",)),)),
    ),
)


def main(url: str, first: int, last: int) -> None:
    """Each number is a merge (every third is split again), a severity, a silence, the answer to a swap, and a team."""
    db, clock = Database.open(url), SystemClock()
    incidents, config = Incidents(db, clock, ONCALL), Config(oncall=ONCALL)
    by_service = {incident.service: incident.id for incident in incidents.list(limit=1000)}
    asked = [swap.id for swap in sorted(swaps.swaps(db), key=lambda swap: swap.window.start)]
    print("ready", flush=True)
    for number in range(first, last):
        one, other = by_service[f"a{number}"], by_service[f"b{number}"]
        incidents.merge(one, other, BOSS, f"merge {number}")
        if number % 3 == 0:
            incidents.split(one, BOSS, f"split {number}")
        incidents.set_severity(by_service[f"c{number}"], BOSS, "SEV1", "no card is accepted", f"severity {number}")
        now = clock.now()
        silence = new_silence(
            service=f"s{number}", kind="", label="", reason="r", start=now, end=now + timedelta(hours=1), owner=BOSS
        )
        add_silence(db, silence, BOSS, now)
        with suppress(StateError):  # it was answered before the kill
            swaps.answer(db, ONCALL, asked[number], "accepted", now, BOSS)
        bring_into_force(db, plan_edit(db, config, "teams", f"t{number}", ["pay-*"], BOSS), now, BOSS)
        print(number, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
