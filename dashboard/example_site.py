"""An example site for the conformance suite: a real store and state database, with much in them and hostile names.

The store is the store role, started on a free port in a folder of its own. Everything is stopped by `close`.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self

import yaml
from sqlalchemy import event

from alerting.incidents.commands import Incidents
from alerting.incidents.findings import record_findings
from alerting.incidents.human_labels import Judgement
from chaos.calls import Observed, Phase, Traffic
from chaos.findings import STATES, decide, keep, stored_findings
from chaos.journal import ExperimentTruth, record_experiment
from dashboard.reads.own_state import Role
from dashboard.reads.sources import Sources
from watchkeeper.clock import FrozenClock
from watchkeeper.config import Config, load
from watchkeeper.errors import StoreError, WatchkeeperError
from watchkeeper.state.changes import record_change
from watchkeeper.state.database import Database
from watchkeeper.state.labels import record_label
from watchkeeper.store.statements import Statements
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.vocabulary import (
    Actor,
    ChangeEvent,
    Diagnosis,
    Evidence,
    Finding,
    Label,
    LabelSource,
    Proposal,
    Question,
    Suppression,
    Suspect,
    utc,
)

HOSTILE: Final = (
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "javascript:alert(1)",
    "[x](javascript:alert(1)) ![p](http://evil.example/p.png)",
    "http://evil.example/x",
    "');alert(1);//",
    "%{y} {service} ${x}",
    "../../etc/passwd?x=1#y",
    "cart\u202e<gpj.exe",
    "pay\u200bments",
    "word " * 400,
)
SERVICES: Final = (*HOSTILE, *(f"service-{number}" for number in range(40)))
ONE_TRACE: Final = "1" * 32
BOARD: Final = "all"
START_WITHIN_S: Final = 120.0


class CountingTelemetry(Telemetry):
    """A reader of the store that counts its queries."""

    queries = 0

    def query(self, sql: str, parameters: Any = None) -> Any:
        """As `Telemetry.query`."""
        self.queries += 1
        return super().query(sql, parameters)


class CountingDatabase(Database):
    """A state database that counts its uses."""

    uses = 0

    def read(self) -> Any:
        """As `Database.read`."""
        self.uses += 1
        return super().read()

    def write(self) -> Any:
        """As `Database.write`."""
        self.uses += 1
        return super().write()


class ExampleSite:
    """A store and two state databases, one empty and one full. `now` is the present, to the second."""

    def __init__(self, folder: Path) -> None:
        tree = {"data_dir": str(folder / "data"), "store": {"port": _free_port()}}
        path = folder / "watchkeeper.yaml"
        path.write_text(yaml.safe_dump(tree))
        self._folder = folder
        self.config: Config = load(path)
        self.config.boards_dir.mkdir(parents=True)
        (self.config.boards_dir / f"{BOARD}.yaml").write_text(yaml.safe_dump(_board()))
        (self.config.boards_dir / "broken.yaml").write_text(f"title: a\n{json.dumps(HOSTILE[0])}: 1\n")
        self.now: datetime = utc(int(time.time()))
        command = [sys.executable, "-m", "watchkeeper.cli.main", "store", "--config", str(path)]
        log = (folder / "store.log").open("wb")
        self._store = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        log.close()
        self._databases: list[Database] = []
        self.rendered: dict[Any, list[Any]] = {}  # by page, for checks that look at the same renderings

    @classmethod
    def start(cls, folder: Path) -> Self:
        """Start the store, and fill it.

        Raises:
            WatchkeeperError: the store did not start; with the end of its log.
        """
        site = cls(folder)
        try:
            site._fill_store()
            site.full = site._database("full")
            _fill_state(site.full, site.config, site.now)
            site.empty = site._database("empty")
        except BaseException:
            site.close()
            raise
        return site

    full: Database
    empty: Database

    def close(self) -> None:
        """Close the databases and stop the store."""
        for db in self._databases:
            db.close()
        self._store.terminate()
        self._store.wait(30)

    def with_much(self) -> Sources:
        """Many services and incidents, hostile names among them."""
        return self._sources(self.full, self.now)

    def with_nothing(self) -> Sources:
        """An empty state database, at a time for which the store has nothing."""
        return self._sources(self.empty, self.now - timedelta(days=200))

    def without_store(self) -> Sources:
        """As `with_much`, while the store cannot be reached."""
        telemetry = CountingTelemetry(url=f"http://127.0.0.1:{_free_port()}", database="otel", user="", password="")
        return self._sources(self.full, self.now, telemetry)

    def without_database(self) -> Sources:
        """As `with_much`, while the state database is broken: its file holds something else."""
        db = self._database(f"broken-{len(self._databases)}")
        db.engine.dispose()
        db.uses = 0
        path = Path(str(db.engine.url.database))
        for file in path.parent.glob(f"{path.name}*"):
            file.write_bytes(b"no database" * 1000)
        return self._sources(db, self.now)

    def incident_ids(self) -> Sequence[str]:
        """The incidents of the full database, newest first."""
        return [incident.id for incident in Incidents(self.full, FrozenClock(self.now), self.config.oncall).list()]

    def _database(self, name: str) -> CountingDatabase:
        db = CountingDatabase.open(f"sqlite:///{self._folder / f'{name}.db'}")
        self._databases.append(db)
        return db

    def _sources(self, db: Database, now: datetime, telemetry: Telemetry | None = None) -> Sources:
        clock = FrozenClock(now)
        return Sources(
            telemetry=telemetry or CountingTelemetry.connect(self.config),
            incidents=Incidents(db, clock, self.config.oncall),
            db=db,
            config=self.config,
            clock=clock,
            roles=lambda: (Role(name="watch", running=True),),
        )

    def _fill_store(self) -> None:
        store = Statements(url=self.config.store_url, user="loader", password=self.config.secret("store-loader"))
        deadline = time.monotonic() + START_WITHIN_S
        while True:
            try:
                store.run("SELECT 1")
                break
            except StoreError as error:
                if self._store.poll() is not None or time.monotonic() > deadline:
                    log = (self._folder / "store.log").read_text(errors="replace")[-2000:]
                    raise WatchkeeperError(f"the store of the example site did not start: {log}") from error
                time.sleep(0.1)
        tables = (
            ("otel_traces", _spans(self.now)),
            ("otel_logs", _logs(self.now)),
            ("otel_metrics_gauge", _gauges(self.now)),
        )
        for table, rows in tables:
            body = "\n".join(json.dumps(row) for row in rows).encode()
            store.run(f"INSERT INTO otel.{table} ({', '.join(rows[0])}) FORMAT JSONEachRow", body)


@contextmanager
def watched(db: Database) -> Iterator[list[str]]:
    """The statements that the database is given meanwhile."""
    statements: list[str] = []

    def record(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(db.engine, "before_cursor_execute", record)
    try:
        yield statements
    finally:
        event.remove(db.engine, "before_cursor_execute", record)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _board() -> dict[str, Any]:
    """A panel of each kind for each hostile name, as far as a board has room for them."""
    panels = [
        panel
        for name in HOSTILE[:4]
        for panel in (
            {"kind": "metrics", "title": name, "metric": name, "by": "service"},
            {"kind": "logs", "title": name, "service": name},
            {"kind": "traces", "title": name, "service": name, "width": "full"},
            {"kind": "slo", "title": name, "objective": name},
            {"kind": "text", "title": name, "text": name},
        )
    ]
    # As an imported dashboard names a metric and its label of `service-7`.
    exported = {
        "kind": "metrics",
        "title": "Exported",
        "names": "prometheus",
        "metric": "service_7",
        "by": "service_7, job",
    }
    return {"title": HOSTILE[0], "description": HOSTILE[1], "panels": [*panels, exported]}


def _spans(now: datetime) -> list[dict[str, Any]]:
    """A request to each service every twenty seconds for ten minutes; every third one fails."""
    start = int((now - timedelta(minutes=10)).timestamp())
    return [
        {
            "Timestamp": f"{start + number * 20}.{place:09d}",
            "TraceId": ONE_TRACE if number == 0 else f"{number * 1000 + place:032x}",
            "SpanId": f"{number * 1000 + place + 1:016x}",
            "SpanName": f"GET /{service}",
            "SpanKind": "Server",
            "ServiceName": service,
            "Duration": 30_000_000 + place * 1_000_000,
            "StatusCode": "Error" if number % 3 == 0 else "Unset",
            "StatusMessage": service,
        }
        for number in range(29)
        for place, service in enumerate(SERVICES)
    ]


def _logs(now: datetime) -> list[dict[str, Any]]:
    at = int((now - timedelta(minutes=2)).timestamp())
    return [
        {"Timestamp": at, "ServiceName": service, "SeverityNumber": 17, "SeverityText": "ERROR", "Body": service,
         "TraceId": ONE_TRACE}
        for service in SERVICES
    ]  # fmt: skip


def _gauges(now: datetime) -> list[dict[str, Any]]:
    """A metric named after each service, with a label that is named so too, every minute for ten minutes."""
    start = int((now - timedelta(minutes=10)).timestamp())
    return [
        {"TimeUnix": start + 60 * minute, "ServiceName": service, "MetricName": service, "MetricUnit": service[:60],
         "MetricDescription": service, "ScopeName": service, "Attributes": {service: service}, "Value": minute}
        for minute in range(10)
        for service in SERVICES
    ]  # fmt: skip


def _fill_state(db: Database, config: Config, now: datetime) -> None:
    """Incidents in every state, labels of both sources, changes, experiments and a suppressed finding."""
    clock = FrozenClock(now - timedelta(minutes=6))
    incidents = Incidents(db, clock, config.oncall)
    ana = Actor(name=HOSTILE[0], via="dashboard")
    for number, name in enumerate(reversed(SERVICES)):
        clock.advance(1)
        at = clock.now()
        (incident_id,) = incidents.observe([_finding(name, at, number)], now=at)
        incidents.diagnosed(incident_id, _diagnosis(name, at), _proposal(name), f"diagnosis:{number}")
        incidents.page(incident_id)
        if number % 3 == 0:
            incidents.acknowledge(incident_id, ana, f"acknowledge:{number}")
            incidents.approve(incident_id, ana, f"approve:{number}", _proposal(name).id)
            incidents.run_started(incident_id, f"run:{number}", run=f"run-{number}")
            question = Question(run=f"run-{number}", step=0, asked=1, text=name, choices=("yes", "no"), until=now)
            incidents.run_asked(incident_id, f"asked:{number}", question=question)
        if number % 3 == 1:
            incidents.observe([], now=at)
            incidents.resolve(
                incident_id, ana, f"resolve:{number}", Judgement(warranted=True, cause=name[:200], note=name)
            )
        if number % 5 == 0:
            record_label(db, _label(incident_id, name, number, at))
        if number % 2 == 0:
            record_experiment(db, _experiment(incident_id, name, number, at))
    at = clock.now()
    for number, name in enumerate(HOSTILE):
        record_change(db, ChangeEvent(id=f"c-{number}", at=at, kind="deploy", service=name, title=name, version="1.2"))
    _weaknesses(db, at)
    record_findings(db, [_suppressed(name, at, number) for number, name in enumerate(SERVICES)])


def _weaknesses(db: Database, at: datetime) -> None:
    """What experiments showed, under hostile names and in every state."""
    calls: dict[Phase, Traffic] = {
        "before": Traffic(calls=600, seconds=60, busy_s=12),
        "during": Traffic(calls=400, errors=390, seconds=40, busy_s=8),
        "after": Traffic(calls=300, seconds=30, busy_s=6),
    }
    for number, name in enumerate(HOSTILE):
        truth = replace(_experiment(f"kept-{number}", name, number, at), ended=at + timedelta(seconds=40))
        keep(db, Observed(truth=truth, calls={("web", name): calls}, served={"web": calls, name: calls}), at)
    for number, found in enumerate(stored_findings(db)):
        decide(db, found.id, STATES[number % len(STATES)], Actor(name=HOSTILE[0], via="cli"), HOSTILE[1], at)


def _finding(name: str, at: datetime, number: int) -> Finding:
    return Finding(
        detector="red.errors",
        detector_version="1",
        kind="errors",
        service=name,
        summary=f"{name}: 33 % of requests fail",
        onset=at - timedelta(seconds=30),
        seen_at=at,
        score=0.9,
        value=0.33,
        expected=0.01,
        unit="ratio",
        key=f"red.errors:{number}",
    )


def _experiment(incident_id: str, name: str, number: int, at: datetime) -> ExperimentTruth:
    """What caused an incident, under the incident's own id; every other one still runs."""
    began = at - timedelta(seconds=0.3)
    return ExperimentTruth(
        id=incident_id,
        target=name,
        fault=HOSTILE[number % len(HOSTILE)],
        service=name,
        mechanism="errors",
        services=(name,),
        began=began,
        ended=at + timedelta(minutes=20 if number % 4 else 1),
        took_effect=True,
        effect_at=began,
        detail=name,
        release="0.1.0",
    )


def _suppressed(name: str, at: datetime, number: int) -> Finding:
    suppression = Suppression(reason=f"similar to {name}", model_version="3")
    finding = _finding(name, at, number)
    return replace(finding, severity="ticket", suppression=suppression, key=f"red.latency:{number}")


def _diagnosis(name: str, at: datetime) -> Diagnosis:
    evidence = Evidence(kind="errors", weight=2.0, sentence=f"{name} fails 33 % of its requests", signal="errors")
    suspect = Suspect(
        service=name, score=2.0, probability=0.9, mechanism="deploy", evidence=(evidence,), change_id="c-0"
    )
    return Diagnosis(
        onset=at, made_at=at, suspects=(suspect,), abstained=False, reason=evidence.sentence, engine_version="rca-1"
    )


def _proposal(name: str) -> Proposal:
    return Proposal(
        runbook="roll-back-deploy", title=name[:200], service=name, steps=(name,), blast_radius=name, undo=name
    )


def _label(incident_id: str, name: str, number: int, at: datetime) -> Label:
    source: LabelSource = "human" if number % 2 else "chaos"
    return Label(
        id=f"label-{number}", incident_id=incident_id, source=source, author=name[:100], at=at,
        warranted=(True, False, None)[number % 3], cause=name[:200], mechanism="deploy", note=name,
    )  # fmt: skip
