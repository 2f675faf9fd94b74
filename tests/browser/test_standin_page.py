"""The stand-in's own page in a browser: a question with its confirmation dialog, and a request with its form."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from alerting.channels.channel import Notice, NoticeButton
from alerting.channels.slack.channel import SlackChannel
from alerting.channels.slack.experiments import APPROVE, POSTPONE, REFUSE
from alerting.channels.slack.standin.app import StandIn
from alerting.channels.slack.standin.served import serving
from alerting.incidents.commands import Incidents
from tests.browser.conftest import open_incident
from tests.waiting import until
from watchkeeper.clock import SystemClock
from watchkeeper.config import Config, OnCallConfig, PersonConfig, SlackConfig, SlackStandInConfig, WebConfig
from watchkeeper.roles.paging import Paging
from watchkeeper.roles.web import build
from watchkeeper.state.database import Database
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.vocabulary import Actor, Question

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
ANA = Actor(name="Ana Sousa", via="cli")


@pytest.fixture
def slack(tmp_path: Path) -> Iterator[tuple[Config, Incidents, Database]]:
    """A stand-in and a web role."""
    slack_port, web_port = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    people = (PersonConfig(id="oncall", name="Ana Sousa", addresses={"slack": "UANA"}),)
    config = Config(
        data_dir=tmp_path,
        oncall=OnCallConfig(people=people),
        web=WebConfig(port=web_port.getsockname()[1]),
        slack=SlackConfig(stand_in=SlackStandInConfig(port=slack_port.getsockname()[1])),
    )
    db = Database.open(config)
    stand_in = StandIn(config, lambda: f"{config.web_url}/slack/events")
    with (
        serving(stand_in.application(), slack_port),
        serving(build(config, Telemetry.connect(config), db), web_port),
    ):
        yield config, Incidents(db, SystemClock(), config.oncall), db
    db.close()


def test_buttons_dialogs_and_forms_are_as_in_slack(
    slack: tuple[Config, Incidents, Database], browser: Browser, tmp_path: Path
) -> None:
    """An answer is confirmed first; a time is asked for, and what is refused is shown. Looked at."""
    config, incidents, db = slack
    incident_id = open_incident(incidents, "payments")
    proposal = incidents.get(incident_id).proposal
    assert proposal is not None
    Paging(config, db, incidents).run(SystemClock().now())
    incidents.approve(incident_id, ANA, "a", proposal.id)
    incidents.run_started(incident_id, "s", run="run-1")
    question = Question(
        run="run-1", step=1, asked=1, text="Is the nightly batch over?", choices=("yes", "no"), confirm=("no",),
        until=datetime.now(UTC) + timedelta(minutes=10),
    )  # fmt: skip
    incidents.run_asked(incident_id, "q", question=question)
    Paging(config, db, incidents).run(SystemClock().now() + timedelta(seconds=2))
    token = "payments-slow@2026-12-01T10:00:00+00:00"
    notice = Notice(
        key="experiment",
        title="Experiment payments-slow",
        text="Orders are taken while payments is slow\nWaits for approval: 0 of 1",
        facts=(
            ("Does", "payments is slow: latency in payments for 30 s"),
            ("Blast radius", "payments; callers: orders, web"),
            ("Due", datetime(2026, 12, 1, 10, tzinfo=UTC)),
            ("Stop it by", "the button Stop here or on the page Chaos, or `watchkeeper chaos stop`"),
        ),
        mentions=("UANA",),
        buttons=(
            NoticeButton(action=APPROVE, label="Approve", value=f"{token} x", style="primary"),
            NoticeButton(action=REFUSE, label="Refuse", value=f"{token} x"),
            NoticeButton(action=POSTPONE, label="Postpone", value=f"{token} x"),
        ),
    )
    SlackChannel(config).show_notice(notice, None)
    page = browser.new_page(viewport={"width": 1100, "height": 1300})
    page.set_default_timeout(120_000)
    page.goto(f"http://127.0.0.1:{config.slack.stand_in.port}/")
    page.locator("summary").first.click()
    status = page.locator("article p", has_text="Waits for approval: 0 of 1")
    assert status.inner_text().splitlines()[:2] == [
        "Orders are taken while payments is slow",
        "Waits for approval: 0 of 1",
    ]
    page.screenshot(path=tmp_path / "standin.png")
    page.get_by_role("button", name="no", exact=True).click()
    dialog = page.locator("#modal")
    expect(dialog).to_contain_text("Answer “no”?")
    page.screenshot(path=tmp_path / "standin-confirm.png")
    dialog.get_by_role("button", name="Cancel").click()
    assert incidents.get(incident_id).questions[0].is_open
    page.get_by_role("button", name="no", exact=True).click()
    dialog.get_by_role("button", name="Answer no").click()
    until(lambda: incidents.get(incident_id).questions[0].answer == "no", what="the answer")
    page.get_by_role("button", name="Postpone").click()
    expect(dialog.locator("input[type=datetime-local]")).not_to_have_value("")
    page.screenshot(path=tmp_path / "standin-postpone.png")
    dialog.get_by_role("button", name="Postpone").click()
    expect(page.locator("#whisper")).to_contain_text("that run is unknown")
    page.close()


def test_the_line_below_the_messages_gives_orders(
    slack: tuple[Config, Incidents, Database], browser: Browser, tmp_path: Path
) -> None:
    """The answer is shown as Slack shows it; an order that opens a form opens it. Looked at."""
    config, incidents, _ = slack
    incident_id = open_incident(incidents, "payments")
    page = browser.new_page(viewport={"width": 1024, "height": 700})
    page.goto(f"http://127.0.0.1:{config.slack.stand_in.port}/")
    page.get_by_label("/watch").fill("status")
    page.keyboard.press("Enter")
    expect(page.locator("#answer")).to_contain_text("1 open incident")
    expect(page.locator("#answer").get_by_role("link", name=incident_id)).to_be_visible()
    page.screenshot(path=tmp_path / "command.png")
    page.get_by_label("/watch").fill(f"label {incident_id}")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Label")).to_be_visible()
    page.close()
