"""Pages through Apprise: to a receiver of JSON and to a mail server, both real; and what a wrong URL says."""

from __future__ import annotations

import logging
import socket
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as Handler

from alerting.channels.ack_links import PATH
from alerting.channels.apprise import AppriseChannel
from alerting.channels.channel import ChannelContext, Message
from alerting.channels.receiver import Receiver, serving
from alerting.conformance import HOSTILE, WHY, incident
from watchkeeper.config import Config, OnCallConfig, PersonConfig
from watchkeeper.errors import ConfigError, DeliveryError
from watchkeeper.problems import Problems

SECRET = "hunter2-in-the-url"


def opened(folder: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> AppriseChannel:
    monkeypatch.setenv("OUR_ROOM_URL", url)
    settings = {"url_env": "OUR_ROOM_URL"}
    ana = PersonConfig(id="oncall", name="Ana", addresses={"teams": "the SRE room"})
    config = Config(data_dir=folder, channels={"teams": {"kind": "apprise"}}, oncall=OnCallConfig(people=(ana,)))
    context = ChannelContext(name="teams", settings=settings, config=config, problems=Problems(None))
    return AppriseChannel(context)


def page(text: str = WHY) -> Message:
    return Message(key="inc-7f3a01:3:teams", kind="page", incident=incident(), mention="the SRE room", text=text)


class Mails(Handler):
    """Keeps what arrives."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def handle_message(self, message: Any) -> None:
        parts = [part.get_payload(decode=True) for part in message.walk() if not part.is_multipart()]
        self.texts.append("\n".join(part.decode() for part in parts))


def test_a_page_goes_out_by_mail_with_the_link_that_acknowledges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By Apprise's plugin for SMTP, to a mail server of another hand."""
    mails = Mails()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Controller(mails, hostname="127.0.0.1", port=port)
    server.start()
    try:
        url = f"mailto://127.0.0.1:{port}?from=pager@example.com&to=ana@example.com&mode=insecure"
        opened(tmp_path, monkeypatch, url).send(page())
    finally:
        server.stop()
    (text,) = mails.texts
    assert "For the SRE room (inc-7f3a01:3:teams)" in text
    assert f"Acknowledge: http://127.0.0.1:8050{PATH}" in text
    assert "payments" in text


@pytest.mark.parametrize(
    ("url", "what"),
    [
        (f"nosuch://{SECRET}@host", "begins with no service that Apprise knows"),
        (SECRET, "begins with no service that Apprise knows"),
        (f"slack://{SECRET}", "is no complete slack:// URL"),
    ],
)
def test_a_wrong_url_is_named_by_its_variable_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, url: str, what: str
) -> None:
    """Neither in the error nor in any log."""
    with caplog.at_level(logging.DEBUG), pytest.raises(ValueError, match=what) as wrong:
        opened(tmp_path, monkeypatch, url)
    assert "OUR_ROOM_URL" in str(wrong.value)
    assert SECRET not in str(wrong.value) + caplog.text


def test_a_variable_that_is_not_set_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"channels\.teams\.url_env names the environment variable OUR_ROOM_URL"):
        opened(tmp_path, monkeypatch, "")


def test_what_a_service_refuses_is_tried_again_and_shows_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its answer holds what was sent; Apprise would log it."""
    receiver = Receiver(lambda path, _headers, _body: (403, {"no": path}))
    with serving(receiver) as url, caplog.at_level(logging.DEBUG):
        channel = opened(tmp_path, monkeypatch, url.replace("http://", "json://") + f"/{SECRET}")
        for name in HOSTILE:
            with pytest.raises(DeliveryError, match="JSON did not take the message") as refused:
                channel.send(page(name))
            assert (refused.value.retry, SECRET in refused.value.message) == (True, False)
    assert SECRET not in caplog.text.replace(f"POST /{SECRET}", "")
