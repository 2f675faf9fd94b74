"""A day on call: many incidents, five humans, Slack away for an hour, the store for another, roles killed."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from day_worker import CHANNELS, ONCALL
from protocol import unsent
from sqlalchemy import func, select

from alerting.incidents.commands import Incidents
from alerting.incidents.machine import Incident
from watchkeeper.clock import FrozenClock
from watchkeeper.state.audit import verify_audit
from watchkeeper.state.database import Database, from_micros
from watchkeeper.state.schema import outbox, timers

WORKER = Path(__file__).with_name("day_worker.py")
# The night in which Lisbon's clocks go forward is in it.
BEGINS = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)
HOURS = 24
DAY_ENDS = BEGINS + timedelta(hours=HOURS)
# All two hundred take minutes: WATCHKEEPER_DAY_INCIDENTS=200.
INCIDENTS = int(os.environ.get("WATCHKEEPER_DAY_INCIDENTS", "40"))
SLACK_IS_DOWN = (BEGINS + timedelta(hours=5), BEGINS + timedelta(hours=6))
STORE_IS_DOWN = (BEGINS + timedelta(hours=11), BEGINS + timedelta(hours=12))
KILLS_OF_EACH = 2
ON_TIME = timedelta(seconds=2)
# How long each human takes after a page: the second one presses twice, one takes over five minutes, one never answers.
ANSWERS_AFTER_S = {"ana": (30.0, 240.0), "ben": (20.0, 60.0), "cy": None, "dee": (60.0, 500.0), "eve": (310.0, 700.0)}
LONGEST_WAIT = timedelta(seconds=35)  # from a page to whichever channel shows it


@dataclass
class Process:
    """One role; what it was told before it was killed, it is told again."""

    role: str
    url: str
    folder: Path
    kills: list[int]  # the numbers of the lines during which it is killed
    dice: random.Random
    lines: int = 0
    killed: int = 0
    child: subprocess.Popen[str] | None = None

    def tell(self, **line: Any) -> str:
        self.lines += 1
        if self.lines in self.kills:
            child = self._running()
            assert child.stdin is not None
            child.stdin.write(json.dumps(line) + "\n")
            child.stdin.flush()
            time.sleep(self.dice.uniform(0.0, 0.02))
            self.stop()
            self.killed += 1
        child = self._running()
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps(line) + "\n")
        child.stdin.flush()
        answer = json.loads(child.stdout.readline())
        assert answer["problems"] == []
        return str(answer["answer"])

    def _running(self) -> subprocess.Popen[str]:
        if self.child is None:
            self.child = subprocess.Popen(
                [sys.executable, WORKER, self.role, self.url, self.folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            assert self.child.stdout is not None
            assert self.child.stdout.readline() == "ready\n"
        return self.child

    def stop(self) -> None:
        """kill -9."""
        if self.child is None:
            return
        self.child.kill()
        self.child.wait()
        for stream in (self.child.stdin, self.child.stdout):
            assert stream is not None
            stream.close()
        self.child = None


@dataclass
class Day:
    """What happens, and what was seen of it."""

    db: Database
    folder: Path
    watch: Process
    web: Process
    dice: random.Random
    troubles: list[dict[str, Any]]
    now: datetime = BEGINS
    told: tuple[list[dict[str, Any]], bool] = field(default_factory=lambda: ([], True))
    presses: list[tuple[datetime, str, str, str, str]] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CHANNELS, 0))
    ends: dict[str, datetime] = field(default_factory=dict)
    shown: dict[tuple[str, str], datetime] = field(default_factory=dict)  # by incident and person: the first time

    def round(self) -> None:
        """Tell the roles what is so at this time, and let the humans see what was shown."""
        down = self.folder / "slack-is-down"
        if SLACK_IS_DOWN[0] <= self.now < SLACK_IS_DOWN[1]:
            down.touch()
        else:
            down.unlink(missing_ok=True)
        store = not STORE_IS_DOWN[0] <= self.now < STORE_IS_DOWN[1]
        rows = [row for row in self.troubles if row["begins"] <= self.now < row["ends"]]
        firing = [{key: row[key] for key in ("kind", "service", "onset")} for row in rows]
        is_news, self.told = (firing, store) != self.told, (firing, store)
        self.watch.tell(at=self.now.isoformat(), store=store, firing=firing if is_news else None)
        for channel in CHANNELS:
            lines = (self.folder / channel).read_text().splitlines()
            for text in lines[self.seen[channel] :]:
                self._see(json.loads(text))
            self.seen[channel] = len(lines)
        self._press()

    def _see(self, line: dict[str, Any]) -> None:
        who = line["mention"].partition("-")[0]
        for incident in line["incidents"]:
            self.shown.setdefault((incident, who), self.now)
            after_s = ANSWERS_AFTER_S[who]
            if after_s is None:
                continue
            at = self.now + timedelta(seconds=self.dice.uniform(*after_s))
            key = f"press-{who}-{incident}"
            self.presses.append((at, "acknowledge", incident, who, key))
            if who == "ben":  # Slack sends a press again; and he presses once more
                self.presses.append((at + timedelta(seconds=1), "acknowledge", incident, who, key))
                self.presses.append((at + timedelta(seconds=2), "acknowledge", incident, who, f"{key}-2"))
            if self.dice.random() < 0.7:  # what is resolved too early opens anew
                over = max(at, self._ends(incident) + timedelta(seconds=self.dice.uniform(5, 1200)))
                self.presses.append((over, "resolve", incident, who, f"{key}-resolve"))

    def _ends(self, incident: str) -> datetime:
        if incident not in self.ends:
            found = Incidents(self.db, FrozenClock(self.now), ONCALL).get(incident)
            self.ends[incident] = next(row["ends"] for row in self.troubles if row["service"] == found.service)
        return self.ends[incident]

    def _press(self) -> None:
        due = sorted(press for press in self.presses if press[0] <= self.now)
        self.presses = [press for press in self.presses if press[0] > self.now]
        for _, do, incident, who, key in due:
            self.web.tell(at=self.now.isoformat(), do=do, incident=incident, who=who, key=key)

    def next_at(self) -> datetime:
        """Up to a second after the next thing that somebody waits for, as a loop that turns every second would be."""
        with self.db.read() as connection:
            waits = [
                connection.scalar(select(func.min(timers.c.due_at)).where(timers.c.done_at.is_(None))),
                connection.scalar(select(func.min(outbox.c.due_at)).where(outbox.c.sent_at.is_(None))),
                connection.scalar(select(func.min(outbox.c.fails_over_at)).where(outbox.c.sent_at.is_(None))),
            ]
        known = [from_micros(micros) for micros in waits if micros is not None]
        moments = [at for at in known if at > self.now]
        if len(moments) < len(known):  # a message waits for its channel
            moments.append(self.now + timedelta(seconds=10))
        moments += [press[0] for press in self.presses]
        moments += [at for row in self.troubles for at in (row["begins"], row["ends"]) if at > self.now]
        moments += [at for at in (*SLACK_IS_DOWN, *STORE_IS_DOWN) if at > self.now]
        after = self.now + timedelta(seconds=1)
        return max(after, min(moments, default=after) + timedelta(seconds=self.dice.random()))


def _troubles(dice: random.Random) -> list[dict[str, Any]]:
    rows = []
    for number in range(INCIDENTS):
        begins = BEGINS + timedelta(seconds=dice.uniform(60, HOURS * 3600 - 5400))
        kind = dice.choice(("alert", "errors"))
        if kind == "errors" and STORE_IS_DOWN[0] - timedelta(minutes=1) <= begins < STORE_IS_DOWN[1]:
            kind = "alert"  # nobody sees telemetry then
        rows.append(
            {
                "service": f"service-{number}",
                "kind": kind,
                "begins": begins,
                "ends": begins + timedelta(minutes=dice.uniform(25, 80)),
                "onset": (begins - timedelta(seconds=8)).isoformat(),
            }
        )
    return rows


@pytest.mark.slow
def test_no_page_is_lost_none_is_doubled_and_every_escalation_is_on_time(db: Database, tmp_path: Path) -> None:
    """Whoever answers late, twice or never; whatever is away; whoever is killed."""
    url = db.engine.url.render_as_string(hide_password=False)
    dice = random.Random(29)
    for name in CHANNELS:
        (tmp_path / name).touch()
    watch, web = (
        Process(role, url, tmp_path, sorted(dice.sample(range(5, most), KILLS_OF_EACH)), dice)
        for role, most in (("watch", 5 * INCIDENTS), ("web", INCIDENTS))
    )
    day = Day(db=db, folder=tmp_path, watch=watch, web=web, dice=dice, troubles=_troubles(dice))
    for hour, schedule in ((3, "second"), (9, "primary"), (14, "lead")):
        at = BEGINS + timedelta(hours=hour)
        day.presses.append((at, "override", schedule, "dee", f"override-{hour}"))
    try:
        # What was paged in the last minutes has its later rules in the next day.
        while day.now < DAY_ENDS or (unsent(db) and day.now < DAY_ENDS + timedelta(hours=1)):
            day.round()
            day.now = day.next_at()
    finally:
        watch.stop()
        web.stop()
    assert (watch.killed, web.killed) == (KILLS_OF_EACH, KILLS_OF_EACH)
    everything = Incidents(db, FrozenClock(day.now), ONCALL).list(limit=1000)
    assert len(everything) == INCIDENTS
    begun = {row["service"]: row["begins"] for row in day.troubles}
    for incident in everything:
        _is_paged_on_time(incident, begun[incident.service], day.shown)
    assert _doubled(tmp_path) == []
    assert unsent(db) == []
    assert verify_audit(db).entries == 3


def _is_paged_on_time(incident: Incident, begun: datetime, shown: dict[tuple[str, str], datetime]) -> None:
    """Each step that was due is taken at its time, and whoever it names sees it."""
    pages = [entry for entry in incident.timeline if entry.kind in ("paged", "escalated")]
    assert abs(pages[0].at - begun) <= ON_TIME
    ends = [entry.at for entry in incident.timeline if entry.kind in ("acknowledged", "resolved", "recovered")]
    for number, step in enumerate(ONCALL.escalation):
        due = pages[0].at + timedelta(seconds=step.after_s)
        if min(ends, default=due) <= due - ON_TIME:
            break
        if min(ends, default=due + 2 * ON_TIME) <= due + ON_TIME:
            continue  # within the same seconds: either is right
        assert abs(pages[number].at - due) <= number * ON_TIME, (incident.id, number)
    kinds = [entry.kind for entry in incident.timeline]
    assert kinds.count("acknowledged") <= 1 + kinds.count("ack_timed_out")
    seen = [at for (incident_id, _), at in shown.items() if incident_id == incident.id]
    ended = min(ends, default=datetime.max.replace(tzinfo=UTC))
    assert seen or ended <= pages[0].at + LONGEST_WAIT, incident.id
    assert not seen or min(seen) - pages[0].at <= LONGEST_WAIT


def _doubled(folder: Path) -> list[tuple[str, str]]:
    """What a channel showed twice: one page, by itself or in a gathered message."""
    twice: list[tuple[str, str]] = []
    for name in CHANNELS:
        counts: dict[str, int] = defaultdict(int)
        for text in (folder / name).read_text().splitlines():
            counts[json.loads(text)["key"]] += 1
        twice += [(name, key) for key, count in counts.items() if count > 1]
    return twice
