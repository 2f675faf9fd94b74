"""kill -9 of the web role around a press: what Slack heard of is kept, and what it did not can be pressed again."""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from pathlib import Path

import httpx
import pytest

from alerting.incidents.commands import Incidents
from bench.own_roles import OwnRoles
from tests.alerting.channels.slack.running_site import PROPOSAL, diagnosis, finding, form, pressed
from watchkeeper.clock import SystemClock
from watchkeeper.ports import free_port
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor, Question

pytestmark = pytest.mark.slow
PEOPLE = [{"id": "ana", "name": "Ana", "addresses": {"slack": "UANA"}}]
# Before the request, around its record, and after it: in seconds after it was sent.
KILLS = (0.0, 0.01, 0.03, 0.1)


def press(own: OwnRoles, body: bytes) -> int:
    """The status of a signed request; 0: the role died before it answered."""
    stamp = str(int(time.time()))
    key = own.config.slack_signing_secret().encode()
    signature = "v0=" + hmac.new(key, b"v0:" + stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Slack-Request-Timestamp": stamp,
        "X-Slack-Signature": signature,
    }
    try:
        return httpx.post(
            f"{own.config.web_url}/slack/events", content=body, headers=headers, timeout=60, trust_env=False
        ).status_code
    except httpx.HTTPError:
        return 0


def test_a_kill_around_a_press_neither_loses_nor_doubles(tmp_path: Path) -> None:
    """Answered to Slack means kept; pressed again, it counts once."""
    changes = {
        "web": {"port": free_port()},
        "slack": {"stand_in": {"port": free_port()}},
        "oncall": {"people": PEOPLE, "schedules": [{"id": "primary", "layers": [{"people": ["ana"]}]}],
                   "escalation": [{"after_s": 0, "notify": "primary"}]},
    }  # fmt: skip
    with OwnRoles(tmp_path, changes) as own:
        own.start("standin")
        db = Database.open(own.config)
        incidents = Incidents.configured(own.config, db, SystemClock())
        (incident_id,) = incidents.observe([finding("payments")])
        incidents.diagnosed(incident_id, diagnosis("orders-db"), PROPOSAL, "first")
        incidents.approve(incident_id, Actor(name="Ana", via="cli"), "a", PROPOSAL.id)
        incidents.run_started(incident_id, "s", run="run-1")
        for number, delay_s in enumerate(KILLS):
            question = Question(run="run-1", step=number, asked=1, text=f"Go on, {number}?", choices=("yes", "no"))
            incidents.run_asked(incident_id, question.id, question=question)
            body = form(pressed(f"{incident_id} {question.id} yes", "answer:0", at=f"{number}.1"))
            own.start("web")
            killer = threading.Timer(delay_s, own.processes["web"].kill)
            killer.start()
            status = press(own, body)
            killer.join()
            own.kill("web")
            asked = incidents.get(incident_id).questions[number]
            assert asked.answer == "yes" or status != 200, "Slack heard of a press that was lost"
            own.start("web")
            assert press(own, body) == 200
            assert incidents.get(incident_id).questions[number].answer == "yes"
            own.kill("web")
        kinds = [entry.kind for entry in incidents.get(incident_id).timeline]
        assert kinds.count("run_answered") == len(KILLS)
        db.close()
