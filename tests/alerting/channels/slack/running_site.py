"""A running stand-in and web role, and what a test does with them."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlencode

import httpx

from alerting.channels.slack.standin.app import StandIn
from alerting.incidents.commands import Incidents
from tests.waiting import until
from watchkeeper.clock import SystemClock
from watchkeeper.config import Config, PersonConfig
from watchkeeper.roles.paging import Paging
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Diagnosis, Evidence, Finding, Proposal, Suspect

T = TypeVar("T")
PEOPLE = (
    PersonConfig(id="oncall", name="Ana", addresses={"slack": "UANA"}),
    PersonConfig(id="ben", name="Ben", addresses={"slack": "UBEN"}),
)


def finding(service: str = "payments", **changes: Any) -> Finding:
    """Payments fails."""
    now = datetime.now(UTC)
    values: dict[str, Any] = {
        "detector": "errors",
        "detector_version": "1",
        "kind": "errors",
        "service": service,
        "summary": f"{service}: errors 31 % (usually 0.2 %)",
        "onset": now,
        "seen_at": now,
        "score": 0.9,
    }
    return Finding(**(values | changes))


def diagnosis(*services: str, reason: str = "errors begin there") -> Diagnosis:
    """Suspects, best first."""
    now = datetime.now(UTC)
    evidence = (Evidence(kind="errors", weight=2.0, sentence="fails 31 % of requests; its callers fail after it"),)
    suspects = tuple(
        Suspect(service=name, score=9.0 - i, probability=0.8 / (i + 1), mechanism="database", evidence=evidence)
        for i, name in enumerate(services)
    )
    return Diagnosis(
        onset=now, made_at=now, suspects=suspects, abstained=not suspects, reason=reason, engine_version="1"
    )


PROPOSAL = Proposal(
    runbook="unlock-database",
    title="End the session that holds the lock",
    service="orders-db",
    steps=("Find the session that holds the lock", "End it", "Check that orders answers again"),
    blast_radius="one session of orders-db",
    undo="none needed: the session's transaction is rolled back",
)


@dataclass
class Site:
    """Everything that runs, and what a test does with it."""

    config: Config
    db: Database
    incidents: Incidents
    stand_in: StandIn
    slack: httpx.Client
    web: httpx.Client

    def page(self, service: str = "payments") -> str:
        """Open an incident, diagnose it, page, and send: its id."""
        (incident_id,) = self.incidents.observe([finding(service)])
        self.incidents.diagnosed(incident_id, diagnosis("orders-db", service), PROPOSAL, "first")
        self.incidents.page(incident_id)
        self.send()
        return incident_id

    def now(self, later_s: float = 0.0) -> datetime:
        """The time, now or somewhat later."""
        return SystemClock().now() + timedelta(seconds=later_s)

    def send(self, later_s: float = 0.0) -> None:
        """Let the outbox deliver what is due, now or somewhat later."""
        Paging(self.config, self.db, self.incidents).run(SystemClock().now() + timedelta(seconds=later_s))

    def board(self) -> dict[str, Any]:
        """What humans see."""
        answer: dict[str, Any] = self.slack.get("/standin/messages").json()
        return answer

    def message(self) -> dict[str, Any]:
        """The only message there is."""
        (message,) = self.board()["messages"]
        found: dict[str, Any] = message
        return found

    def press(self, action: str, user: str = "UANA") -> httpx.Response:
        """Press a button of the only message."""
        body = {"channel": "C0INCIDENTS", "ts": self.message()["ts"], "action_id": action, "user": user}
        return self.slack.post("/standin/press", json=body)

    def submit(self, view: Mapping[str, Any], values: Mapping[str, str], user: str = "UANA") -> httpx.Response:
        """Submit a form."""
        return self.slack.post("/standin/submit", json={"view_id": view["id"], "values": dict(values), "user": user})

    def signed(self, body: bytes, *, age_s: float = 0.0, secret: str | None = None, **headers: str) -> httpx.Response:
        """Send a body to the web role with Slack's signature over it."""
        stamp = str(int(time.time() - age_s))
        key = (secret or self.config.slack_signing_secret()).encode()
        signature = "v0=" + hmac.new(key, b"v0:" + stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
        known = {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Slack-Request-Timestamp": stamp,
            "X-Slack-Signature": signature,
        }
        return self.web.post("/slack/events", content=body, headers=known | headers)

    def until(self, holds: Callable[[], T]) -> T:
        """What `holds` gives, as soon as it is true: commands run after Slack has its answer."""
        return until(holds, every_s=0.01)

    def whisper(self, user: str, start: str) -> str:
        """Wait for a message that one person alone can see."""
        whispers = self.until(
            lambda: [w for w in self.board()["whispers"] if w["user"] == user and w["text"].startswith(start)]
        )
        return str(whispers[-1]["text"])

    def token(self) -> dict[str, str]:
        """The header of a caller with the local token."""
        return {"Authorization": f"Bearer {self.config.secret('commands')}"}


def form(payload: Any) -> bytes:
    """A payload as Slack sends it."""
    return urlencode({"payload": json.dumps(payload)}).encode()


def pressed(incident_id: str, action: str = "acknowledge", at: str = "1.0", user: str = "UANA") -> dict[str, Any]:
    """The payload of a press."""
    return {
        "type": "block_actions",
        "user": {"id": user, "username": user.lower(), "team_id": "T0LOCAL"},
        "team": {"id": "T0LOCAL", "domain": "local"},
        "api_app_id": "A0WATCHKEEPER",
        "channel": {"id": "C0INCIDENTS", "name": "incidents"},
        "container": {"type": "message", "message_ts": "1.0", "channel_id": "C0INCIDENTS"},
        "trigger_id": "1.2",
        "actions": [{"action_id": action, "block_id": "b", "type": "button", "value": incident_id, "action_ts": at}],
    }
