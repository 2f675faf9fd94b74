"""kill -9 of the worker that fires timers and sends, at random instants: nothing is lost, nothing is seen twice."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from kill_worker import CHANNELS, FAILS_OVER_AFTER, oncall
from protocol import finding, unsent
from sqlalchemy import func, select

from alerting.incidents.commands import Incidents
from tests.waiting import until
from watchkeeper.clock import SystemClock
from watchkeeper.state.database import Database
from watchkeeper.state.schema import outbox, timers

INCIDENTS = 15
KILLS = 4
WORKER = Path(__file__).with_name("kill_worker.py")


def size(folder: Path) -> int:
    """How much the channels have shown."""
    return sum((folder / name).stat().st_size for name in CHANNELS)


def start(url: str, folder: Path, mail_after_s: float) -> subprocess.Popen[str]:
    command = [sys.executable, WORKER, url, folder, str(mail_after_s)]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    return worker


def stop(worker: subprocess.Popen[str]) -> None:
    """kill -9."""
    worker.kill()
    worker.wait()
    assert worker.stdout is not None
    worker.stdout.close()


def escalated(db: Database) -> int:
    """How many incidents have reached the last step and have no message that waits."""
    with db.read() as connection:
        waiting = select(func.count()).where(timers.c.kind == "expire", timers.c.done_at.is_(None))
        return int(connection.scalar(waiting) or 0)


def page_and_kill(
    db: Database, folder: Path, mail_after_s: float, done: Callable[[], bool]
) -> tuple[tuple[str, ...], Incidents]:
    """Page for some incidents, let workers send and kill them, and one more end it; `done` says when it has."""
    url = db.engine.url.render_as_string(hide_password=False)
    for name in CHANNELS:
        (folder / name).touch()
    clock = SystemClock()
    incidents = Incidents(db, clock, oncall(mail_after_s), channels=CHANNELS)
    opened = incidents.observe([finding(clock.now(), f"s{number}") for number in range(INCIDENTS)])
    for incident_id in opened:
        incidents.page(incident_id)
    dice = random.Random(7)
    for _ in range(KILLS):
        before = size(folder)
        worker = start(url, folder, mail_after_s)
        # In the middle of the work, however fast the machine is; the instant itself is not awaited.
        until(lambda before=before: size(folder) > before or done(), every_s=0.002)
        time.sleep(dice.uniform(0.0, 0.05))
        stop(worker)
    worker = start(url, folder, mail_after_s)
    try:
        until(lambda: escalated(db) == INCIDENTS and done(), moving=lambda: (escalated(db), size(folder)))
    finally:
        stop(worker)
    return opened, incidents


@pytest.mark.slow
def test_no_page_is_skipped_and_none_is_seen_twice(db: Database, tmp_path: Path) -> None:
    """Two pages for each incident and channel, each shown once, though the worker is killed again and again."""
    opened, incidents = page_and_kill(db, tmp_path, 0.1, lambda: not unsent(db))
    histories = {name: tmp_path / name for name in CHANNELS}
    for name, history in histories.items():
        seen = [line.split() for line in history.read_text().splitlines()]
        with db.read() as connection:
            pages = outbox.c.body.contains('"kind":"page"') & (outbox.c.channel == name)
            batches = {
                row.key: row.batch for row in connection.execute(select(outbox.c.key, outbox.c.batch).where(pages))
            }
        assert len(batches) == 2 * INCIDENTS
        shown = [event[1] for event in seen if event[0] == "page"]
        digests = [event[1] for event in seen if event[0] == "digest"]
        assert len(shown) == len(set(shown))
        assert len(digests) == len(set(digests))
        # Each page was seen once: by itself, or in the one gathered message that it was part of.
        assert all((key in shown) != (batch in digests) for key, batch in batches.items())
    for incident_id in opened:
        kinds = [entry.kind for entry in incidents.get(incident_id).timeline]
        assert kinds.count("paged") == kinds.count("escalated") == 1
        assert kinds.count("delivered") == 2 * len(CHANNELS)


@pytest.mark.slow
def test_a_late_page_fails_over_once(db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slack is down: each page goes out by mail, once, and its timeline says so once, whenever the worker is killed."""
    monkeypatch.setattr("alerting.channels.outbox.FAILS_OVER_AFTER", FAILS_OVER_AFTER)
    (tmp_path / "slack.down").touch()

    def failed_over() -> bool:
        late = outbox.c.fails_over_at.is_not(None) | (outbox.c.channel == "mail")
        with db.read() as connection:
            return connection.scalar(select(func.count()).where(late, outbox.c.sent_at.is_(None))) == 0

    opened, incidents = page_and_kill(db, tmp_path, 3600, failed_over)
    seen = [line.split() for line in (tmp_path / "mail").read_text().splitlines()]
    assert len(seen) == len({tuple(event) for event in seen})
    alone = [event[1].partition(":")[0] for event in seen if event[0] == "page"]
    gathered = [incident_id for event in seen if event[0] == "digest" for incident_id in event[2].split(",")]
    shown = Counter(alone + gathered)
    assert set(shown) == set(opened)
    assert (tmp_path / "slack").read_text() == ""
    for incident_id in opened:
        lines = [entry.text for entry in incidents.get(incident_id).timeline if "mail pages them now" in entry.text]
        assert len(lines) == 2, lines  # of its page, and of the escalation's
        # A gathered message holds an incident once, though both its pages are in it.
        assert 1 <= shown[incident_id] <= 2
