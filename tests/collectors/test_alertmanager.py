"""Alertmanager's webhook and its relatives: what fires becomes a finding, and no bad alert costs a good one."""

from __future__ import annotations

import json
import secrets
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from alerting.incidents.commands import Incidents
from bench.own_roles import OwnRoles
from collectors.receivers.otlp import MalformedError
from collectors.webhooks.alert_episodes import record_alerts
from collectors.webhooks.alertmanager import LONGEST_SUMMARY, parse_webhook
from watchkeeper.clock import FrozenClock
from watchkeeper.config import OnCallConfig
from watchkeeper.names import LONGEST_NAME
from watchkeeper.problems import read_problems
from watchkeeper.state.alerts import read_alerts
from watchkeeper.state.database import Database
from watchkeeper.state.schema import metadata
from watchkeeper.vocabulary import Actor, AlertNotice, Finding

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CASES = Path(__file__).resolve().parents[2].parent / "shared" / "cases"
ALERTS = "/api/v1/alerts/alertmanager"


def webhook(*alerts: Any, **changes: Any) -> dict[str, Any]:
    """A body as Alertmanager sends it, with Grafana's extras."""
    return {
        "version": "4",
        "groupKey": '{}:{alertname="HighErrors"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "watchkeeper",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager",
        "orgId": 1,
        "alerts": list(alerts),
    } | changes


def alert(**changes: Any) -> dict[str, Any]:
    """One alert."""
    whole = {
        "status": "firing",
        "labels": {"alertname": "HighErrors", "service": "payments", "severity": "critical"},
        "annotations": {"summary": "Too many errors", "runbook_url": "http://runbook"},
        "startsAt": "2026-03-01T11:58:00.5Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": "f00",
        "silenceURL": "http://grafana/silence",
        "values": {"A": 1},
    }
    return whole | changes


def only(body: dict[str, Any]) -> AlertNotice:
    """The one alert of a body."""
    (notice,) = parse_webhook(body, NOW).notices
    return notice


def test_a_firing_alert_is_a_finding() -> None:
    """Service, words, onset and urgency come from the alert; the year 1 means that it still fires."""
    notice = only(webhook(alert()))
    finding = notice.finding
    assert (finding.service, finding.summary, finding.severity, finding.kind) == (
        "payments",
        "Too many errors",
        "page",
        "alert",
    )
    assert finding.onset == datetime(2026, 3, 1, 11, 58, 0, 500_000, tzinfo=UTC)
    assert (finding.alert and finding.alert.runbook_url) == "http://runbook"
    assert (notice.resolved, notice.ends_at) == (False, None)


def test_a_resolved_alert_has_the_key_it_fired_with() -> None:
    """So that it clears the finding."""
    fires = only(webhook(alert()))
    over = only(webhook(alert(status="resolved", endsAt="2026-03-01T11:59:00Z")))
    assert (over.finding.key, over.started, over.resolved) == (fires.finding.key, fires.started, True)


def test_a_warning_is_a_ticket_and_a_heartbeat_is_nothing() -> None:
    """Severity warning pages nobody; Watchdog is never a finding."""
    labels = {"alertname": "DiskFills", "job": "node", "severity": "warning"}
    read = parse_webhook(webhook(alert(labels=labels), alert(labels={"alertname": "Watchdog"})), NOW)
    assert [(one.finding.service, one.finding.severity) for one in read.notices] == [("node", "ticket")]
    assert (read.heartbeats, read.set_aside) == (1, ())


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        None,
        "alerts",
        {"version": "4"},
        {"alerts": None},
        {"alerts": {"0": alert()}},
        webhook({"status": "firing"}),
        webhook(None, 1, "x", []),
        webhook(alert(status="acknowledged")),
        webhook(alert(labels=[])),
    ],
)
def test_another_body_is_refused(body: Any) -> None:
    """What is not in the webhook's shape, or holds nothing that can be used, raises and says what is wrong."""
    with pytest.raises(MalformedError, match="version 4"):
        parse_webhook(body, NOW)


@pytest.mark.parametrize("version", ["1", "3", "5", 4, None])
def test_any_version_of_the_shape_is_taken(version: Any) -> None:
    """Grafana says 1; the shape counts."""
    assert only(webhook(alert(), version=version)).finding.service == "payments"
    assert parse_webhook(webhook(version=version), NOW).notices == ()


@pytest.mark.parametrize(
    ("value", "onset"),
    [
        ("0001-01-01T00:00:00Z", NOW),
        ("0001-01-01T00:00:00+05:00", NOW),
        ("0001-01-01T00:00:00-05:00", NOW),
        ("1970-01-01T00:00:00Z", NOW),
        ("9999-12-31T23:59:59-05:00", NOW),
        ("9999-12-31T23:59:59.999999999-23:59", NOW),
        ("2554-07-21T23:34:33Z", NOW),
        ("2026-03-01T17:28:00+05:30", NOW - timedelta(minutes=2)),
        ("2026-03-01T11:58:00.123456789Z", NOW - timedelta(seconds=119, microseconds=876_544)),
        ("2026-03-01T11:58:00", NOW - timedelta(minutes=2)),
        ("2026-03-01T11:57:60Z", NOW - timedelta(seconds=121)),
        ("2026-03-01", NOW - timedelta(hours=12)),
        (1772366280, NOW - timedelta(minutes=2)),
        (1772366280000, NOW - timedelta(minutes=2)),
        (1772366280000000000, NOW - timedelta(minutes=2)),
        ("1772366280", NOW - timedelta(minutes=2)),
        (10**300, NOW),
        (-(10**300), NOW),
        (0, NOW),
        ("2019-01-01T00:00:00Z", NOW - timedelta(days=7)),
        (None, NOW),
        ("", NOW),
        ("  ", NOW),
    ],
)
def test_any_start_time_gives_an_onset_that_can_be_looked_back_to(value: Any, onset: datetime) -> None:
    """No calendar's edge, offset, unit or gap keeps an alert from paging; the same for the end time."""
    read = parse_webhook(webhook(alert(startsAt=value), alert(endsAt=value, fingerprint="f01")), NOW)
    assert [notice.finding.onset for notice in read.notices] == [onset, NOW - timedelta(seconds=119.5)]
    assert read.set_aside == ()


@pytest.mark.parametrize("value", ["soon", "{{ .StartsAt }}", "2026-13-01T00:00:00Z", True, [], {}, "9" * 5000])
def test_a_start_time_that_cannot_be_read_is_now_and_said(value: Any) -> None:
    """The page goes out; its sender gets a message."""
    read = parse_webhook(webhook(alert(startsAt=value)), NOW)
    assert [notice.finding.onset for notice in read.notices] == [NOW]
    assert [(one.name, one.used) for one in read.set_aside] == [("HighErrors", True)]
    assert "startsAt" in read.set_aside[0].reason


def test_an_alert_without_a_start_time_is_taken() -> None:
    """As is one without annotations, fingerprint, URL or a status of its own."""
    bare = {"labels": {"alertname": "Bare"}}
    finding = only(webhook(bare)).finding
    assert (finding.service, finding.summary, finding.onset) == ("unknown_service", "Bare", NOW)


@pytest.mark.parametrize("text", ["", "  \n", "\t", None, {}, "\u200b"])
def test_a_blank_summary_falls_back(text: Any) -> None:
    """To the description, then to the alert's name."""
    notices = parse_webhook(
        webhook(
            alert(annotations={"summary": text, "description": "why"}),
            alert(annotations={"summary": text}, fingerprint="f01"),
            alert(annotations=None, fingerprint="f02"),
            alert(annotations=[text], fingerprint="f03"),
        ),
        NOW,
    ).notices
    assert len(notices) == 4
    assert all(notice.finding.summary.strip() for notice in notices)
    assert [notice.finding.summary for notice in notices[2:]] == ["HighErrors", "HighErrors"]


@pytest.mark.parametrize(
    ("service", "kept"),
    [
        ("", "unknown_service"),
        ("   ", "unknown_service"),
        ("\n\t", "unknown_service"),
        (None, "unknown_service"),
        (" payments ", "payments"),
        (7, "7"),
        (True, "true"),
        ("a\x00b", "a\N{REPLACEMENT CHARACTER}b"),
        ("\u200b", "(blank)"),
    ],
)
def test_a_service_is_a_name_of_one_line(service: Any, kept: str) -> None:
    """Never blank, whatever type or character the label holds."""
    assert only(webhook(alert(labels={"alertname": "A", "service": service}))).finding.service == kept


@pytest.mark.parametrize("size", [256, 300, 100_000])
def test_long_texts_are_bounded_and_stay_apart(size: int) -> None:
    """Names by a hash at their end, prose by an ellipsis."""
    long = "x" * size
    bodies = [
        alert(
            labels={"alertname": long, "service": long + end, "note": long},
            annotations={"summary": long},
            fingerprint=long + end,
        )
        for end in ("a", "b")
    ]
    first, second = (notice.finding for notice in parse_webhook(webhook(*bodies), NOW).notices)
    assert first.key != second.key
    assert first.service != second.service
    assert first.alert is not None
    assert max(len(first.service), len(first.signal), len(first.alert.name)) <= LONGEST_NAME
    assert len(first.summary) <= LONGEST_SUMMARY
    assert len(first.alert.labels) + len(first.alert.url) + len(first.alert.runbook_url) < 10_000


def test_one_bad_alert_costs_no_other() -> None:
    """It is named with its place and reason."""
    read = parse_webhook(webhook(alert(), "x", alert(labels=None), alert(status=7), alert(fingerprint="f01")), NOW)
    assert len(read.notices) == 2
    assert [one.index for one in read.set_aside] == [1, 2, 3]
    assert all(word in one.reason for word, one in zip(("object", "labels", "status"), read.set_aside, strict=True))


def test_alerts_that_the_sender_left_out_are_reported() -> None:
    """In the summary, which reaches whoever is paged."""
    read = parse_webhook(webhook(alert(), truncatedAlerts=3), NOW)
    assert read.truncated == 3
    assert "+3 alerts" in read.notices[0].finding.summary
    for odd in (0, -1, "3", None, True, 10**30, 1.5):
        assert parse_webhook(webhook(alert(), truncatedAlerts=odd), NOW).truncated == 0


def test_a_body_with_too_many_alerts_is_read_as_far_as_allowed() -> None:
    """The rest is set aside, and counted."""
    read = parse_webhook(webhook(*(alert(fingerprint=str(number)) for number in range(7))), NOW, most=5)
    assert (len(read.notices), [one.index for one in read.set_aside]) == (5, [5, 6])
    assert "ingest.alerts_per_request" in read.set_aside[0].reason


def firing(db: Database, mark: str) -> list[Finding]:
    return [finding for finding in read_alerts(db, datetime.now(UTC))[0] if finding.signal.startswith(mark)]


@pytest.mark.xdist_group("collectors")
def test_alerts_come_and_go_over_http(roles: OwnRoles, http: httpx.Client) -> None:
    """A posted alert fires in the state until its resolution is posted; malformed ones are 400."""
    mark = secrets.token_hex(4)
    db = Database.open(roles.config)
    for status, expected in (("firing", 1), ("resolved", 0)):
        body = webhook(alert(status=status, fingerprint=mark))
        assert http.post(ALERTS, json=body).json() == {"firing": expected, "resolved": 1 - expected}
        assert len(firing(db, mark)) == expected
    assert http.post(ALERTS, json={"version": "4"}).status_code == 400


HOSTILE: list[Any] = [
    alert(startsAt="0001-01-01T00:00:00Z"),
    alert(startsAt="0001-01-01T00:00:00+05:30"),
    alert(startsAt="9999-12-31T23:59:59-05:00", endsAt="9999-12-31T23:59:59-23:59"),
    alert(startsAt="2554-01-01T00:00:00Z"),
    alert(startsAt=1e308, endsAt=-1e308),
    alert(labels={"alertname": "A", "service": "x" * 300}),
    alert(labels={"alertname": "A", "service": "nul\x00", "half": "\ud800", "\udfff": "\x00"}),
    alert(labels={"alertname": "A", "service": " "}),
    alert(labels={"alertname": None, "service": 5, "severity": None, "list": [1, {"a": None}]}),
    alert(labels={}, annotations={"summary": "\x00\ud800" * 1000}),
    alert(annotations={"summary": "y" * 500_000}),
    alert(fingerprint="\x00" * 1000),
    alert(fingerprint=None, labels={"alertname": "🙂" * 400}),
    alert(generatorURL={"a": 1}),
    alert(labels={f"l{number}": "x" for number in range(5000)} | {"alertname": "Many", "service": "many"}),
    [],
    None,
]


@pytest.mark.xdist_group("collectors")
def test_a_good_alert_in_a_hostile_body_fires(roles: OwnRoles, http: httpx.Client) -> None:
    """Over HTTP, each hostile alert beside it; what was set aside is answered, and kept where doctor reads it."""
    db = Database.open(roles.config)
    for hostile in HOSTILE:
        mark = secrets.token_hex(4)
        body = json.dumps(webhook(hostile, alert(fingerprint=mark)))
        answer = http.post(ALERTS, content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 200, answer.text
        assert len(firing(db, mark)) == 1
    assert [one["index"] for one in answer.json()["set_aside"]] == [0]
    subjects = {problem.subject for problem in read_problems(roles.config.data_dir / "run")["ingest"]}
    assert "an alert without a name" in subjects


@pytest.mark.xdist_group("collectors")
def test_truncation_stands_where_the_operator_looks(roles: OwnRoles, http: httpx.Client) -> None:
    """In the answer and among the problems, until the sender's next whole body."""
    body = webhook(alert(fingerprint=secrets.token_hex(4)), truncatedAlerts=3, receiver="cut-" + secrets.token_hex(3))
    assert http.post(ALERTS, json=body).json()["truncated"] == 3
    run = roles.config.data_dir / "run"
    assert any("left 3 alerts out" in problem.reason for problem in read_problems(run)["ingest"])
    http.post(ALERTS, json=body | {"truncatedAlerts": 0})
    assert all(body["receiver"] not in problem.subject for problem in read_problems(run).get("ingest", ()))


@pytest.mark.xdist_group("collectors")
def test_a_storm_is_taken_and_an_alert_beside_it_is_answered(roles: OwnRoles, http: httpx.Client) -> None:
    """No answer mentions that the database is locked."""
    mark, real = secrets.token_hex(4), secrets.token_hex(4)
    storm = [{"labels": {"alertname": f"A{number}"}, "fingerprint": f"{mark}{number}"} for number in range(10_000)]
    with httpx.Client(base_url=roles.otlp_url, trust_env=False, timeout=120) as other:
        import threading

        answers: list[httpx.Response] = []
        sending = threading.Thread(target=lambda: answers.append(other.post(ALERTS, json=webhook(*storm))))
        sending.start()
        while sending.is_alive():
            answer = http.post(ALERTS, json=webhook(alert(fingerprint=real)), timeout=120)
            assert answer.status_code == 200, answer.text
            time.sleep(0.05)
        sending.join()
    assert answers[0].json() == {"firing": 10_000, "resolved": 0}
    db = Database.open(roles.config)
    assert (len(firing(db, mark)), len(firing(db, real))) == (10_000, 1)
    over = [one | {"status": "resolved"} for one in storm]
    assert http.post(ALERTS, json=webhook(*over), timeout=120).json() == {"firing": 0, "resolved": 10_000}


def case(name: str, file: str) -> Any:
    """A recorded body with its times made of now."""
    path = CASES / name / file
    if not path.exists():
        pytest.skip("the recorded bodies are not beside this clone")
    at = datetime.now(UTC)
    text = path.read_text()
    for mark, moment in (("-60s", at - timedelta(seconds=60)), ("", at)):
        text = text.replace(f"@ISONS{mark}", moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "789Z")
        text = text.replace(f"@ISO{mark}", moment.strftime("%Y-%m-%dT%H:%M:%SZ"))
    return json.loads(text)


@pytest.mark.xdist_group("collectors")
@pytest.mark.parametrize(
    ("name", "file", "marks"),
    [
        ("25-am-grafana-v1", "grafana.json", ["c25000000000000a"]),
        ("27-am-repeat-truncated-resolved", "firing.json", ["c27000000000000a"]),
        ("27-am-repeat-truncated-resolved", "mixed.json", ["c27000000000000b"]),
        ("27-am-repeat-truncated-resolved", "blank.json", ["c27000000000000c", "c27000000000000d"]),
        ("27-am-repeat-truncated-resolved", "nulls.json", ["c27000000000000e"]),
        ("28-am-lost-resolve", "firing.json", ["c28000000000000a"]),
    ],
)
def test_recorded_bodies_of_other_programs_are_taken(
    roles: OwnRoles, http: httpx.Client, name: str, file: str, marks: list[str]
) -> None:
    """Grafana's version 1, nanoseconds, truncation, blank and null annotations."""
    assert http.post(ALERTS, json=case(name, file)).status_code == 200
    db = Database.open(roles.config)
    assert all(len(firing(db, mark)) == 1 for mark in marks)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_human_resolve_ends_an_alert_whose_own_resolve_was_lost(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """It opens no incident again, until its sender says anew that it fires."""
    url = request.getfixturevalue("postgres_url") if kind == "postgresql" else f"sqlite:///{tmp_path / 's.db'}"
    db, clock = Database.open(url), FrozenClock(NOW)
    with db.write() as connection:
        for table in metadata.sorted_tables:
            connection.execute(table.delete())
    incidents = Incidents(db, clock, OnCallConfig())
    notices = parse_webhook(webhook(alert(fingerprint=secrets.token_hex(4))), NOW).notices
    record_alerts(db, notices, NOW, timedelta(hours=36))

    def observe() -> tuple[str, ...]:
        return incidents.observe(read_alerts(db, clock.now())[0], now=clock.now())

    (opened,) = observe()
    incidents.resolve(opened, Actor(name="ana", via="cli"), "over")
    for _ in range(30):
        clock.advance(60)
        assert observe() == ()
    record_alerts(db, notices, clock.now(), timedelta(hours=36))
    assert len(observe()) == 1
    db.close()
