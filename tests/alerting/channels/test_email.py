"""E-mail, over a mail server that is not ours: what arrives, what is refused, and the link that acknowledges."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from structlog.testing import capture_logs

from alerting.channels.ack_links import PATH, AckLinks
from alerting.channels.channel import ChannelContext, Digest
from alerting.channels.email.channel import EmailChannel
from alerting.channels.email.part import EMAIL
from alerting.channels.slack.standin.served import serving
from alerting.conformance import incident, page
from alerting.incidents.commands import Incidents
from tests.alerting.protocol import finding
from watchkeeper.clock import FrozenClock, SystemClock
from watchkeeper.config import Config, OnCallConfig, PersonConfig, WebConfig
from watchkeeper.errors import DeliveryError
from watchkeeper.problems import Problems
from watchkeeper.roles.paging import Paging
from watchkeeper.roles.web import build
from watchkeeper.state.database import Database
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.vocabulary import Actor

PASSWORD = "correct horse battery"
ANA = PersonConfig(id="ana", name="Ana", addresses={"email": "ana@example.com"})


class Inbox:
    """What the server kept, and what it refuses: an answer for a recipient."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.refuses = ""

    async def handle_RCPT(self, server, session, envelope, address, options):  # type: ignore[no-untyped-def] # noqa: N802
        if self.refuses:
            return self.refuses
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # type: ignore[no-untyped-def] # noqa: N802
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"


class Server:
    """A mail server on loopback with TLS and a login, as a provider's."""

    def __init__(self, folder: Path) -> None:
        self.inbox, self.certificate, key = Inbox(), folder / "cert.pem", folder / "key.pem"
        subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        made = ("-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(self.certificate))
        subprocess.run(["openssl", "req", "-x509", "-days", "2", *made, *subject], check=True, capture_output=True)
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(self.certificate, key)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.controller = Controller(
            self.inbox,
            hostname="127.0.0.1",
            port=self.port,
            tls_context=tls,
            require_starttls=True,
            auth_required=True,
            authenticator=self._check,
        )

    @staticmethod
    def _check(server, session, envelope, mechanism, given):  # type: ignore[no-untyped-def]
        right = isinstance(given, LoginPassword) and given == LoginPassword(b"pager", PASSWORD.encode())
        return AuthResult(success=right, handled=right)

    def settings(self, **changes: Any) -> dict[str, Any]:
        settings = {"host": "127.0.0.1", "port": self.port, "sender": "Watchkeeper <pager@example.com>"}
        login = {"user": "pager", "password_env": "MAIL_PASSWORD", "ca_file": str(self.certificate)}
        return {name: value for name, value in (settings | login | changes).items() if value is not None}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server, while it runs."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl makes certificates here")
    monkeypatch.setenv("MAIL_PASSWORD", PASSWORD)
    served = Server(tmp_path)
    served.controller.start()
    yield served
    served.controller.stop()


def channel(server: Server, folder: Path, clock: FrozenClock, **changes: Any) -> EmailChannel:
    config = Config(
        data_dir=folder,
        channels={"email": server.settings()},
        oncall=OnCallConfig.model_validate(
            {"people": [ANA], "schedules": [{"id": "primary", "layers": [{"people": ["ana"]}]}]}
        ),
        web=WebConfig(public_url="https://watch.example"),
    )
    context = ChannelContext(name="email", settings=server.settings(**changes), config=config, problems=Problems(None))
    return EmailChannel(context, clock)


def body(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content())


class Reader:
    """Where a page goes in the suite's own helpers."""

    address = "ana@example.com"


def test_a_page_arrives_by_starttls_and_login(server: Server, tmp_path: Path, clock: FrozenClock) -> None:
    """Plain text and HTML say the same; the link is theirs."""
    channel(server, tmp_path, clock).send(page(Reader()))  # type: ignore[arg-type]
    (mail,) = server.inbox.mails
    assert (mail["To"], mail["From"]) == ("ana@example.com", "Watchkeeper <pager@example.com>")
    assert mail["Subject"] == "[inc-7f3a01] firing: payments: errors 31 % (usually 0.2 %)"
    for kind in ("plain", "html"):
        text = body(mail, kind)
        assert "paged Ana: on call in" in text
        assert f"https://watch.example{PATH}" in text
        assert "https://watch.example/incidents/inc-7f3a01" in text


def test_pages_of_one_incident_are_one_conversation(server: Server, tmp_path: Path, clock: FrozenClock) -> None:
    """And a page that is sent again after a kill has the id that it had."""
    first, again = page(Reader()), page(Reader(), key="inc-7f3a01:9:email")  # type: ignore[arg-type]
    sender = channel(server, tmp_path, clock)
    for message in (first, first, again):
        sender.send(message)
    ids = [mail["Message-ID"] for mail in server.inbox.mails]
    assert ids[0] == ids[1] != ids[2]
    assert len({mail["References"] for mail in server.inbox.mails}) == 1


def test_a_digest_lists_each_incident_with_a_link(server: Server, tmp_path: Path, clock: FrozenClock) -> None:
    """A long one is cut, and says how many more there are."""
    incidents = tuple(incident(f"inc-{number:06x}") for number in range(60))
    channel(server, tmp_path, clock).send_digest(
        Digest(key="batch-1", part="batch-1", incidents=incidents, mention="ana@example.com", text="paged Ana")
    )
    text = body(server.inbox.mails[0], "plain")
    assert len(re.findall(re.escape(PATH), text)) == 50
    assert "10 more" in text


def test_foreign_text_is_text(server: Server, tmp_path: Path, clock: FrozenClock) -> None:
    """It adds no header, no element and no line of its own."""
    title = "x\r\nBcc: eve@example.com\r\n\r\n<script>alert(1)</script>"
    seen = incident(service="<b>pay</b>", summary=title)
    channel(server, tmp_path, clock).send(page(Reader(), seen, text=f"paged {title}"))  # type: ignore[arg-type]
    (mail,) = server.inbox.mails
    assert mail["Bcc"] is None
    assert "<script>" not in body(mail, "html")
    assert "<b>pay" not in body(mail, "html")


@pytest.mark.parametrize(
    ("changes", "words", "retry"),
    [
        ({"user": "eve"}, "refused the login (535); check user and password_env", False),
        ({"ca_file": None}, "a certificate that cannot be trusted", False),
        ({"user": None, "password_env": None}, "refused: 530", False),
        ({"port": 1}, "cannot be reached", True),
    ],
)
def test_each_refusal_says_what_to_do(
    server: Server, tmp_path: Path, clock: FrozenClock, changes: dict[str, Any], words: str, retry: bool
) -> None:
    """And whether trying again can help. The server has nothing of it."""
    with pytest.raises(DeliveryError) as refused:
        channel(server, tmp_path, clock, **changes).send_test("ana@example.com", "Test page")
    assert words in refused.value.message
    assert PASSWORD not in refused.value.message
    assert (refused.value.retry, refused.value.unsent) == (retry, True)
    assert server.inbox.mails == []


@pytest.mark.parametrize(("answer", "retry"), [("550 no such mailbox", False), ("450 try later", True)])
def test_a_refused_recipient_is_named(
    server: Server, tmp_path: Path, clock: FrozenClock, answer: str, retry: bool
) -> None:
    """The code says whether trying again can help."""
    server.inbox.refuses = answer
    with pytest.raises(DeliveryError, match=f"refused the recipient: {answer}") as refused:
        channel(server, tmp_path, clock).send_test("ana@example.com", "Test page")
    assert refused.value.retry is retry


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "`host` is required"),
        ({"host": "mail.example", "sender": "pager"}, "`sender` must be an e-mail address"),
        ({"host": "mail.example", "sender": "p@example.com", "user": "p"}, "belong together"),
        (
            {"host": "mail.example", "sender": "p@example.com", "user": "p", "password_env": "X", "security": "none"},
            "would send the password in clear",
        ),
        ({"host": "mail.example", "sender": "p@example.com", "smtp": 1}, "`smtp` no such key"),
        ({"host": "mail.example", "sender": "p@example.com", "security": "ssl"}, "`security`"),
    ],
)
def test_wrong_settings_are_one_sentence(settings: dict[str, Any], words: str) -> None:
    """Before anything is sent."""
    with pytest.raises(ValueError, match=re.escape(words)) as refused:
        EmailChannel(ChannelContext(name="email", settings=settings, config=Config(), problems=Problems(None)))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "text", ["ana", "ana@", "Ana <ana@x.de>", "a@b.de,c@d.de", "a@b.de\nBcc: x", "ä@b.de", "@b.de"]
)
def test_an_address_is_one_mailbox(text: str) -> None:
    """Nobody else is written to by way of an address."""
    with pytest.raises(ValueError, match="must be an e-mail address"):
        EMAIL.check_address(text)


class Linked:
    """An installation whose Ana was paged by e-mail, its web role, and the link."""

    def __init__(self, db: Database, folder: Path, server: Server, port: int) -> None:
        self.config = Config(
            data_dir=folder,
            web=WebConfig(port=port),
            channels={"email": server.settings()},
            oncall=OnCallConfig.model_validate(
                {
                    "people": [ANA, {"id": "ben", "name": "Ben", "addresses": {"email": "ben@example.com"}}],
                    "schedules": [{"id": "primary", "layers": [{"people": ["ana"]}]}],
                }
            ),
        )
        self.clock = SystemClock()
        self.incidents = Incidents.configured(self.config, db, self.clock)
        (self.incident_id,) = self.incidents.observe([finding(self.clock.now(), "cart")])
        self.incidents.page(self.incident_id)
        with capture_logs():
            Paging(self.config, db, self.incidents).run(self.clock.now())
        text = body(server.inbox.mails[0], "plain")
        self.address = re.search(r"Acknowledge: (\S+)", text).group(1)  # type: ignore[union-attr]
        self.browser = httpx.Client(base_url=self.config.web_url, timeout=120, trust_env=False)

    def press(self, shown: str) -> str:
        """The button of the page that is shown; what it answers."""
        seen = re.search(r'name="seen" value="(\d+)"', shown)
        assert seen is not None, shown
        return self.browser.post(self.address, data={"seen": seen.group(1)}).text


@pytest.fixture
def linked(db: Database, tmp_path: Path, server: Server) -> Iterator[Linked]:
    """It, while its web role serves."""
    listener = socket.create_server(("127.0.0.1", 0))
    installed = Linked(db, tmp_path / "d", server, listener.getsockname()[1])
    with serving(build(installed.config, Telemetry.connect(installed.config), db), listener), installed.browser:
        yield installed


def test_looking_at_the_link_changes_nothing(linked: Linked) -> None:
    """Mail programs and scanners open every address, again and again."""
    before = linked.incidents.get(linked.incident_id)
    for method in ("GET", "HEAD", "GET"):
        linked.browser.request(method, linked.address)
    answer = linked.browser.get(linked.address)
    assert (answer.status_code, "Acknowledge as Ana" in answer.text) == (200, True)
    assert answer.headers["cache-control"] == "private, no-store"
    assert linked.incidents.get(linked.incident_id) == before


def test_the_button_acknowledges_once_for_that_person(linked: Linked) -> None:
    """Pressed twice it is one acknowledgement; afterwards the page says who has it."""
    shown = linked.browser.get(linked.address).text
    assert "<h1>Acknowledged</h1>" in linked.press(shown)
    assert "<h1>Acknowledged</h1>" in linked.press(shown)
    incident = linked.incidents.get(linked.incident_id)
    assert incident.acknowledged_by == Actor(name="Ana", via="link")
    assert [entry.kind for entry in incident.timeline].count("acknowledged") == 1
    assert "Ana has it." in linked.browser.get(linked.address).text


def test_a_late_press_reopens_nothing(linked: Linked) -> None:
    """Somebody resolved it between the look and the press: the page says so."""
    shown = linked.browser.get(linked.address).text
    linked.incidents.resolve(linked.incident_id, Actor(name="Ben", via="cli"), "r")
    assert "<h1>Nothing was changed</h1>" in linked.press(shown)
    assert linked.incidents.get(linked.incident_id).human_state == "resolved"
    assert "Already resolved" in linked.browser.get(linked.address).text


def test_a_link_is_for_one_incident_and_one_person_and_ends(linked: Linked) -> None:
    """Any other one is refused, and changes nothing, looked at or pressed."""
    links, now = AckLinks(linked.config), linked.clock.now()
    token = linked.address.rpartition("/")[2]
    assert links.read(token, now) is not None
    text, _, signature = token.partition(".")
    other = links.url("inc-000000", "email", "ben@example.com", now).rpartition("/")[2]
    forged = [f"{other.partition('.')[0]}.{signature}", f"{text}.", text, "x", "ä.ö", f"{token}A", "A" * 500]
    old = links.url(linked.incident_id, "email", "ana@example.com", now - timedelta(days=1, seconds=1))
    for wrong in [*forged, old.rpartition("/")[2]]:
        for answer in (
            linked.browser.get(f"{PATH}{wrong}"),
            linked.browser.post(f"{PATH}{wrong}", data={"seen": "3"}),
        ):
            assert (answer.status_code, "not valid" in answer.text) == (404, True), wrong
    assert linked.incidents.get(linked.incident_id).human_state == "paged"
    assert links.url(linked.incident_id, "email", "nobody@example.com", now) == ""
    gone = linked.config.model_copy(update={"oncall": OnCallConfig()})
    assert AckLinks(gone).read(token, now) is None
