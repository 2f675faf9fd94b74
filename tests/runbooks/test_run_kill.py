"""kill -9 of workers that carry out runs, at random instants, judged by the target's own journal."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from run_parts import VERBS, World, approved, is_whole

from alerting.incidents.commands import Incidents
from runbooks.run_rows import runs_of
from watchkeeper.clock import SystemClock
from watchkeeper.config import OnCallConfig
from watchkeeper.state.database import Database

RUNS = 16
KILLS = 4
WORKER = Path(__file__).with_name("run_worker.py")


@pytest.fixture
def target() -> Iterator[tuple[World, str]]:
    """A target over HTTP, and its address. It takes a little time before and after each act: kills hit there too."""
    world = World()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            _, _, service, verb = self.path.split("/")
            time.sleep(0.005)
            number = int(service.removeprefix("s"))
            if number % 2 and verb == VERBS[number % len(VERBS)]:  # every second service has a step that fails
                status, answer = 409, {"error": "broken today"}
            else:
                status, answer = 200, {"did": world.act(service, verb, key=self.headers["Idempotency-Key"])}
            time.sleep(0.005)
            body = json.dumps(answer).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except OSError:  # whoever asked was killed
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield world, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def start(url: str, target_url: str) -> subprocess.Popen[str]:
    worker = subprocess.Popen(
        [sys.executable, WORKER, url, target_url], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert worker.stdout is not None
    for line in worker.stdout:
        if line == "ready\n":
            return worker
    raise AssertionError("the worker did not start")


def drain(worker: subprocess.Popen[str]) -> None:
    """Read what the worker logs, so that it never waits for a reader."""
    out = worker.stdout
    assert out is not None

    def read() -> None:
        with out:
            out.read()

    threading.Thread(target=read, daemon=True).start()


@pytest.mark.slow
def test_every_run_is_whole_though_two_workers_are_killed_again_and_again(
    db: Database, target: tuple[World, str]
) -> None:
    """All steps once and in order, or what was done taken back in reverse: the target's journal shows nothing else."""
    world, target_url = target
    url = db.engine.url.render_as_string(hide_password=False)
    incidents = Incidents(db, SystemClock(), OnCallConfig())
    ids = [approved(incidents, f"s{number}", SystemClock().now()) for number in range(RUNS)]
    dice = random.Random(11)
    workers = [start(url, target_url), start(url, target_url)]
    for worker in workers:
        drain(worker)
    try:
        for _ in range(KILLS):
            time.sleep(dice.uniform(0.01, 0.3))  # the instant of a kill is the one thing that is not awaited
            unlucky = workers.pop(dice.randrange(2))
            unlucky.kill()
            unlucky.wait()
            workers.append(start(url, target_url))
            drain(workers[-1])
        deadline = time.monotonic() + 120
        while any(incidents.get(one).proposal_state not in ("done", "failed") for one in ids):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert len({key for *_, key in world.did}) == len(world.did)
    for number, incident_id in enumerate(ids):
        verbs = world.verbs(f"s{number}")
        (run,) = runs_of(db, incident_id)
        assert is_whole(verbs), verbs
        assert run.state == ("failed" if number % 2 else "done")
        assert incidents.get(incident_id).proposal_state == run.state
