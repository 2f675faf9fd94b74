"""`watchkeeper bench ingest`: how many spans a second get from the socket to queryable, and what that costs.

1. Starts a store and an ingest role of its own, on free ports, in a temporary folder.
2. Offers spans at a fixed rate over several connections; an ack's time counts from when it was due.
3. Meanwhile asks the store a dashboard's question every 200 ms, and how many spans it has.
4. Sends as fast as it can to a bare receive-and-sync loop, for the ratio.

A request is queryable when the store's count has reached all that was acked up to it. The rate is what was
stored over the time of sending, plus whatever time beyond five seconds the store needs to catch up.
"""

from __future__ import annotations

import json
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import time
from bisect import bisect_right
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import psutil

from bench.own_roles import OwnRoles, cpu_seconds
from bench.span_load import SPANS, SpanLoad
from watchkeeper.errors import WatchkeeperError
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.vocabulary import Window

CONNECTIONS: Final = 8
QUERY_EVERY_S: Final = 0.2
BARE_S: Final = 5.0
STALLED_S: Final = 30.0
QUERYABLE_WITHIN_S: Final = 5.0
_HEAD: Final = (
    b"POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-protobuf\r\ncontent-length: %d\r\n\r\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One run. Times in seconds unless the name says otherwise; CPU in seconds of one core."""

    seconds: float
    spans: int
    spans_per_s: float
    refused: int
    ack_p50_ms: float
    ack_p99_ms: float
    ack_max_ms: float
    queryable_p50_s: float
    queryable_max_s: float
    query_p50_ms: float
    query_p99_ms: float
    queries: int
    store_rss_mb: float
    ingest_rss_mb: float
    store_cpu_s: float
    ingest_cpu_s: float
    generator_cpu_s: float
    machine_busy_elsewhere: float
    bytes_per_span: float
    bare_spans_per_s: float
    ratio_to_bare: float
    stored_exactly: bool


def run(*, seconds: float, rate: int, as_json: bool) -> None:
    """Measure, and print the result."""
    with tempfile.TemporaryDirectory(prefix="watchkeeper-bench-") as name:
        folder = Path(name)
        bare = _bare(folder, BARE_S)
        result = _measure(folder, seconds, rate, bare)
    if as_json:
        print(json.dumps(asdict(result)))
        return
    for field, value in asdict(result).items():
        print(f"{field:<24} {value:,.2f}" if isinstance(value, float) else f"{field:<24} {value:,}")


class _Sender:
    """Offers requests at `rate` a second over `CONNECTIONS` connections; as fast as it can without a rate."""

    def __init__(self, port: int, *, rate: float | None) -> None:
        self._port = port
        self._rate = rate
        self._made: queue.Queue[tuple[float, bytes] | None] = queue.Queue(CONNECTIONS * 2)
        self._lock = threading.Lock()
        self.latencies: list[float] = []
        self.acked: list[float] = []  # the moment of each ack, in order
        self.refused = 0
        self.size = 0

    def send_for(self, seconds: float) -> float:
        """Send, and return how long it took until the last ack."""
        source = SpanLoad(seed=7)
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            deliveries = [pool.submit(self._deliver) for _ in range(CONNECTIONS)]
            began = due = time.monotonic()
            while (now := time.monotonic()) - began < seconds:
                if self._rate:
                    time.sleep(max(0.0, due - now))
                self._made.put((due if self._rate else now, source.request()), timeout=60)
                due += 1 / self._rate if self._rate else 0
            for _ in deliveries:
                self._made.put(None, timeout=60)
            for delivery in deliveries:
                delivery.result()
        return time.monotonic() - began

    def _deliver(self) -> None:
        with socket.create_connection(("127.0.0.1", self._port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (made := self._made.get()) is not None:
                due, body = made
                connection.sendall(_HEAD % len(body) + body)
                answer = connection.recv(65536)
                if not answer:
                    raise WatchkeeperError("the receiver closed the connection")
                now = time.monotonic()
                with self._lock:
                    self.size = len(body)
                    if answer.startswith(b"HTTP/1.1 200"):
                        self.latencies.append(now - due)
                        self.acked.append(now)
                    else:
                        self.refused += 1


class _Observer:
    """Asks the store every 200 ms, and watches the roles' memory."""

    def __init__(self, telemetry: Telemetry, roles: dict[str, psutil.Process]) -> None:
        self._telemetry = telemetry
        self._roles = roles
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.counts: list[tuple[float, int]] = []
        self.query_ms: list[float] = []
        self.peak = dict.fromkeys(roles, 0)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def wait_for(self, spans: int) -> None:
        """Return when so many are stored, or when none have come for `STALLED_S`."""
        seen, since = 0, time.monotonic()
        while seen < spans and time.monotonic() - since < STALLED_S:
            time.sleep(QUERY_EVERY_S)
            if self.counts and self.counts[-1][1] > seen:
                seen, since = self.counts[-1][1], time.monotonic()

    def count(self) -> int:
        return int(self._telemetry.query("SELECT count() AS spans FROM otel_traces")["spans"][0].as_py())

    def _run(self) -> None:
        while not self._stop.wait(QUERY_EVERY_S):
            began = time.monotonic()
            self._telemetry.services(Window.last(300, until=datetime.now(UTC) + timedelta(seconds=5)))
            self.query_ms.append((time.monotonic() - began) * 1e3)
            spans = self.count()
            self.counts.append((time.monotonic(), spans))
            for name, process in self._roles.items():
                self.peak[name] = max(self.peak[name], process.memory_info().rss)


def _measure(folder: Path, seconds: float, rate: int, bare: float) -> Result:
    with OwnRoles(folder, {"ingest": {"max_sender_mib_s": 0}}) as own:
        own.start("store", "ingest")
        roles = {role: psutil.Process(child.pid) for role, child in own.processes.items()}
        observer = _Observer(own.telemetry, roles)
        sender = _Sender(own.config.ingest.otlp_http_port, rate=rate / SPANS)
        before, busy_before, mine_before = cpu_seconds(roles), _machine_busy(), time.process_time()
        observer.start()
        took = sender.send_for(seconds)
        sent = len(sender.acked) * SPANS
        observer.wait_for(sent)
        settled = time.monotonic()
        observer.stop()
        cpu, mine = _minus(cpu_seconds(roles), before), time.process_time() - mine_before
        elsewhere = _machine_busy() - busy_before - sum(cpu.values()) - mine
        stored = observer.count()
    lag = _queryable_lag(sender.acked, observer.counts)
    # A store that falls behind while it is sent to has not sustained the rate: the time until all is there counts.
    whole = max(took, settled - (sender.acked[0] if sender.acked else settled) - QUERYABLE_WITHIN_S)
    latencies, queries = sorted(sender.latencies), sorted(observer.query_ms)
    return Result(
        seconds=took,
        spans=sent,
        spans_per_s=sent / whole,
        refused=sender.refused,
        ack_p50_ms=_at(latencies, 0.5) * 1e3,
        ack_p99_ms=_at(latencies, 0.99) * 1e3,
        ack_max_ms=_at(latencies, 1) * 1e3,
        queryable_p50_s=_at(sorted(lag), 0.5),
        queryable_max_s=_at(sorted(lag), 1),
        query_p50_ms=_at(queries, 0.5),
        query_p99_ms=_at(queries, 0.99),
        queries=len(queries),
        store_rss_mb=observer.peak["store"] / 1e6,
        ingest_rss_mb=observer.peak["ingest"] / 1e6,
        store_cpu_s=cpu["store"],
        ingest_cpu_s=cpu["ingest"],
        generator_cpu_s=mine,
        machine_busy_elsewhere=max(0.0, elsewhere) / (settled - sender.acked[0]),
        bytes_per_span=sender.size / SPANS,
        bare_spans_per_s=bare,
        ratio_to_bare=sent / whole / bare,
        stored_exactly=stored == sent,
    )


def _bare(folder: Path, seconds: float) -> float:
    """Spans a second into the bare loop."""
    child = subprocess.Popen(
        [sys.executable, "-m", "bench.bare_receiver", str(folder / "bare.log")],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        sender = _Sender(int(child.stdout.readline()), rate=None)
        took = sender.send_for(seconds)
    finally:
        child.terminate()
        child.wait()
        (folder / "bare.log").unlink(missing_ok=True)
    return len(sender.acked) * SPANS / took


def _queryable_lag(acked: list[float], counts: list[tuple[float, int]]) -> list[float]:
    """For each look at the store: how long ago the oldest request that was not all there was acked."""
    acked = sorted(acked)
    lags = []
    for at, spans in counts:
        stored = spans // SPANS
        if stored < bisect_right(acked, at):
            lags.append(at - acked[stored])
    return lags


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def _minus(after: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    return {name: after[name] - before[name] for name in after}


def _machine_busy() -> float:
    """CPU seconds that the whole machine has spent working."""
    spent = psutil.cpu_times()
    return float(spent.user + spent.nice + spent.system + spent.irq + spent.softirq)
