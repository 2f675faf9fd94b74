"""Send senseless payloads to every door, and count what comes back.

python -m tests.fuzz.run --payloads 1000000 --seed 1 [--store]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import socket
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import psutil
import structlog

from alerting.channels.slack.standin.app import StandIn
from alerting.channels.slack.standin.served import serving
from alerting.incidents.commands import Incidents
from alerting.postmortems.document import EDITABLE
from collectors.ingest_log.segments import IngestLog
from collectors.receivers.http import HttpPort
from collectors.receivers.otlp import Intake
from collectors.receivers.otlp_http import OtlpHttp
from collectors.receivers.otlp_limits import Limits
from collectors.source import SourceContext
from collectors.state_sinks import StateSinks
from collectors.webhooks.alertmanager import AlertmanagerWebhook
from collectors.webhooks.changes import ChangeEvents
from dashboard.web.credentials import fingerprints
from dashboard.web.session import COOKIE, Sessions
from tests.alerting.channels.slack.running_site import PEOPLE, PROPOSAL, diagnosis, finding
from tests.fuzz.doors import Doors, Payload
from watchkeeper.clock import SystemClock
from watchkeeper.config import Config, OnCallConfig, SlackConfig, SlackStandInConfig, StateConfig
from watchkeeper.problems import Problems
from watchkeeper.roles.web import build
from watchkeeper.state.database import Database
from watchkeeper.store.telemetry import Telemetry

# What these say is meant: the store or Slack is away, or a sender is asked to retry.
MEANT_5XX = frozenset({503})


@dataclass
class Result:
    """What came back."""

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    failures: list[tuple[Payload, str]] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)
    memory_mib: list[float] = field(default_factory=list)

    @property
    def sent(self) -> int:
        return sum(self.statuses.values())

    def summary(self) -> dict[str, Any]:
        """For a human."""
        by_door: dict[str, dict[int, int]] = {}
        for (door, status), count in sorted(self.statuses.items()):
            by_door.setdefault(door, {})[status] = count
        return {
            "sent": self.sent,
            "answers of 5xx": len(self.failures),
            "tracebacks": len(self.tracebacks),
            "memory, MiB": [round(mib) for mib in self.memory_mib],
            "by door": by_door,
        }


class Applications:
    """The web role, the stand-in and the receivers, in this process; the stand-in on a socket, too, for presses."""

    def __init__(
        self, folder: Path, telemetry: Telemetry | None = None, base: Config | None = None, state_url: str | None = None
    ) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        stand_in = SlackConfig(stand_in=SlackStandInConfig(port=self._listener.getsockname()[1]))
        state = StateConfig.model_construct(url=state_url)  # a test's server listens on a file, which a role's may not
        changes = {"oncall": OnCallConfig(people=PEOPLE), "slack": stand_in, "state": state}
        self.config = base.model_copy(update=changes) if base else Config(data_dir=folder, **changes)  # type: ignore[arg-type]
        self.db = Database.open(self.config)
        self.incidents = Incidents(self.db, SystemClock(), self.config.oncall)
        self._stand_in = StandIn(self.config, lambda: f"{self.config.web_url}/slack/events").application()
        self._opened = 0
        self._log = IngestLog(self.config.ingest_log_dir, segment_bytes=1 << 20, max_backlog_bytes=1 << 24)
        self._sinks = StateSinks(self.config)
        http, problems = HttpPort(self.config), Problems(None)
        for source in (OtlpHttp, AlertmanagerWebhook, ChangeEvents):
            source(
                SourceContext(
                    name=source.__name__,
                    config=self.config,
                    settings={},
                    intake=Intake(self._log, Limits.of(self.config)),
                    sinks=self._sinks,
                    problems=problems,
                    stop=threading.Event(),
                    http=http.paths(source.__name__, problems),
                    listening=lambda _name, _port: None,
                )
            )
        self.of: dict[str, Any] = {
            "web": build(self.config, telemetry or Telemetry.connect(self.config), self.db),
            "standin": self._stand_in,
            "ingest": http,
        }

    @contextmanager
    def running(self) -> Iterator[None]:
        with serving(self._stand_in, self._listener):
            yield
        self._log.close()
        for database in (self._sinks._db, self.db):
            if database is not None:
                database.close()

    def doors(self, seed: int) -> Doors:
        """Payloads for an incident that is open, and for one that was proposed a runbook."""
        self._opened += 1
        (incident_id,) = self.incidents.observe([finding(f"payments-{self._opened}")])
        self.incidents.diagnosed(incident_id, diagnosis("orders-db", "payments"), PROPOSAL, "first")
        self.incidents.page(incident_id)
        doors = Doors(self.config, Random(seed), callbacks_of_pages(incident_id), incident_id)
        mark = next(iter(fingerprints(self.config, "commands")))
        doors.cookie = f"{COOKIE}={Sessions(self.config).cookie('oncall', mark)}"
        return doors


def callbacks_of_pages(incident_id: str) -> list[dict[str, Any]]:
    """A sensible request for each callback that runs on the server."""
    from dash import get_app

    values: dict[str, Any] = {
        "url.pathname": "/", "url.search": "?range=30m", "tick.data": "t1", "label-cause.value": "payments",
        "viewer.data": {"scheme": "dark", "choice": "dark", "zone": "Europe/Berlin", "narrow": False},
        "pulse.data": {"title": "Overview", "nav": "overview", "open": 1, "share": "/?from=x"},
        "label-mechanism.value": "deploy", "handover-what.value": "snooze", "handover-span.value": "3600",
        "severity-level.value": "SEV1", "severity-reason.value": "no card is accepted",
        "handover-person.value": "oncall", "handover-into.value": "inc-gone",
        "label-warranted.value": "yes", "label-note.value": "n", "reopen-note.value": "n",
        "judge-cause.value": "payments", "judge-mechanism.value": "deploy", "judge-warranted.value": "no",
        "judge-note.value": "n", "note-text.value": "rolled back",
        "status-text.value": "We look into it.", "board-title.value": "t",
        "rota-yaml.value": "name: Eve\naddresses: {slack: UEVE}\n", "rota-as.value": "form",
        "rota-question.children": "",
        "dragged.data": {"row": 0, "from": "2035-01-01 10:00", "until": "2035-01-01 12:00:00.5", "at": 1},
        "override-schedule.value": "primary", "override-person.value": "ana",
        "override-from.value": "2035-01-01 10:00", "override-until.value": "2035-01-01 12:00",
        "board-new.value": "b", "board-into.value": "b", "board-width.value": "half",
        "action-text.value": "t", "entry-text.value": "t",
        **{f"postmortem-{name}.value": "t" for name in EDITABLE},
    }  # fmt: skip
    found = []
    for output, entry in get_app().callback_map.items():
        if "callback" not in entry:
            continue

        def filled(place: dict[str, str], output: str = output) -> Any:
            if place["id"].startswith("{"):
                fields = {"incident": incident_id, "version": 3, "reopen": "red:cart", "at": 0, "rota_open": "people/"}
                pattern = json.loads(place["id"]).items()
                name = {key: fixed if isinstance(fixed, str) else fields.get(key, "x") for key, fixed in pattern}
                return [{"id": name, "property": place["property"], "value": 1}]
            if place["id"] == "asked":
                dialogs = {"approve-": "approve", "judge-": "label", "note-dialog": "note", "severity-": "severity"}
                dialog = next((name for part, name in dialogs.items() if part in output), "resolve")
                asked = {"command": dialog, "incident": incident_id, "key": "dashboard:1", "seen": ""}
                if "rota-" in output:
                    asked = {"form": "rota", "kind": "people", "name": "", "version": 1, "as": "yaml"}
                return {**place, "value": asked | ({"finding": "red:cart"} if "reopen" in output else {})}
            return {**place, "value": values.get(f"{place['id']}.{place['property']}", 1)}

        inputs, state = [filled(one) for one in entry["inputs"]], [filled(one) for one in entry["state"]]
        first = inputs[0][0] if isinstance(inputs[0], list) else inputs[0]
        name = (
            first["id"]
            if isinstance(first["id"], str)
            else json.dumps(first["id"], sort_keys=True, separators=(",", ":"))
        )
        outputs = [{"id": one.component_id, "property": one.component_property} for one in entry["output"]]
        tree = {
            "output": output, "outputs": outputs, "inputs": inputs, "state": state,
            "changedPropIds": [f"{name}.{first['property']}"], "parsedChangedPropsIds": [],
        }  # fmt: skip
        pages = ("/", "/incidents", f"/incidents/{incident_id}", "/services", "/oncall", "/learning", "/traces/abc")
        if first["id"] == "url":
            for page in pages:
                first["value"] = page
                found.append(json.loads(json.dumps(tree)))
        else:
            found.append(tree)
    return found


async def ask(app: Any, payload: Payload) -> int:
    """One request without a socket. What the application raises is a 599."""
    headers: dict[str, str | bytes] = {"host": "127.0.0.1", "content-length": str(len(payload.body)), **payload.headers}
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": payload.method, "scheme": "http",
        "path": payload.path, "raw_path": payload.path.encode(), "query_string": payload.query, "root_path": "",
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2), "state": {},
        "headers": [
            (name.encode(), value.encode("utf-8", "replace") if isinstance(value, str) else value)
            for name, value in headers.items()
        ],
    }  # fmt: skip
    given = False
    done = asyncio.Event()
    status = 0

    async def receive() -> dict[str, Any]:
        nonlocal given
        if given:
            await done.wait()
            return {"type": "http.disconnect"}
        given = True
        return {"type": "http.request", "body": payload.body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        elif not message.get("more_body"):
            done.set()

    try:
        await app(scope, receive, send)
    except Exception as error:  # noqa: BLE001 - that is what is counted
        structlog.get_logger().error("raised", exc_info=error)
        return 599
    finally:
        done.set()
    return status


@contextmanager
def watched(result: Result) -> Iterator[None]:
    """Count tracebacks: in the program's log, in the libraries' logs, and on standard error."""

    def note(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if event.get("exc_info"):
            error = event["exc_info"]
            shown = (
                "".join(traceback.format_exception(error))
                if isinstance(error, BaseException)
                else traceback.format_exc()
            )
            result.tracebacks.append(f"{event.get('event')}: {shown}")
        raise structlog.DropEvent

    class Watch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info or "Traceback" in record.getMessage():
                shown = (
                    "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else record.getMessage()
                )
                result.tracebacks.append(f"{record.name}: {shown}")

    class Stream:
        def __init__(self, beneath: Any) -> None:
            self._beneath = beneath

        def write(self, text: str) -> int:
            if "Traceback" in text or "exception" in text:
                result.tracebacks.append(f"stderr: {text}")
            return int(self._beneath.write(text))

        def __getattr__(self, name: str) -> Any:
            return getattr(self._beneath, name)

    before, handler, stderr = structlog.get_config(), Watch(), sys.stderr
    structlog.configure(processors=[note], cache_logger_on_first_use=False)
    logging.getLogger().addHandler(handler)
    sys.stderr = Stream(stderr)
    try:
        yield
    finally:
        sys.stderr = stderr
        logging.getLogger().removeHandler(handler)
        structlog.configure(**before)


async def fuzz(applications: Applications, payloads: int, seed: int, *, at_once: int = 8, tell: Any = None) -> Result:
    """Send so many payloads; a few at once, as in life."""
    result = Result()
    process = psutil.Process()
    doors = applications.doors(seed)
    every = max(1, payloads // 100)
    number = 0
    began = time.monotonic()

    async def sender() -> None:
        nonlocal number
        while number < payloads:
            number += 1
            if number % every == 0:
                gc.collect()
                result.memory_mib.append(process.memory_info().rss / 2**20)
                if tell:
                    tell(number, time.monotonic() - began, result)
            payload = doors.next()
            status = await ask(applications.of[payload.port], payload)
            result.statuses[payload.door, status] += 1
            if status >= 500 and status not in MEANT_5XX:
                result.failures.append((payload, str(status)))

    with watched(result):
        await asyncio.gather(*(sender() for _ in range(at_once)))
        for _ in range(100):  # what Slack's presses began after their answers
            await asyncio.sleep(0.02)
    return result


def _load_shop(config: Config) -> None:
    """Twenty minutes of requests of a small shop, so that pages have something to draw."""
    from bench.own_roles import loader_of
    from tests.browser.conftest import EDGES, SPANS

    store = loader_of(config)
    for statement in (SPANS, EDGES):
        store.run(statement.format(now=int(time.time())), b"")


def _kind(text: str) -> str:
    """The last place of ours in a traceback, and its last line."""
    lines = text.strip().splitlines()
    ours = [line.strip() for line in lines if line.strip().startswith("File") and ".venv" not in line]
    return f"{ours[-1] if ours else ''} {lines[-1][:150]}"


def main() -> None:
    """The long run, by hand."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--payloads", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--store", action="store_true", help="with a real store behind the pages")
    parser.add_argument("--show", type=int, default=5, help="how many failures to show in full")
    given = parser.parse_args()

    def tell(number: int, seconds: float, result: Result) -> None:
        print(
            f"{number} sent in {seconds:.0f} s, {len(result.failures)} of 5xx, {len(result.tracebacks)} tracebacks, "
            f"{result.memory_mib[-1]:.0f} MiB",
            flush=True,
        )

    def run(applications: Applications) -> Result:
        with applications.running():
            return asyncio.run(fuzz(applications, given.payloads, given.seed, tell=tell))

    with tempfile.TemporaryDirectory() as folder:
        if given.store:
            from bench.own_roles import OwnRoles

            with OwnRoles(Path(folder)) as own:
                own.start("store")
                _load_shop(own.config)
                result = run(Applications(Path(folder), Telemetry.connect(own.config), own.config))
        else:
            result = run(Applications(Path(folder)))
    for payload, status in result.failures[: given.show]:
        print(status, payload)
    kinds = Counter(_kind(text) for text in result.tracebacks)
    for text in result.tracebacks[: given.show]:
        print(text)
    print(json.dumps(result.summary()))
    for kind, count in kinds.most_common(30):
        print(count, kind)
    sys.exit(bool(result.failures or result.tracebacks))


if __name__ == "__main__":
    main()
