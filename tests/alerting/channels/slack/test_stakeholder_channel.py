"""Stakeholders in a channel of Slack: informed by what a signed form changes, without a mention, once."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import func, select, update

from alerting.status_page.informing import Informing
from tests.alerting.channels.slack.running_site import Site, form
from watchkeeper.clock import SystemClock
from watchkeeper.config_oncall import StakeholderRule
from watchkeeper.problems import Problems
from watchkeeper.state.schema import outbox

LEADERS = "C0LEADERS"
RULE = StakeholderRule(id="leaders", severities=("SEV1",), slack_channels=(LEADERS,))


@pytest.fixture
def informed(site: Site) -> Iterator[Site]:
    """The site with a channel of leaders, whom SEV1 concerns."""
    site.config.oncall.__dict__["stakeholders"] = (RULE,)
    site.stand_in.workspace.others = frozenset({LEADERS})
    yield site
    for message in site.board()["others"][LEADERS]:
        site.slack.post("/standin/delete", json={"channel": LEADERS, "ts": message["ts"]})
    site.config.oncall.__dict__["stakeholders"] = ()
    site.stand_in.workspace.others = frozenset()


def posted(site: Site) -> list[dict[str, Any]]:
    """What stands in the leaders' channel, the oldest first."""
    Informing(site.config, site.db, SystemClock(), Problems(None)).run()
    site.send()
    messages: list[dict[str, Any]] = site.board()["others"][LEADERS]
    return messages[::-1]


def raised(incident_id: str) -> bytes:
    """The form in which Ana makes it SEV1, as Slack sends it."""
    values = {
        "level": {"level": {"selected_option": {"value": "SEV1"}}},
        "reason": {"reason": {"value": "the bank of ACME"}},
    }
    view = {"id": f"V{secrets.token_hex(4)}", "callback_id": "severity", "private_metadata": f"{incident_id} SEV2"}
    return form({"type": "view_submission", "user": {"id": "UANA"}, "view": view | {"state": {"values": values}}})


def test_a_signed_change_of_severity_informs_the_channel_once(informed: Site) -> None:
    """In words that hold nothing internal; nobody is mentioned, and the pages' channel has nothing of it."""
    incident_id = informed.page()
    assert posted(informed) == []
    assert informed.signed(raised(incident_id)).text == ""
    informed.until(lambda: informed.incidents.get(incident_id).level == "SEV1")
    for _ in range(2):
        (message,) = posted(informed)
    shown = json.dumps(message["blocks"]) + message["text"]
    assert "SEV1: a part of the system, investigating" in shown
    for inside in (incident_id, "payments", "Ana", "ACME", "errors", "<@", "<!"):
        assert inside not in shown
    assert len(informed.board()["messages"]) == 1


def test_what_was_posted_before_a_kill_is_found_in_that_channel(informed: Site) -> None:
    """Its record was lost: the second try finds it by its key, and posts nothing."""
    incident_id = informed.page()
    informed.signed(raised(incident_id))
    informed.until(lambda: informed.incidents.get(incident_id).level == "SEV1")
    (message,) = posted(informed)
    lost = {"sent_at": None, "leased_until": 0, "attempts": 1, "due_at": 0}
    with informed.db.write() as connection:
        news = update(outbox).where(outbox.c.incident_id.like("news-%"))
        assert connection.execute(news.values(**lost)).rowcount == 1
    (again,) = posted(informed)
    assert again["ts"] == message["ts"]
    with informed.db.read() as connection:
        assert connection.scalar(select(func.count()).where(outbox.c.sent_at.is_(None))) == 0
