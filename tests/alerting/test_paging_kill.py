"""kill -9 of the worker that fires timers and sends, at random instants: nothing is lost, nothing is seen twice."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kill_worker import CHANNELS, ONCALL
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


def start(url: str, folder: Path) -> subprocess.Popen[str]:
    worker = subprocess.Popen([sys.executable, WORKER, url, folder], stdout=subprocess.PIPE, text=True)
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


@pytest.mark.slow
def test_no_page_is_skipped_and_none_is_seen_twice(db: Database, tmp_path: Path) -> None:
    """Two pages for each incident and channel, each shown once, though the worker is killed again and again."""
    url = db.engine.url.render_as_string(hide_password=False)
    histories = {name: tmp_path / name for name in CHANNELS}
    for history in histories.values():
        history.touch()
    clock = SystemClock()
    incidents = Incidents(db, clock, ONCALL, channels=CHANNELS)
    opened = incidents.observe([finding(clock.now(), f"s{number}") for number in range(INCIDENTS)])
    for incident_id in opened:
        incidents.page(incident_id)
    dice = random.Random(7)
    for _ in range(KILLS):
        before = size(tmp_path)
        worker = start(url, tmp_path)
        # In the middle of the work, however fast the machine is; the instant itself is not awaited.
        until(lambda before=before: size(tmp_path) > before or not unsent(db), every_s=0.002)
        time.sleep(dice.uniform(0.0, 0.05))
        stop(worker)
    worker = start(url, tmp_path)
    try:
        until(
            lambda: escalated(db) == INCIDENTS and not unsent(db),
            moving=lambda: (escalated(db), size(tmp_path)),
        )
    finally:
        stop(worker)
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
