"""A watch role's paging worker, to be killed: fires timers and sends through a channel that remembers on disk.

Usage: python kill_worker.py STATE_URL FILE. The channel appends each key that it shows to FILE, once a key (it looks
into FILE first, as Slack's history is looked into), and waits a little before and after, so that kills hit there too.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import timedelta
from pathlib import Path

from alerting import outbox
from alerting.channel import Message, Thread
from alerting.escalation import effects
from alerting.incidents import Incidents
from alerting.timers import run_due
from watchkeeper.clock import SystemClock
from watchkeeper.config import EscalationStep, OnCallConfig
from watchkeeper.state.database import Database

ONCALL = OnCallConfig(
    escalation=(EscalationStep(after_s=0, notify="primary"), EscalationStep(after_s=0.2, notify="primary"))
)


class OnDisk:
    """A channel whose history survives the worker."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, message: Message) -> Thread:
        line = f"{message.key}\n".encode()
        if line not in self._path.read_bytes().splitlines(keepends=True):
            time.sleep(0.003)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND)
            os.write(descriptor, line)
            os.close(descriptor)
            time.sleep(0.003)
        return Thread(room="C1", ts=message.incident.id)


def main(url: str, history: Path) -> None:
    """Work until killed. A short lease: a killed worker's send is taken over soon."""
    outbox.LEASE = timedelta(seconds=0.2)  # type: ignore[misc]
    db, clock = Database.open(url), SystemClock()
    incidents = Incidents(db, clock, ONCALL)
    channel = OnDisk(history)
    print("ready", flush=True)
    while True:
        now = clock.now()
        run_due(db, now, effects(incidents, ONCALL, db))
        outbox.deliver_due(
            db,
            channel,
            now,
            channel_name="slack",
            read=incidents.get,
            mention=str,
            delivered=lambda incident_id, key: incidents.delivered(incident_id, f"delivered:{key}"),
        )
        time.sleep(0.005)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
