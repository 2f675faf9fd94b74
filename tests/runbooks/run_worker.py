"""A watch role's runbook worker, to be killed: runs what was approved, against a target over HTTP.

Usage: python run_worker.py STATE_URL TARGET_URL.
"""

from __future__ import annotations

import sys
import time
from datetime import timedelta

from run_parts import LIBRARY, UNDOABLE

from alerting.incidents.commands import Incidents
from runbooks.run_queue import RunQueue
from runbooks.runner import Runner
from runbooks.targets.control_api import ControlApi
from watchkeeper.clock import SystemClock
from watchkeeper.config import OnCallConfig
from watchkeeper.state.database import Database
from watchkeeper.target import TargetSettings


def main(url: str, target_url: str) -> None:
    """Work until killed. A short lease: a killed worker's run is taken over soon."""
    db = Database.open(url)
    incidents = Incidents(db, SystemClock(), OnCallConfig())
    target = ControlApi(TargetSettings(url=target_url))
    runner = Runner(RunQueue(db, lease=timedelta(seconds=0.5)), target, LIBRARY, incidents, steps=UNDOABLE)
    print("ready", flush=True)
    while True:
        runner.turn()
        time.sleep(0.005)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
