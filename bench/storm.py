"""`watchkeeper bench storm`: thousands of alerts at once through every role, and through Alertmanager beside it.

1. Starts every role in a temporary folder, with Slack's stand-in, which has Slack's rate limits.
2. Sends the alerts to the webhook as Alertmanager does, 100 a body: each service has several, all of different names.
3. Watches how they become incidents, what Slack gets, and how long the API takes to acknowledge some of them.
4. Resolves all alerts, and watches until every incident has recovered.

CPU seconds are of one core, of the role `watch` alone where nothing else is said. Alertmanager gets the same alerts by
its own API, grouped by name as its example configuration has it, and notifies a webhook.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import psutil
import yaml

from bench.own_roles import OwnRoles, cpu_seconds
from watchkeeper.ports import free_port

ROLES: Final = ("store", "ingest", "standin", "web", "watch")
PEER: Final = "prometheus-alertmanager"
A_BODY: Final = 100
NAMES: Final = 20
LOOK_EVERY_S: Final = 0.5
GIVE_UP_S: Final = 300.0
ACKNOWLEDGED: Final = 50
SETTLED_S: Final = 30.0  # without a new message, Slack has heard everything
PEOPLE: Final = [
    {"id": "ana", "name": "Ana", "addresses": {"slack": "U0ANA"}, "timezone": "Europe/Lisbon"},
    {"id": "bo", "name": "Bo", "addresses": {"slack": "U0BO"}, "timezone": "Asia/Singapore"},
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """What became of the alerts here. Times are seconds since the first body was sent."""

    alerts: int
    services: int
    acked_s: float
    incidents: int
    grouped_s: float
    grouped_cpu_s: float
    ingest_cpu_s: float
    first_page_s: float
    messages: int
    mentions: int
    told_s: float
    ack_p95_ms: float
    list_p95_ms: float
    recovered_s: float
    recovered_cpu_s: float
    watch_rss_mb: float
    rss_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerStorm:
    """The same in Alertmanager."""

    acked_s: float
    first_notification_s: float
    notifications: int
    alerts_told: int
    cpu_s: float
    list_p95_ms: float
    rss_mb: float


def run(*, alerts: int, services: int, peer: bool, as_json: bool) -> None:
    """Measure, and print the result."""
    sent = Alerts(alerts, services)
    with tempfile.TemporaryDirectory(prefix="watchkeeper-bench-") as folder:
        ours = measure(Path(folder), sent)
    theirs = None
    if peer and shutil.which(PEER):
        with tempfile.TemporaryDirectory(prefix="watchkeeper-bench-") as folder:
            theirs = measure_peer(Path(folder), sent)
    if as_json:
        print(json.dumps({"watchkeeper": asdict(ours), "alertmanager": theirs and asdict(theirs)}))
        return
    for title, result in (("Watchkeeper", ours), ("Alertmanager", theirs)):
        print(title if result else f"{title}: not installed ({PEER})")
        for name, value in asdict(result).items() if result else ():
            print(f"  {name:<22} {value:,.2f}" if isinstance(value, float) else f"  {name:<22} {value:,}")


class Alerts:
    """So many alerts of so many services, as both programs take them."""

    def __init__(self, count: int, services: int) -> None:
        self.count, self.services = count, min(services, count)

    def bodies(self, status: str, since: datetime) -> Iterator[list[dict[str, Any]]]:
        """In Alertmanager's form, some at a time. They end now if `status` is resolved."""
        ends = datetime.now(UTC).isoformat() if status == "resolved" else "0001-01-01T00:00:00Z"
        rows = [self._alert(number, status, since.isoformat(), ends) for number in range(self.count)]
        for begin in range(0, len(rows), A_BODY):
            yield rows[begin : begin + A_BODY]

    def _alert(self, number: int, status: str, since: str, ends: str) -> dict[str, Any]:
        service = f"service-{number % self.services:05d}"
        name = f"Rule{number // self.services % NAMES:02d}"
        labels = {"alertname": name, "service": service, "severity": "critical", "number": str(number)}
        return {
            "status": status,
            "labels": labels,
            "annotations": {"summary": f"{name} of {service} fires"},
            "startsAt": since,
            "endsAt": ends,
            "fingerprint": f"{number:016x}",
        }


def measure(folder: Path, sent: Alerts) -> Storm:
    """Every role on free ports, and the storm."""
    changes: dict[str, dict[str, Any]] = {
        "web": {"port": free_port()},
        "slack": {"stand_in": {"port": free_port()}},
        "oncall": {
            "people": PEOPLE,
            "schedules": [{"id": "primary", "layers": [{"people": ["ana", "bo"]}], "fallback": "ana"}],
            "escalation": [{"after_s": 0, "notify": "primary"}],
        },
        "watch": {"clear_s": 10.0},
    }
    with OwnRoles(folder, changes) as own:
        own.start(*ROLES)
        processes = {role: psutil.Process(own.processes[role].pid) for role in ROLES}
        state, since = _State(own.config.data_dir / "state.db"), datetime.now(UTC)
        before, began = cpu_seconds(processes), time.monotonic()

        def spent(role: str) -> float:
            return cpu_seconds({role: processes[role]})[role] - before[role]

        slack = _Slack(f"http://127.0.0.1:{own.config.slack.stand_in.port}/standin/messages", began)
        acked_s = _send(f"{own.otlp_url}/api/v1/alerts/alertmanager", sent, "firing", since, began)
        ingest_cpu_s = spent("ingest")
        grouped_s = _until(lambda: state.placed() >= sent.count, began, slack.look)
        grouped_cpu_s = spent("watch")
        with httpx.Client(
            base_url=f"http://127.0.0.1:{own.config.web.port}/api/v1",
            headers={"Authorization": f"Bearer {own.config.secret('commands')}"},
            trust_env=False,
            timeout=60,
        ) as api:
            rows = api.get("/incidents", params={"state": "open", "limit": ACKNOWLEDGED}).json()
            list_ms = [_ms(partial(api.get, "/incidents?state=open&limit=50")) for _ in range(20)]
            ack_ms = [_ms(partial(api.post, f"/incidents/{row['id']}/acknowledge")) for row in rows]
        told_s = slack.settle()
        rss = {role: process.memory_info().rss / 1e6 for role, process in processes.items()}
        again, at_cpu = time.monotonic(), spent("watch")
        _send(f"{own.otlp_url}/api/v1/alerts/alertmanager", sent, "resolved", since, again)
        recovered_s = _until(lambda: state.firing() == 0, again)
        return Storm(
            alerts=sent.count,
            services=sent.services,
            acked_s=acked_s,
            incidents=state.incidents(),
            grouped_s=grouped_s,
            grouped_cpu_s=grouped_cpu_s,
            ingest_cpu_s=ingest_cpu_s,
            first_page_s=slack.first_s,
            messages=slack.messages,
            mentions=slack.mentions,
            told_s=told_s,
            ack_p95_ms=float(np.percentile(ack_ms, 95)),
            list_p95_ms=float(np.percentile(list_ms, 95)),
            recovered_s=recovered_s,
            recovered_cpu_s=spent("watch") - at_cpu,
            watch_rss_mb=rss["watch"],
            rss_mb=sum(rss.values()),
        )


def measure_peer(folder: Path, sent: Alerts) -> PeerStorm:
    """Alertmanager with one webhook, grouped by name."""
    told = _Told()
    with told.serving() as url, _alertmanager(folder, url) as (base, process):
        before, began, since = sum(process.cpu_times()[:2]), time.monotonic(), datetime.now(UTC)
        for body in sent.bodies("firing", since):
            rows = [{key: row[key] for key in ("labels", "annotations", "startsAt")} for row in body]
            httpx.post(f"{base}/api/v2/alerts", json=rows, trust_env=False, timeout=60).raise_for_status()
        acked_s = time.monotonic() - began
        _until(lambda: told.alerts >= sent.count, began)
        list_ms = [
            _ms(lambda: httpx.get(f"{base}/api/v2/alerts/groups", trust_env=False, timeout=60)) for _ in range(5)
        ]
        return PeerStorm(
            acked_s=acked_s,
            first_notification_s=(told.first or time.monotonic()) - began,
            notifications=told.bodies,
            alerts_told=told.alerts,
            cpu_s=sum(process.cpu_times()[:2]) - before,
            list_p95_ms=float(np.percentile(list_ms, 95)),
            rss_mb=process.memory_info().rss / 1e6,
        )


class _Slack:
    """What stands in the channel, looked at now and then."""

    def __init__(self, url: str, began: float) -> None:
        self._url, self._began = url, began
        self.first_s, self._last_s = 0.0, 0.0
        self.messages = self.mentions = 0

    def look(self) -> None:
        rows: Sequence[dict[str, Any]] = httpx.get(self._url, trust_env=False, timeout=60).json()["messages"]
        now = time.monotonic() - self._began
        if len(rows) != self.messages:
            self.first_s = self.first_s or now
            self._last_s = now
        self.messages = len(rows)
        self.mentions = sum("<@U0" in json.dumps(row) for row in rows)

    def settle(self) -> float:
        """Wait until nothing new has come for a while; when the last message came."""
        while time.monotonic() - self._began - self._last_s < SETTLED_S:
            self.look()
            time.sleep(LOOK_EVERY_S)
        return self._last_s


class _Told:
    """A webhook that counts what Alertmanager sends."""

    def __init__(self) -> None:
        self.bodies = self.alerts = 0
        self.first: float | None = None

    @contextmanager
    def serving(self) -> Iterator[str]:
        told = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                told.first = told.first or time.monotonic()
                told.bodies += 1
                told.alerts += len(body["alerts"])
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{server.server_address[1]}"
            server.shutdown()


@contextmanager
def _alertmanager(folder: Path, webhook: str) -> Iterator[tuple[str, psutil.Process]]:
    port = free_port()
    tree = {
        "route": {"receiver": "webhook", "group_by": ["alertname"], "group_wait": "30s", "group_interval": "5m"},
        "receivers": [{"name": "webhook", "webhook_configs": [{"url": webhook}]}],
    }
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(tree))
    command = [
        *(PEER, f"--config.file={folder / 'alertmanager.yml'}", f"--storage.path={folder / 'data'}"),
        *(f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="),
    ]
    with (folder / "alertmanager.log").open("wb") as log:
        child = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    base = f"http://127.0.0.1:{port}"
    try:
        _until(lambda: _answers(f"{base}/-/ready"), time.monotonic())
        yield base, psutil.Process(child.pid)
    finally:
        child.terminate()
        child.wait(20)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _send(url: str, sent: Alerts, status: str, since: datetime, began: float) -> float:
    """Send all alerts; seconds until the last one was acked."""
    with httpx.Client(trust_env=False, timeout=60) as client:
        for rows in sent.bodies(status, since):
            while True:
                answer = client.post(url, json={"version": "4", "status": status, "alerts": rows})
                if answer.status_code not in (429, 503):
                    answer.raise_for_status()
                    break
                time.sleep(float(answer.headers.get("Retry-After", 1)))
    return time.monotonic() - began


def _until(holds: Callable[[], bool], began: float, look: Callable[[], None] = lambda: None) -> float:
    """Wait until it holds, for five minutes at most; when that was, in seconds."""
    while not holds() and time.monotonic() - began < GIVE_UP_S:
        look()
        time.sleep(LOOK_EVERY_S)
    return time.monotonic() - began


@dataclass(frozen=True, slots=True)
class _State:
    """Looks into the state database, as it is by default: a file."""

    path: Path

    def placed(self) -> int:
        """Alerts that an incident has."""
        return self._count("findings WHERE incident_id IS NOT NULL")

    def firing(self) -> int:
        return self._count("incidents WHERE system_state = 'firing'")

    def incidents(self) -> int:
        return self._count("incidents")

    def _count(self, what: str) -> int:
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=30)) as connection:
            return int(connection.execute(f"SELECT count(*) FROM {what}").fetchone()[0])


def _ms(call: Callable[[], httpx.Response]) -> float:
    began = time.monotonic()
    call().raise_for_status()
    return 1000 * (time.monotonic() - began)
