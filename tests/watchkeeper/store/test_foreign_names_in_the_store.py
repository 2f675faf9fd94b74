"""Services, operations, metrics and log lines of any name, through the whole loop with the real store."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alerting.channels.slack import blocks as slack_blocks
from alerting.channels.slack.form import resolve_view
from alerting.channels.slack.standin.rules import check_blocks, check_view
from alerting.incidents.commands import Incidents
from alerting.postmortems import postmortem
from bench.own_roles import OwnRoles
from detectors.live import Live
from rca.live.diagnose import diagnose
from rca.live.incident import LiveIncident
from rca.live.reading import instances
from rca.registry import read_engine
from tests.hostile import HOSTILE
from watchkeeper.clock import SystemClock
from watchkeeper.config import OnCallConfig
from watchkeeper.names import storable
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database
from watchkeeper.store.statements import Statements
from watchkeeper.vocabulary import Window

BEFORE_S, SINCE_S = 600, 60
# The store holds endless names, too; a shorter one is enough for the loop.
NAMES = {which: name[:900] for which, name in HOSTILE.items()}


def _rows(name: str, number: int, now: int) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Two requests a second for ten minutes, of which most of the last minute's fail, and a log line for each."""
    spans, logs = [], []
    for second in range(-BEFORE_S, 0):
        for half in (0, 1):
            fails = second >= -SINCE_S and (second + half) % 3
            at = f"{now + second}.{half * 5}"
            identity = f"{number:08x}{second + BEFORE_S:08x}{half:016x}"
            spans.append(
                {
                    "Timestamp": at,
                    "TraceId": identity,
                    "SpanId": identity[:16],
                    "SpanName": name,
                    "SpanKind": "Server",
                    "ServiceName": name,
                    "Duration": 900_000_000 if fails else 20_000_000,
                    "StatusCode": "Error" if fails else "Unset",
                    "StatusMessage": name,
                    "ResourceAttributes": {"service.instance.id": f"{name}{half}"},
                    "SpanAttributes": {"peer.service": name, name: name},
                }
            )
        if fails:
            logs.append(
                {
                    "Timestamp": at,
                    "ServiceName": name,
                    "SeverityText": "ERROR",
                    "SeverityNumber": 17,
                    "Body": f"{name} failed {second}",
                }
            )
    return spans, logs


@pytest.fixture(scope="module")
def now(loader: Statements) -> datetime:
    """When the telemetry of all those services ends."""
    at = int(datetime.now(UTC).timestamp()) // 5 * 5
    for number, name in enumerate(NAMES.values()):
        spans, logs = _rows(name, number, at)
        for table, rows in (("otel_traces", spans), ("otel_logs", logs)):
            body = "\n".join(json.dumps(row) for row in rows).encode()
            loader.run(f"INSERT INTO otel.{table} FORMAT JSONEachRow", body)
    return datetime.fromtimestamp(at, UTC)


def test_the_loop_goes_round_whatever_a_service_is_called(roles: OwnRoles, now: datetime, tmp_path: Path) -> None:
    """Each failing service is found, opens an incident, is diagnosed, paged and written down, and can be seen."""
    problems = Problems(None)
    live = Live(history_s=600, problems=problems)
    live.tick(roles.telemetry, now - timedelta(seconds=SINCE_S + 30))
    found = live.tick(roles.telemetry, now + timedelta(seconds=10))
    assert problems.current() == ()
    judged = {finding.service for finding in found}
    assert set(NAMES.values()) <= judged
    assert all(live.readiness()[name].reason for name in NAMES.values())
    db = Database.open(f"sqlite:///{tmp_path / 'state.db'}")
    incidents = Incidents(db, SystemClock(), OnCallConfig())
    # So many that fail at once are somebody else's fault to the detectors: tickets. Here each one pages.
    opened = incidents.observe([replace(one, severity="page") for one in found], now=now)
    assert {incidents.get(one).service for one in opened} <= {storable(name) for name in NAMES.values()}
    assert opened
    for incident_id in opened:
        incident = incidents.get(incident_id)
        diagnosis = diagnose(
            roles.telemetry, read_engine(), LiveIncident(onset=incident.onset, now=now, findings=incident.findings)
        )
        incidents.diagnosed(incident_id, diagnosis, None, "d")
        incidents.page(incident_id)
        incident = incidents.get(incident_id)
        check_blocks(slack_blocks.message(incident, url="http://127.0.0.1/incidents/x"))
        check_blocks(slack_blocks.details(incident))
        check_view(resolve_view(incident))
        page = postmortem.draft(db, incident_id, now, OnCallConfig()).markdown
        assert not {c for c in page if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")} - {"\n"}
    db.close()


@pytest.mark.parametrize("which", sorted(NAMES))
def test_a_service_of_any_name_is_found_by_it(roles: OwnRoles, now: datetime, which: str) -> None:
    """Its own instances, spans and lines: a name is a value in a query, never a part of it."""
    name = NAMES[which]
    end = now.timestamp()
    served = instances(roles.telemetry, name, end - 300, end - SINCE_S, end)
    assert len(set(served.instance)) == 2
    window = Window.last(300, until=now)
    assert set(roles.telemetry.spans(window, name, 10)["service"].to_pylist()) == {name}
    assert set(roles.telemetry.logs(window, service=name)["service"].to_pylist()) == {name}
