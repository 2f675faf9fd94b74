"""Updates of the public status page by e-mail: each sent once, over a real mail server; and who gets them."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from mailing_worker import PUBLIC, configured
from sqlalchemy import func, select
from structlog.testing import capture_logs
from subscribed import ANA, Inbox, Installed, receiving, text

from alerting.incidents.commands import Incidents
from alerting.status_page.mailing import mail_server
from alerting.status_page.publication import publish
from alerting.status_page.updates import Content, StatusUpdates
from tests.front_door import Run, front_door
from tests.waiting import until
from watchkeeper.clock import FrozenClock, SystemClock
from watchkeeper.config import load
from watchkeeper.errors import ConfigError, Conflict, NotFound
from watchkeeper.state.audit import audit_trail
from watchkeeper.state.database import Database
from watchkeeper.state.schema import status_mails

WORKER = Path(__file__).with_name("mailing_worker.py")


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with receiving() as taken:
        yield taken


@pytest.fixture
def shop(db: Database, clock: FrozenClock, incidents: Incidents, inbox: Inbox, tmp_path: Path) -> Installed:
    return Installed(db, clock, incidents, configured(tmp_path, inbox.port))


def test_each_update_reaches_each_confirmed_subscriber_of_its_components_once(shop: Installed, inbox: Inbox) -> None:
    """A draft, an update for colleagues and another component's reach nobody."""
    shop.add("all@x.example")
    shop.add("checkout@x.example", components=("checkout",))
    shop.add("search@x.example", components=("search",))
    shop.subscribers.ask("pending@x.example")
    shop.updates.draft(shop.incident_id, ANA, "d", Content(text="not yet"))
    shop.updates.post(shop.incident_id, ANA, "i", "internal", Content(text="for us"))
    shop.post("Checkout is slow.", "checkout")
    shop.post("Checkout is slow.", "checkout")  # the same key again
    for _ in range(3):
        shop.mailing.run()
        shop.worker().run()
    bodies = Counter((mail["To"], text(mail).splitlines()[2]) for mail in inbox.mails)
    assert [to for (to, line), count in bodies.items() if "confirm within two days" in line] == ["pending@x.example"]
    del bodies[next(key for key in bodies if key[0] == "pending@x.example")]
    assert bodies == {("all@x.example", "Checkout is slow."): 1, ("checkout@x.example", "Checkout is slow."): 1}


def test_nothing_internal_is_in_an_e_mail(shop: Installed, inbox: Inbox) -> None:
    """Neither the incident, nor a service, nor who wrote it; not in a header either."""
    shop.add("eve@x.example")
    update_id = shop.post("Checkout is slow.\nWe are on it.", "checkout")
    shop.mailing.run()
    (mail,) = inbox.mails
    raw = mail.as_string() + text(mail) + text(mail, "html")
    for inside in (shop.incident_id, update_id, "payments-eu1", "Ana Souza", "inside.example", "Watchkeeper"):
        assert inside not in raw
    assert mail["Subject"] == "[Shop status] Checkout: investigating, degraded"
    assert mail["From"] == "Shop <status@shop.example>"
    assert "https://status.shop.example" in text(mail)
    # Incidents have short ids: a plain digest of one could be tried out.
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert re.fullmatch(rf"<{PUBLIC}/status-updates/unsubscribe/[\w.-]+>", mail["List-Unsubscribe"])
    assert mail["List-Unsubscribe"].strip("<>") in text(mail)


def test_hostile_text_adds_no_header_and_no_element(shop: Installed, inbox: Inbox) -> None:
    """It is shown as it was written."""
    shop.add("eve@x.example")
    shop.post("<script>alert(1)</script>\r\nBcc: ben@x.example", "checkout")
    shop.mailing.run()
    (mail,) = inbox.mails
    assert mail["Bcc"] is None
    assert "<script>" not in text(mail, "html")
    assert "<script>alert(1)</script>" in text(mail)


def test_a_withdrawn_update_is_not_sent_and_comes_back_once(shop: Installed, inbox: Inbox) -> None:
    """What was sent before stays sent; what waited goes out with the text that is approved then."""
    shop.add("first@x.example")
    update_id = shop.post("Wrong.", "checkout")
    shop.mailing.run()
    shop.add("second@x.example")  # after it: gets none of it
    shop.updates.withdraw(update_id, ANA)
    other = shop.post("Also wrong.", "checkout")
    shop.updates.withdraw(other, ANA)
    shop.mailing.run()
    assert [text(mail).splitlines()[2] for mail in inbox.mails] == ["Wrong."]
    shop.updates.approve(other, ANA, "Right.")
    shop.mailing.run()
    assert sorted((mail["To"], text(mail).splitlines()[2]) for mail in inbox.mails) == [
        ("first@x.example", "Right."),
        ("first@x.example", "Wrong."),
        ("second@x.example", "Right."),
    ]


def test_an_address_that_is_refused_is_set_aside_and_stops_nobody(shop: Installed, inbox: Inbox) -> None:
    """With the server's reason; one that is refused for now is tried again. No log names an address."""
    addresses = [f"{name}@x.example" for name in ("bad", "busy", "good")]
    shop.add(*addresses)
    inbox.answers = {"bad": "550 5.1.1 no bad@x.example here", "busy": "450 4.7.1 greylisted"}
    with capture_logs() as logs:
        shop.post("Slow.", "checkout")
        shop.mailing.run()
    assert [mail["To"] for mail in inbox.mails] == ["good@x.example"]
    assert shop.states() == {"bad@x.example": "set aside", "busy@x.example": "confirmed", "good@x.example": "confirmed"}
    assert "no bad@x.example here" in shop.subscribers.list()[0].reason
    inbox.answers = {}
    shop.clock.advance(120)
    shop.mailing.run()
    assert [mail["To"] for mail in inbox.mails] == ["good@x.example", "busy@x.example"]
    shop.post("Slower.", "checkout")
    shop.mailing.run()
    assert len(inbox.to("bad@x.example")) == 0
    kept = json.dumps([logs, [str(entry) for entry in audit_trail(shop.db)], str(shop.problems.current())], default=str)
    assert [address for address in addresses if address in kept] == []


def test_a_server_that_refuses_us_costs_nobody_their_subscription(shop: Installed, inbox: Inbox) -> None:
    """A policy, or a server that is away: everything waits, and goes out once it works."""
    shop.add("a@x.example", "b@x.example")
    shop.post("Slow.", "checkout")
    inbox.answers = {"": "554 5.7.1 <{address}>: relaying denied"}
    for _ in range(4):
        shop.mailing.run()
        shop.clock.advance(400)
    assert set(shop.states().values()) == {"confirmed"}
    (problem,) = shop.problems.current()
    assert (problem.subject, "relaying denied" in problem.reason) == ("the mail server", True)
    assert "@x.example" not in problem.reason
    inbox.answers = {}
    shop.clock.advance(3600)
    shop.mailing.run()
    assert sorted(mail["To"] for mail in inbox.mails) == ["a@x.example", "b@x.example"]
    assert shop.problems.current() == ()


def test_the_rate_is_bounded(shop: Installed, inbox: Inbox, tmp_path: Path) -> None:
    """So many a minute; the rest follows."""
    shop.config = configured(tmp_path, inbox.port, mails_per_minute=3)
    shop.mailing = shop.worker()
    shop.add(*(f"p{number}@x.example" for number in range(7)))
    shop.post("Slow.", "checkout")
    sent = []
    for _ in range(4):
        shop.mailing.run()
        shop.mailing.run()
        sent.append(len(inbox.mails))
        shop.clock.advance(61)
    assert sent == [3, 6, 7, 7]


def test_one_address_is_asked_once_an_hour(shop: Installed, inbox: Inbox) -> None:
    """Nobody can fill a mailbox with a form; who never confirms is erased."""
    for _ in range(5):
        shop.subscribers.ask("Eve@X.example")
    shop.subscribers.ask("eve@x.example")
    shop.mailing.run()
    assert len(inbox.mails) == 1
    shop.clock.advance(3700)
    shop.subscribers.ask("eve@x.example")
    shop.mailing.run()
    assert len(inbox.mails) == 2
    shop.clock.advance(3 * 86_400)
    shop.mailing.run()
    assert shop.subscribers.list() == ()


def test_a_flood_of_addresses_ends(shop: Installed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The form is open to everybody: it has us send only so many e-mails an hour."""
    monkeypatch.setattr("alerting.status_page.subscribers.MOST_ASKED", 3)
    for number in range(3):
        shop.subscribers.ask(f"p{number}@x.example")
    with pytest.raises(Conflict, match="Try again in an hour"):
        shop.subscribers.ask("more@x.example")


def test_to_remove_somebody_erases_them(shop: Installed, inbox: Inbox) -> None:
    """The row, and what waits for them; the audit trail has the id alone."""
    shop.add("eve@x.example", "ben@x.example")
    shop.post("Slow.", "checkout")
    removed = shop.subscribers.remove("EVE@x.example", ANA)
    shop.mailing.run()
    assert [mail["To"] for mail in inbox.mails] == ["ben@x.example"]
    with shop.db.read() as connection:
        left = connection.scalar(select(func.count()).where(status_mails.c.subscriber_id == removed))
    assert left == 0
    assert [entry.subject for entry in audit_trail(shop.db) if entry.action == "subscriber.remove"] == [removed]
    with pytest.raises(NotFound):
        shop.subscribers.remove("eve@x.example", ANA)


def test_nobody_is_asked_without_an_address_to_confirm_at(shop: Installed) -> None:
    """And what is no address, or no component, is refused."""
    shop.config.web.__dict__["public_url"] = None
    with pytest.raises(ConfigError, match=r"web\.public_url is not set"):
        shop.subscribers.add("eve@x.example", (), ANA, confirmed=False)
    with pytest.raises(ConfigError, match="must be an e-mail address"):
        shop.subscribers.ask("eve")
    with pytest.raises(ConfigError, match="did you mean checkout"):
        shop.subscribers.ask("eve@x.example", ("chekout",))


def test_the_page_offers_it_where_it_is_offered(shop: Installed, tmp_path: Path) -> None:
    """By a link to the form; without a public address, in words; else not at all."""
    folder = tmp_path / "site"

    def page() -> str:
        publish(shop.updates, shop.config, folder, shop.clock.now())
        return (folder / "index.html").read_text()

    assert f'<a href="{PUBLIC}/status-updates/subscribe">' in page()
    shop.config.web.__dict__["public_url"] = None
    assert "by e-mail: ask us" in page()
    shop.config.status_page.subscriptions.__dict__["channel"] = None
    assert "e-mail" not in page()


def test_kill_9_loses_and_doubles_no_e_mail(
    db: Database, incidents: Incidents, clock: FrozenClock, inbox: Inbox, tmp_path: Path
) -> None:
    """Of a worker at random instants: each message id arrives, once for a mailbox that knows ids."""
    config = configured(tmp_path, inbox.port)
    shop = Installed(db, clock, incidents, config)
    addresses = [f"p{number}@x.example" for number in range(40)]
    shop.add(*addresses)
    shop.updates = StatusUpdates(db, SystemClock(), config)
    for number in range(3):
        shop.post(f"Update {number}.", "checkout")
    url = db.engine.url.render_as_string(hide_password=False)
    command = [sys.executable, str(WORKER), url, str(tmp_path), str(inbox.port)]
    dice = random.Random(7)
    waiting = select(func.count()).where(status_mails.c.sent_at.is_(None))

    def left() -> int:
        with db.read() as connection:
            return int(connection.scalar(waiting) or 0)

    for kills in range(4):
        worker = subprocess.Popen(command, stdout=subprocess.PIPE)
        before = len(inbox.mails)
        try:
            last = kills == 3
            until(lambda before=before, last=last: not left() if last else len(inbox.mails) > before, every_s=0.002)
            time.sleep(dice.uniform(0, 0.05))
        finally:
            worker.kill()
            worker.wait()
            worker.stdout.close()  # type: ignore[union-attr]
    ids = {mail["Message-ID"]: (mail["To"], text(mail).splitlines()[2]) for mail in inbox.mails}
    expected = Counter((address, f"Update {number}.") for address in addresses for number in range(3))
    assert Counter(ids.values()) == expected


def test_subscribers_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From nobody to nobody."""
    path = tmp_path / "watchkeeper.yaml"
    written = (
        "data_dir: data\nchannels: {slack: {}, email: {host: 127.0.0.1, security: none, sender: p@x.example}}\n"
        "oncall: {people: [{id: ana, name: Ana, addresses: {email: ana@x.example}}], "
        "schedules: [{id: primary, layers: [{people: [ana]}]}]}\n"
        "status_page: {components: [{id: checkout, name: Checkout}]SUBSCRIPTIONS}\n"
    )
    path.write_text(written.replace("SUBSCRIPTIONS", ""))
    monkeypatch.setenv("WATCHKEEPER_CONFIG", str(path))
    run: Run = front_door(monkeypatch, capsys)
    assert "status_page.subscriptions.channel" in run("status", "subscribers", "list")[2]
    path.write_text(written.replace("SUBSCRIPTIONS", ", subscriptions: {channel: mail}"))
    with pytest.raises(ConfigError, match=r"subscriptions\.channel: 'mail' is not among `channels:`"):
        load(path)
    path.write_text(written.replace("SUBSCRIPTIONS", ", subscriptions: {channel: email}"))
    assert run("status", "subscribers", "list")[1] == "nobody yet\n"
    assert "--confirmed" in run("status", "subscribers", "add", "eve@x.example")[2]
    assert run("status", "subscribers", "add", "eve@x.example", "--confirmed", "--component", "checkout")[0] == 0
    assert "confirmed  eve@x.example  (checkout)" in run("status", "subscribers", "list")[1]
    (one,) = json.loads(run("status", "subscribers", "list", "--json")[1])
    assert (one["state"], one["components"]) == ("confirmed", ["checkout"])
    assert run("status", "subscribers", "remove", "eve@x.example")[1] == f"erased {one['id']}\n"
    assert "no such subscriber" in run("status", "subscribers", "remove", "eve@x.example")[2]


def test_another_channel_than_e_mail_is_refused(tmp_path: Path) -> None:
    """With what to do."""
    config = configured(tmp_path, 25).model_copy(update={"channels": {"email": {"kind": "webhook"}, "sms": {}}})
    config.status_page.subscriptions.__dict__["channel"] = "sms"
    with pytest.raises(ConfigError, match="name one of kind email"):
        mail_server(config)


def test_links_end(shop: Installed) -> None:
    """A confirming one after two days; one that unsubscribes never."""
    shop.subscribers.ask("eve@x.example")
    (one,) = shop.subscribers.list()
    confirming = shop.subscribers.confirming_url(one.id).rpartition("/")[2]
    ending = shop.subscribers.ending_url(one.id).rpartition("/")[2]
    shop.clock.advance(timedelta(days=2).total_seconds() + 1)
    assert shop.subscribers.of_confirmation(confirming) is None
    assert shop.subscribers.of_end(ending) is not None
