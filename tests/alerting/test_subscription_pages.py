"""The pages on which the public subscribes, confirms and unsubscribes: no GET changes anything, nothing is told."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from mailing_worker import configured
from subscribed import Inbox, Installed, receiving, text

from alerting.channels.slack.standin.served import serving
from alerting.incidents.commands import Incidents
from alerting.status_page.subscribers import Subscribers
from watchkeeper.clock import FrozenClock, SystemClock
from watchkeeper.roles.web import build
from watchkeeper.state.database import Database
from watchkeeper.store.telemetry import Telemetry


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with receiving() as taken:
        yield taken


class Browsed(Installed):
    """The same, with its web role serving; `browser` comes from the public address, as through a proxy."""

    browser: httpx.Client


@pytest.fixture
def browsed(db: Database, clock: FrozenClock, incidents: Incidents, inbox: Inbox, tmp_path: Path) -> Iterator[Browsed]:
    config = configured(tmp_path, inbox.port)
    listener = socket.create_server(("127.0.0.1", 0))
    made = Browsed(db, clock, incidents, config)
    made.clock = SystemClock()  # type: ignore[assignment]
    made.subscribers, made.mailing = Subscribers(db, SystemClock(), config), made.worker()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    made.browser = httpx.Client(base_url=url, headers={"Host": "watch.example"}, timeout=120, trust_env=False)
    with serving(build(config, Telemetry.connect(config), db), listener), made.browser:
        yield made


def link(mail: EmailMessage, name: str) -> str:
    found = re.search(rf"{name}: (\S+)", text(mail))
    assert found is not None, text(mail)
    return urlsplit(found.group(1)).path


def test_from_the_form_to_the_last_e_mail(browsed: Browsed, inbox: Inbox) -> None:
    """Looking at a link changes nothing; one press in the mail program ends it, without a cookie or an origin."""
    web = browsed.browser
    form = web.get("/status-updates/subscribe").text
    assert 'name="component" value="search"' in form
    assert "form-action 'self'" in web.get("/status-updates/subscribe").headers["content-security-policy"]
    asked = web.post("/status-updates/subscribe", data={"address": "eve@x.example", "component": "checkout"})
    assert (asked.status_code, "with a link is on its way" in asked.text) == (200, True)
    browsed.post("Before.", "checkout")
    browsed.mailing.run()
    confirm = link(inbox.mails[0], "Confirm")
    for method in ("GET", "HEAD", "GET"):
        web.request(method, confirm)
    assert browsed.states() == {"eve@x.example": "pending"}
    assert "Updates come for Checkout." in web.get(confirm).text
    assert "<h1>Subscribed</h1>" in web.post(confirm).text
    assert "<h1>Subscribed</h1>" in web.post(confirm).text
    assert browsed.states() == {"eve@x.example": "confirmed"}
    browsed.post("After.", "checkout")
    browsed.mailing.run()
    assert [text(mail).splitlines()[2] for mail in inbox.mails[1:]] == ["After."]
    end = link(inbox.mails[1], "Unsubscribe")
    assert "<h1>Unsubscribe?</h1>" in web.get(end).text
    assert browsed.states() == {"eve@x.example": "confirmed"}
    assert web.post(end, data={"List-Unsubscribe": "One-Click"}).status_code == 200
    assert browsed.states() == {}
    assert "You are not subscribed any more" in web.post(end).text
    assert "not valid any more" in web.post(confirm).text


def test_the_form_does_not_tell_who_is_subscribed(browsed: Browsed) -> None:
    """The answer is the same; what is wrong is said."""
    browsed.add("eve@x.example")
    web = browsed.browser
    answers = {
        web.post("/status-updates/subscribe", data={"address": address}).text
        for address in ("eve@x.example", "new@x.example", "eve@x.example")
    }
    assert len(answers) == 1
    wrong = web.post("/status-updates/subscribe", data={"address": "<b>eve"})
    assert (wrong.status_code, "must be an e-mail address" in wrong.text, "<b>eve" in wrong.text) == (422, True, False)
    elsewhere = web.post(
        "/status-updates/subscribe", data={"address": "x@x.example"}, headers={"Origin": "https://evil.example"}
    )
    assert elsewhere.status_code == 403


def test_a_forged_link_does_nothing(browsed: Browsed) -> None:
    """Nor one of the other purpose."""
    browsed.add("eve@x.example")
    (one,) = browsed.subscribers.list()
    token = browsed.subscribers.ending_url(one.id).rpartition("/")[2]
    body, _, signature = token.partition(".")
    confirming = browsed.subscribers.confirming_url(one.id).rpartition("/")[2]
    for wrong in (f"{body}.", body, f"{body}.{signature[::-1]}", confirming, "ä", "A" * 900):
        browsed.browser.post(f"/status-updates/unsubscribe/{wrong}")
    for wrong in (token, f"{confirming.partition('.')[0]}.{signature}", "x"):
        assert browsed.browser.post(f"/status-updates/confirm/{wrong}").status_code == 404
    assert browsed.states() == {"eve@x.example": "confirmed"}
