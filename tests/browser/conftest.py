"""A real store, a real web role and the system's Chromium, with a small shop in which payments fails."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from alerting.incidents.commands import Incidents
from bench.own_roles import OwnRoles, loader_of
from detectors.learning import versions as registry
from detectors.learning.loop import Learner
from watchkeeper.clock import SystemClock
from watchkeeper.config import Config, GateConfig, LearningConfig
from watchkeeper.ports import free_port
from watchkeeper.roles import ready
from watchkeeper.state.changes import record_change
from watchkeeper.state.database import Database
from watchkeeper.state.labels import record_label
from watchkeeper.vocabulary import Actor, ChangeEvent, Diagnosis, Evidence, Finding, Label, Proposal, Suspect

# The headless shell is the same engine without a window's surroundings: a page takes a third less time.
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
expect.set_options(timeout=120_000)  # a busy machine is slow, not wrong
QUIET = "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync"
# Twenty minutes of requests: web calls payments; in the last five, payments fails and is slow.
SPANS = """
INSERT INTO otel.otel_traces
    (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, Duration, StatusCode)
SELECT fromUnixTimestamp64Nano(toInt64({now} - 1200 + number / 4) * 1000000000) AS at,
    hex(sipHash128(number)), hex(sipHash64(number, part)), if(part = 0, '', hex(sipHash64(number, toUInt8(part - 1)))),
    ['GET /checkout', 'POST', 'POST /charge'][part + 1], ['Server', 'Client', 'Server'][part + 1],
    ['web', 'web', 'payments'][part + 1],
    toUInt64(if(number > 3600, 600, 30) * [1.3, 1.1, 1][part + 1] * 1000000),
    if(number > 3600 AND number % 3 = 0, 'Error', 'Unset')
FROM numbers(4800) ARRAY JOIN [0, 1, 2] AS part
"""
EDGES = """
INSERT INTO otel.edges (bucket, caller, callee, source, calls, errors, client_ns_sum, server_calls, server_ns_sum)
SELECT toDateTime(intDiv({now} - 1200 + number * 5, 5) * 5), 'web', 'payments', 'span', 20, if(number > 180, 6, 0),
    toUInt64(20 * 33000000), 20, toUInt64(20 * 30000000) FROM numbers(240)
"""


@dataclass
class Site:
    """The running web role, and the incident of `payments` that stays open in it."""

    url: str
    token: str
    incidents: Incidents
    incident_id: str
    database: Database
    experiments: Path  # the folder of experiment files
    config: Config
    fails_since: datetime  # when payments began to fail


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Started once: nothing in these tests needs a state of its own but what it presses."""
    people = [
        {"id": "ana", "name": "Ana Sousa", "addresses": {"slack": "UANA"}},
        {"id": "ben", "name": "Ben Okoro", "addresses": {"slack": "UBEN"}},
    ]
    schedule = {"id": "primary", "layers": [{"people": ["ana", "ben"], "turn_hours": 24}], "fallback": "ben"}
    experiments = tmp_path_factory.mktemp("experiments")
    changes = {
        "chaos": {"folder": str(experiments)},
        "web": {"port": free_port()},
        "slack": {"stand_in": {"enabled": False}},
        "oncall": {"people": people, "schedules": [schedule], "escalation": [{"after_s": 0, "notify": "primary"}]},
    }
    with OwnRoles(tmp_path_factory.mktemp("site"), changes) as own:
        own.start("store")
        store = loader_of(own.config)
        now = int(datetime.now(UTC).timestamp())
        store.run(SPANS.format(now=now), b"")
        store.run(EDGES.format(now=now), b"")
        database = Database.open(own.config)
        incidents = Incidents(database, SystemClock(), own.config.oncall)
        at = datetime.now(UTC) - timedelta(minutes=6)
        record_change(database, ChangeEvent(id="d-1", at=at, kind="deploy", service="payments", title="New endpoint"))
        teach(database, incidents)
        incident_id = open_incident(incidents, "payments")
        ready.announce(own.config, "watch", {})  # pages judge only while somebody watches; this process stands in
        own.start("web")
        url = f"http://127.0.0.1:{own.config.web.port}"
        token = own.config.secret("commands")
        yield Site(
            url=url,
            token=token,
            incidents=incidents,
            incident_id=incident_id,
            database=database,
            experiments=experiments,
            config=own.config,
            fails_since=datetime.fromtimestamp(now - 300, UTC),
        )
        database.close()


def teach(database: Database, incidents: Incidents) -> None:
    """Ten incidents that people and chaos judged, a version trained on them, and what it suppresses."""
    now = datetime.now(UTC)
    who = Actor(name="Ana Sousa", via="slack")
    for number in range(10):
        real = number % 2 == 0
        slow = slow_finding(f"depot-{number}", 900.0 if real else 140.0)
        (incident_id,) = incidents.observe([slow], now=now)
        incidents.observe([], now=now)
        verdict = Label(
            id=f"h{number}",
            incident_id=incident_id,
            source="human",
            author="Ana Sousa",
            at=now,
            warranted=real,
            cause=slow.service if real else None,
        )
        incidents.resolve(incident_id, who, f"resolve:{number}", verdict)
        record_label(database, replace(verdict, id=f"c{number}", source="chaos", author="chaos"))
    Learner(database, SystemClock(), LearningConfig(automatic=False)).run(datetime.now(UTC))
    rules = GateConfig(shadow_s=0, canary_s=0, canary_labels=0)
    for _ in range(2):
        registry.promote(database, 1, actor="ana", now=datetime.now(UTC), rules=rules)
    learner = Learner(database, SystemClock())
    incidents.observe(learner.judge([slow_finding("depot-99", 120.0)], datetime.now(UTC)), now=datetime.now(UTC))


def slow_finding(service: str, latency_ms: float) -> Finding:
    """A service whose requests take longer than the usual 20 ms."""
    now = datetime.now(UTC)
    return Finding(
        detector="red.latency",
        detector_version="1",
        kind="latency",
        service=service,
        summary=f"{service} GET /stock takes {latency_ms:.0f} ms (usually 20 ms)",
        onset=now - timedelta(seconds=15),
        seen_at=now,
        score=0.52,
        value=latency_ms,
        expected=20.0,
        unit="ms",
    )


def open_incident(incidents: Incidents, service: str, now: datetime | None = None, accused: str = "") -> str:
    """A service fails since five minutes, after a deploy; diagnosed, with a runbook proposed, and paged.

    Two tests need two services: what fails anew belongs to the incident that was there. `accused` has telemetry.
    """
    now = now or datetime.now(UTC)
    onset = now - timedelta(minutes=5)
    finding = Finding(
        detector="red",
        detector_version="v1",
        kind="errors",
        service=service,
        summary=f"{service}: 33 % of requests fail, expected 0 %",
        onset=onset,
        seen_at=now,
        score=0.9,
    )
    others = [f for i in incidents.list("open") for f in i.findings]
    (incident_id,) = incidents.observe([*others, finding], now=now)
    sentence = f"{service} fails 33 % of its requests"
    suspect = Suspect(
        service=accused or service,
        score=2.0,
        probability=0.9,
        mechanism="deploy",
        evidence=(Evidence(kind="errors", weight=2.0, sentence=sentence, signal="errors"),),
        change_id="d-1",
    )
    diagnosis = Diagnosis(
        onset=onset, made_at=now, suspects=(suspect,), abstained=False, reason=sentence, engine_version="rca-1"
    )
    proposal = Proposal(
        runbook="roll-back-deploy",
        title="Roll back the last deploy",
        service=service,
        steps=("Deploy the version before",),
        blast_radius=f"{service} only",
        undo="Deploy it again",
    )
    incidents.diagnosed(incident_id, diagnosis, proposal, "diagnosis:1")
    incidents.page(incident_id)
    return incident_id


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium, started once a module: while it runs, its event loop leaves none for other tests."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here: install Debian's `chromium-headless-shell`")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET.split())
        yield chromium
        chromium.close()


@pytest.fixture
def page(site: Site, browser: Browser) -> Iterator[Page]:
    """A fresh browser without a session; the test fails if the page complains on the console."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, timezone_id="Asia/Tokyo", color_scheme="light", locale="en-GB"
    )
    opened = context.new_page()
    opened.set_default_timeout(120_000)
    complaints: list[str] = []
    opened.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda r: complaints.append(f"foreign: {r.url}") if _is_foreign(r.url, site.url) else None)
    yield opened
    context.close()
    assert complaints == []


def _is_foreign(url: str, own: str) -> bool:
    return not url.startswith((own, "data:", "blob:"))


@pytest.fixture
def show(page: Page, site: Site) -> Callable[[str], Any]:
    """Open an address of the dashboard and wait until the page is drawn."""

    def show(path: str) -> None:
        page.goto(site.url + path)
        page.wait_for_selector("#live h1", state="attached")

    return show


@pytest.fixture
def signed_in(page: Page, site: Site) -> None:
    """Ana signs in with the token."""
    page.goto(f"{site.url}/sign-in")
    page.fill("#token", site.token)
    page.select_option("#as", "ana")
    page.click("button")
    page.wait_for_selector("#live h1", state="attached")
