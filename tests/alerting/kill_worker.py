"""A watch role's paging worker, to be killed: fires timers and sends through a channel that remembers on disk.

Usage: python kill_worker.py STATE_URL FOLDER MAIL_AFTER_S. Each of two channels appends the keys that it shows to a
file of its own in FOLDER, once a key (it looks there first, as Slack's history is looked into), and waits a little
before and after, so that kills hit there too. The second channel's notification rule comes so long after the first's.
A channel beside whose file stands one that ends in `.down` takes nothing.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from alerting.channels import failover, outbox
from alerting.channels.channel import Digest, Message, Thread
from alerting.channels.delivery import Delivery
from alerting.incidents.commands import Incidents
from alerting.oncall.escalation import effects
from alerting.oncall.recipients import Reach, Recipient, recipients
from alerting.oncall.timers import run_due
from watchkeeper.clock import SystemClock
from watchkeeper.config import EscalationStep, NotificationRule, OnCallConfig, PersonConfig
from watchkeeper.errors import DeliveryError
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database

CHANNELS = ("slack", "mail")
FAILS_OVER_AFTER = timedelta(seconds=0.1)


def oncall(mail_after_s: float) -> OnCallConfig:
    """One person, paged twice."""
    rules = (NotificationRule(channel="slack"), NotificationRule(channel="mail", after_s=mail_after_s))
    addresses = {name: f"oncall-{name}" for name in CHANNELS}
    return OnCallConfig(
        people=(PersonConfig(id="oncall", name="On call", addresses=addresses, notification_rules=rules),),
        escalation=(EscalationStep(after_s=0, notify="primary"), EscalationStep(after_s=0.2, notify="primary")),
    )


class OnDisk:
    """A channel whose history survives the worker."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, message: Message) -> Thread:
        self._show(f"{message.kind} {message.key}")
        return message.thread or Thread(conversation="C1", ts=message.incident.id)

    def send_digest(self, digest: Digest) -> Thread:
        if digest.mention:
            self._show(f"digest {digest.key} {','.join(incident.id for incident in digest.incidents)}")
        return digest.thread or Thread(conversation="C1", ts=digest.key)

    def send_test(self, address: str, text: str) -> Thread:
        raise NotImplementedError

    def unreachable(self, mention: str) -> str | None:
        return None

    def _show(self, text: str) -> None:
        if self._path.with_suffix(".down").exists():
            raise DeliveryError("down", retry=True, unsent=True)
        line = f"{text}\n".encode()
        if line not in self._path.read_bytes().splitlines(keepends=True):
            time.sleep(0.003)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND)
            os.write(descriptor, line)
            os.close(descriptor)
            time.sleep(0.003)


def _recipients(config: OnCallConfig, reach: Reach, draft: outbox.Draft, now: datetime) -> tuple[Recipient, ...]:
    return recipients(config, draft, now, (), reach)


def main(url: str, folder: Path, config: OnCallConfig) -> None:
    """Work until killed. A short lease: a killed worker's send is taken over soon."""
    outbox.LEASE = timedelta(seconds=0.2)  # type: ignore[misc]
    outbox.FAILS_OVER_AFTER = failover.FAILS_OVER_AFTER = FAILS_OVER_AFTER  # type: ignore[misc]
    db, clock, problems = Database.open(url), SystemClock(), Problems(None)
    incidents = Incidents(db, clock, config, channels=CHANNELS)
    senders = [
        Delivery(
            db=db,
            channel=OnDisk(folder / name),
            name=name,
            incidents=incidents,
            recipients=partial(_recipients, config, Reach(channel=name)),
        )
        for name in CHANNELS
    ]
    print("ready", flush=True)
    while True:
        now = clock.now()
        run_due(db, now, effects(incidents))
        failover.fail_over(db, incidents.routing, incidents.apply_together, now, problems)
        for sender in senders:
            sender.run(now)
        time.sleep(0.005)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), oncall(float(sys.argv[3])))
