"""Real roles, killed at random moments while telemetry comes in: nothing acked is lost, nothing is doubled."""

from __future__ import annotations

import contextlib
import http.client
import random
import threading
import time
from pathlib import Path

import pytest

from bench.own_roles import OwnRoles
from bench.span_load import SPANS, SpanLoad
from tests.waiting import until
from watchkeeper.errors import StoreError

pytestmark = [pytest.mark.xdist_group("exactly-once"), pytest.mark.slow]
KILLS = 3
PAUSE_S = 0.03  # between requests, so that what gathers while a role starts is loaded in seconds
STALLED_S = 60


class Exporter:
    """Sends requests one after the other, each again and again until it is acked, as an SDK does."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.acked = 0
        self.unsure = 0  # sends of which nobody knows whether they were acked: the answer was lost
        self.progress = threading.Condition()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def wait_for(self, more: int) -> None:
        """Return when that many requests more are acked."""
        target = self.acked + more
        with self.progress:
            assert self.progress.wait_for(lambda: self.acked >= target, 60)

    def _run(self) -> None:
        load = SpanLoad(seed=3)
        while not self._stop.is_set():
            body = load.request()
            while not self._stop.is_set():
                outcome = self._send(body)
                self._stop.wait(PAUSE_S)
                if outcome == "acked":
                    with self.progress:
                        self.acked += 1
                        self.progress.notify_all()
                    break
                self.unsure += outcome == "unsure"
                time.sleep(0.05)

    def _send(self, body: bytes) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.connect()
        except OSError:
            return "refused"
        try:
            connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
            return "acked" if connection.getresponse().status == 200 else "refused"
        except (OSError, http.client.HTTPException):
            return "unsure"
        finally:
            connection.close()


def stored(roles: OwnRoles) -> tuple[int, int, int, int]:
    """Spans, different spans, requests counted by RED, sides counted in links."""
    row = roles.telemetry.query(
        "SELECT (SELECT count() FROM otel_traces) AS spans, (SELECT uniqExact(SpanId) FROM otel_traces) AS ids, "
        "(SELECT sum(calls) FROM red) AS red, (SELECT count() FROM links) AS links"
    ).to_pylist()[0]
    return row["spans"], row["ids"], row["red"], row["links"]


def wait_until_loaded(roles: OwnRoles, spans: int) -> None:
    """Return when so many are stored and nothing waits, or when there has been no progress for a while."""
    found = [0]

    def is_loaded() -> bool:
        with contextlib.suppress(StoreError):
            found[0] = stored(roles)[0]
            return found[0] >= spans and not list(roles.config.ingest_log_dir.glob("*.ready"))
        return False

    with contextlib.suppress(AssertionError):  # the test says what is missing
        until(is_loaded, moving=lambda: found[0], every_s=0.1, stalled_s=STALLED_S)


@pytest.mark.parametrize("victim", ["store", "ingest"])
def test_a_killed_role_loses_and_doubles_nothing(victim: str, tmp_path: Path) -> None:
    """Every acked span is stored once, in the table and in both roll-ups, after kill -9 at random moments."""
    random_source = random.Random(5)
    with OwnRoles(tmp_path, {"ingest": {"segment_seconds": 0.3}}) as roles:
        roles.start("store", "ingest")
        exporter = Exporter(roles.config.ingest.otlp_http_port)
        exporter.start()
        for _ in range(KILLS):
            exporter.wait_for(random_source.randrange(2, 12))
            time.sleep(random_source.random() * 0.4)  # the moment within a segment's life is the experiment
            roles.kill(victim)
            roles.start(victim)
        exporter.wait_for(3)
        exporter.stop()
        wait_until_loaded(roles, exporter.acked * SPANS)
        assert roles.stop("ingest") == 0
        counts = stored(roles)
        assert roles.stop("store") == 0
    # A send whose ack was lost was sent again: that one may be there twice, which no receiver can know.
    different = counts[1]
    assert exporter.acked * SPANS <= different <= (exporter.acked + 1) * SPANS
    assert different <= counts[0] <= different + exporter.unsure * SPANS
    assert counts[0] == counts[2] == counts[3]
    if victim == "store":
        assert (exporter.acked * SPANS, 0) == (counts[0], exporter.unsure)
