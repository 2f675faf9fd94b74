"""The roles of a day on call, as processes to be killed: each does what a line on its input says, and answers.

Usage: python day_worker.py watch|web STATE_URL FOLDER. The clock stands where the line says. `watch` does one round:
incidents where it is told what fires, timers, and messages through two channels that remember on disk. `web` gets what
a human presses. While FOLDER/slack-is-down exists, Slack takes nothing.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from alerting.channels.channel import Digest, Message, Thread
from alerting.channels.delivery import Delivery
from alerting.channels.failover import fail_over
from alerting.channels.outbox import Draft
from alerting.incidents.commands import Incidents
from alerting.oncall.escalation import effects
from alerting.oncall.recipients import Reach, Recipient, recipients
from alerting.oncall.schedule import Override, record_override
from alerting.oncall.timers import run_due
from watchkeeper.clock import FrozenClock
from watchkeeper.config import (
    EscalationStep,
    LayerConfig,
    NotificationRule,
    OnCallConfig,
    PersonConfig,
    ScheduleConfig,
)
from watchkeeper.errors import DeliveryError
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor, Finding

CHANNELS = ("slack", "mail")
PEOPLE = ("ana", "ben", "cy", "dee", "eve")
RULES = (NotificationRule(channel="slack"), NotificationRule(channel="mail", after_s=240))
ONCALL = OnCallConfig(
    people=tuple(
        PersonConfig(
            id=name,
            name=name.title(),
            addresses={channel: f"{name}-{channel}" for channel in CHANNELS},
            notification_rules=RULES,
        )
        for name in PEOPLE
    ),
    schedules=(
        ScheduleConfig(
            id="primary",
            timezone="Europe/Lisbon",
            layers=(LayerConfig(people=("ana", "ben", "cy"), turn_hours=8),),
            fallback="eve",
        ),
        ScheduleConfig(id="second", layers=(LayerConfig(people=("dee", "cy"), turn_hours=6),), fallback="eve"),
        ScheduleConfig(id="lead", layers=(LayerConfig(people=("eve",)),)),
    ),
    escalation=(
        EscalationStep(after_s=0, notify=("primary",)),
        EscalationStep(after_s=300, notify=("second",)),
        EscalationStep(after_s=900, notify=("lead",)),
    ),
)


class OnDisk:
    """A channel that shows each key once: it looks at what it has shown first, as Slack's history is looked into."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / name
        self._down = folder / f"{name}-is-down"

    def send(self, message: Message) -> Thread:
        """Page, or edit what stands there."""
        if self._down.exists():
            raise DeliveryError("not today", retry=True, unsent=True)
        if message.kind == "page":
            self._show(message.key, message.mention, [message.incident.id])
        return message.thread or Thread(conversation="C1", ts=message.incident.id)

    def send_digest(self, digest: Digest) -> Thread:
        """Several pages in one message."""
        if self._down.exists():
            raise DeliveryError("not today", retry=True, unsent=True)
        if digest.mention:
            self._show(digest.key, digest.mention, [incident.id for incident in digest.incidents])
        return digest.thread or Thread(conversation="C1", ts=digest.key)

    def send_test(self, address: str, text: str) -> Thread:
        """Nobody asks for one here."""
        raise NotImplementedError

    def unreachable(self, mention: str) -> str | None:
        """Everybody is known."""
        return None

    def _show(self, key: str, mention: str, incidents: list[str]) -> None:
        shown = {json.loads(line)["key"] for line in self._path.read_text().splitlines()}
        if key not in shown:
            line = json.dumps({"key": key, "mention": mention, "incidents": incidents}) + "\n"
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND)
            os.write(descriptor, line.encode())
            os.close(descriptor)


class Role:
    """What both roles share: one database, and a clock that stands where it is told."""

    def __init__(self, url: str, folder: Path) -> None:
        self.db = Database.open(url)
        self.clock = FrozenClock(datetime.fromisoformat("2026-01-01T00:00:00+00:00"))
        self.problems = Problems(None)
        self.incidents = Incidents(self.db, self.clock, ONCALL, channels=CHANNELS)
        self.senders = [
            Delivery(
                db=self.db,
                channel=OnDisk(folder, name),
                name=name,
                incidents=self.incidents,
                recipients=partial(_recipients, Reach(channel=name)),
            )
            for name in CHANNELS
        ]

    def watch(self, line: Mapping[str, Any]) -> str:
        """One round of the watch role."""
        now = self.clock.now()
        if line["firing"] is not None:
            store = line["store"]
            findings = [_finding(row, now) for row in line["firing"] if store or row["kind"] == "alert"]
            self.incidents.observe(findings, judged=lambda finding: store or finding.kind == "alert")
            # Not those that were opened now: whoever opened an incident may have been killed.
            self.incidents.page_all([incident.id for incident in self.incidents.list("waiting", 1000)])
        run_due(self.db, now, effects(self.incidents), self.problems)
        fail_over(self.db, self.incidents.routing, self.incidents.apply_together, now, self.problems)
        for sender in self.senders:
            sender.run(now)
        return ""

    def web(self, line: Mapping[str, Any]) -> str:
        """What somebody pressed, or asked for: `incident` is the schedule of an override."""
        who = Actor(name=line["who"], via="slack")
        if line["do"] == "override":
            now = self.clock.now()
            asked = Override(
                schedule=line["incident"], person=line["who"], start=now, end=now + timedelta(hours=2), key=line["key"]
            )
            return record_override(self.db, ONCALL, asked, now, who)[0]
        does = {"acknowledge": self.incidents.acknowledge, "resolve": self.incidents.resolve}[line["do"]]
        return does(line["incident"], who, line["key"]).message


def _recipients(reach: Reach, draft: Draft, now: datetime) -> tuple[Recipient, ...]:
    return recipients(ONCALL, draft, now, (), reach)


def _finding(row: Mapping[str, Any], now: datetime) -> Finding:
    return Finding(
        detector="test",
        detector_version="1",
        kind=row["kind"],
        service=row["service"],
        summary=f"{row['service']} fails",
        onset=datetime.fromisoformat(row["onset"]),
        seen_at=now,
        score=0.99,
        severity="page",
        signal="errors",
    )


def main(role: str, url: str, folder: Path) -> None:
    """Do what each line says until killed."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    made = Role(url, folder)
    do: Callable[[Mapping[str, Any]], str] = {"watch": made.watch, "web": made.web}[role]
    print("ready", flush=True)
    for text in sys.stdin:
        line = json.loads(text)
        made.clock.advance((datetime.fromisoformat(line["at"]) - made.clock.now()).total_seconds())
        answer = do(line)
        print(json.dumps({"answer": answer, "problems": [str(each) for each in made.problems.current()]}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
