"""Stakeholders: who reads of an incident by its severity, once for each event, and nothing internal."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from informing_worker import CHANNEL, informed
from protocol import finding
from sqlalchemy import func, select
from structlog.testing import capture_logs
from subscribed import ANA, Inbox, receiving, text

from alerting.incidents.commands import Incidents
from alerting.incidents.silences import add_silence, new_silence
from alerting.oncall.escalation import effects
from alerting.oncall.timers import run_due
from alerting.status_page.informing import Informing
from alerting.status_page.updates import Content, StatusUpdates
from tests.front_door import Run, front_door
from tests.waiting import until
from watchkeeper.clock import FrozenClock
from watchkeeper.config import load
from watchkeeper.errors import ConfigError
from watchkeeper.problems import Problems
from watchkeeper.state.audit import audit_trail
from watchkeeper.state.database import Database
from watchkeeper.state.schema import outbox, status_mails
from watchkeeper.vocabulary import Finding

WORKER = Path(__file__).with_name("informing_worker.py")
BOARD = {"severities": ["SEV1", "SEV2"], "emails": ["board@x.example"], "people": ["eve"]}


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with receiving() as taken:
        yield taken


class Installed:
    """An installation at a frozen time, whose stakeholders `rules` name."""

    def __init__(
        self, db: Database, clock: FrozenClock, inbox: Inbox, folder: Path, *rules: dict[str, Any], **changes: Any
    ) -> None:
        self.db, self.clock, self.inbox = db, clock, inbox
        self.config = informed(folder, inbox.port, *rules, **changes)
        self.incidents = Incidents(db, clock, self.config.oncall)
        self.problems = Problems(None)
        self.informing = self.worker()

    def worker(self) -> Informing:
        return Informing(self.config, self.db, self.clock, self.problems)

    def opens(self, service: str = "payments-eu1", **changes: Any) -> str:
        (incident_id,) = self.incidents.observe([finding(self.clock.now(), service, **changes)])
        return incident_id

    def timers(self) -> None:
        run_due(self.db, self.clock.now(), effects(self.incidents))

    def sends(self) -> list[str]:
        """The subjects of what goes out now, each with its recipient."""
        before = len(self.inbox.mails)
        self.informing.run()
        self.worker().run()
        return sorted(f"{mail['To']}: {mail['Subject']}" for mail in self.inbox.mails[before:])


@pytest.fixture
def shop(db: Database, clock: FrozenClock, inbox: Inbox, tmp_path: Path) -> Installed:
    return Installed(db, clock, inbox, tmp_path, BOARD)


def test_each_event_is_told_once_from_the_opening_to_the_end(shop: Installed) -> None:
    """Opened, another level, an update that is due, resolved; to a person and to an address."""
    incident_id = shop.opens()
    assert shop.sends() == [
        "board@x.example: [Shop status] SEV2: Checkout, investigating",
        "eve@x.example: [Shop status] SEV2: Checkout, investigating",
    ]
    shop.incidents.set_severity(incident_id, ANA, "SEV1", "no card is accepted", "k1")
    shop.incidents.set_severity(incident_id, ANA, "SEV1", "no card is accepted", "k1")  # the same key again
    assert shop.sends() == [
        "board@x.example: [Shop status] SEV1: Checkout, severity changed",
        "eve@x.example: [Shop status] SEV1: Checkout, severity changed",
    ]
    shop.clock.advance(1801)
    shop.timers()
    assert [each.partition(": ")[2] for each in shop.sends()] == ["[Shop status] SEV1: Checkout, not resolved yet"] * 2
    shop.incidents.resolve(incident_id, ANA, "k2")
    assert [each.partition(": ")[2] for each in shop.sends()] == ["[Shop status] SEV1: Checkout, resolved"] * 2
    assert shop.sends() == []


def test_nothing_internal_is_in_a_message(shop: Installed, inbox: Inbox) -> None:
    """No id, service, finding, person or reason, in no header either; what the public reads may stand in it."""
    incident_id = shop.opens()
    updates = StatusUpdates(shop.db, shop.clock, shop.config)
    updates.post(incident_id, ANA, "p", "public", Content(text="Card payments fail.", components=("checkout",)))
    updates.post(incident_id, ANA, "i", "internal", Content(text="Ben looks at payments-eu1"))
    shop.sends()
    shop.incidents.set_severity(incident_id, ANA, "SEV1", "the bank of ACME", "k1")
    shop.sends()
    raw = "".join(mail.as_string() + text(mail) + text(mail, "html") for mail in inbox.mails)
    for inside in (incident_id, "payments-eu1", "Ana Souza", "Ben", "ACME", "errors", "inside.example", "Watchkeeper"):
        assert inside not in raw
    last = text(inbox.to("board@x.example")[-1])
    assert "The problem with Checkout is SEV1 now; before, it was SEV2." in last
    assert "Published at 2026-03-01 03:00 UTC: Card payments fail." in last
    assert "https://status.shop.example" in last


def test_nobody_is_paged_for_it(shop: Installed) -> None:
    """The outbox of the channels has nothing for them, and no escalation names them."""
    shop.opens()
    shop.informing.run()
    shop.incidents.page(shop.incidents.list("open", 1, None)[0].id)
    with shop.db.read() as connection:
        bodies = list(connection.scalars(select(outbox.c.body)))
    assert bodies
    assert not [body for body in bodies if "eve" in body or "board" in body]


def test_who_is_told_follows_the_severity(db: Database, clock: FrozenClock, inbox: Inbox, tmp_path: Path) -> None:
    """To whom SEV1 alone matters, it begins there; who knows of it learns how it goes on, and its end."""
    shop = Installed(db, clock, inbox, tmp_path, {"severities": ["SEV1"], "emails": ["head@x.example"]})
    incident_id = shop.opens()
    assert shop.sends() == []
    shop.incidents.set_severity(incident_id, ANA, "SEV1", "worse", "up")
    assert shop.sends() == ["head@x.example: [Shop status] SEV1: Checkout, investigating"]
    shop.incidents.set_severity(incident_id, ANA, "SEV3", "better", "down")
    assert shop.sends() == ["head@x.example: [Shop status] SEV3: Checkout, severity changed"]
    shop.incidents.resolve(incident_id, ANA, "end")
    assert shop.sends() == ["head@x.example: [Shop status] SEV3: Checkout, resolved"]
    shop.clock.advance(3600)
    other = shop.opens("finder-v2")
    shop.incidents.resolve(other, ANA, "end")
    assert shop.sends() == []


def test_rules_are_for_services_and_teams(db: Database, clock: FrozenClock, inbox: Inbox, tmp_path: Path) -> None:
    """Two rules that name one recipient inform them once; an address of a person is that person."""
    rules: list[dict[str, Any]] = [
        {"services": ["pay*"], "emails": ["pay@x.example", "EVE@x.example"]},
        {"teams": ["finders"], "emails": ["find@x.example"]},
        {"people": ["eve"], "news": ["resolved"]},
    ]
    shop = Installed(db, clock, inbox, tmp_path, *rules, teams={"finders": ["finder-*"]})
    payments = shop.opens()
    assert [each.partition(":")[0] for each in shop.sends()] == ["eve@x.example", "pay@x.example"]
    shop.clock.advance(3600)
    shop.opens("finder-v2")
    assert [each.partition(":")[0] for each in shop.sends()] == ["find@x.example"]
    shop.incidents.resolve(payments, ANA, "end")
    assert [each.partition(":")[0] for each in shop.sends()] == ["eve@x.example", "pay@x.example"]


def test_what_a_silence_hides_is_no_news_until_it_ends(shop: Installed) -> None:
    """Planned work informs nobody; what still fires after it does."""
    at = shop.clock.now()
    silence = new_silence(
        service="payments-*", kind="", label="", reason="move", start=at, end=at + timedelta(hours=1), owner=ANA
    )
    add_silence(shop.db, silence, ANA, at)
    incident_id = shop.opens()
    shop.incidents.page(incident_id)
    assert shop.sends() == []
    shop.clock.advance(3601)
    shop.timers()
    assert [each.partition(": ")[2] for each in shop.sends()] == ["[Shop status] SEV2: Checkout, investigating"] * 2


def test_a_merged_incident_ends_where_the_other_goes_on(shop: Installed, inbox: Inbox) -> None:
    """Whoever read of it is told so, and learns the end of the other."""
    one = shop.opens()
    shop.clock.advance(3600)
    other = shop.opens("finder-v2")
    shop.sends()
    shop.incidents.merge(one, other, ANA, "m")
    assert [each.partition(": ")[2] for each in shop.sends()] == ["[Shop status] SEV2: Checkout, resolved"] * 2
    assert "is part of a larger one" in text(inbox.mails[-1])
    shop.incidents.resolve(other, ANA, "end")
    assert [each.partition(": ")[2] for each in shop.sends()] == ["[Shop status] SEV2: Checkout, Search, resolved"] * 2


def test_a_storm_is_one_message_for_each(shop: Installed, inbox: Inbox) -> None:
    """400 incidents at once, and more a minute later: the rest within five minutes, the most severe first."""
    names = [f"unit-{number:03}" for number in range(400)]
    shop.incidents.observe([finding(shop.clock.now(), name) for name in names])
    (subject, _) = shop.sends()
    assert subject == "board@x.example: [Shop status] 400 problems, 400 not resolved yet"
    assert "and 370 more" in text(inbox.to("board@x.example")[0])
    for _ in range(12):
        shop.clock.advance(20)
        shop.opens(f"late-{shop.clock.now():%M%S}")
        shop.sends()
    assert len(inbox.to("board@x.example")) == 5  # four by themselves: five within five minutes
    shop.clock.advance(300)
    shop.sends()
    assert inbox.to("board@x.example")[-1]["Subject"] == "[Shop status] 8 problems, 8 not resolved yet"
    with shop.db.read() as connection:
        assert connection.scalar(select(func.count()).where(status_mails.c.sent_at.is_(None))) == 0


def test_an_address_that_is_refused_stops_nobody_and_stands_in_no_log(shop: Installed, inbox: Inbox) -> None:
    """Nor in the state database; a server that is away loses nothing."""
    inbox.answers = {"board": "550 5.1.1 no {address} here"}
    with capture_logs() as logs:
        shop.opens()
        assert [each.partition(":")[0] for each in shop.sends()] == ["eve@x.example"]
    with shop.db.read() as connection:
        rows = [str(row) for row in connection.execute(select(status_mails))]
    trail = [str(entry) for entry in audit_trail(shop.db)]
    kept = json.dumps([logs, rows, trail, str(shop.problems.current())], default=str)
    assert "refuses the address" in kept
    assert "x.example" not in kept
    inbox.answers = {"": "451 4.3.0 later"}
    shop.clock.advance(3600)
    shop.opens("finder-v2")
    assert shop.sends() == []
    inbox.answers = {}
    shop.clock.advance(3600)
    assert len(shop.sends()) == 2


def test_kill_9_loses_and_doubles_no_news(db: Database, clock: FrozenClock, inbox: Inbox, tmp_path: Path) -> None:
    """Of a worker at random instants: each message id arrives, once for a mailbox that knows ids."""
    addresses = [f"p{number}@x.example" for number in range(40)]
    shop = Installed(db, clock, inbox, tmp_path, {"emails": addresses})
    incident_id = shop.opens()
    shop.incidents.set_severity(incident_id, ANA, "SEV1", "worse", "k1")
    shop.incidents.resolve(incident_id, ANA, "k2")
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
    ids = {mail["Message-ID"]: (mail["To"], mail["Subject"].rpartition(", ")[2]) for mail in inbox.mails}
    expected = Counter((to, what) for to in addresses for what in ("investigating", "severity changed", "resolved"))
    assert Counter(ids.values()) == expected


def test_news_and_its_event_are_one_transaction(shop: Installed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the news cannot be kept, the event has not happened: one cannot be without the other."""
    incident_id = shop.opens()
    shop.sends()

    def fails(*_: object) -> None:
        raise RuntimeError("killed here")

    monkeypatch.setattr("alerting.status_page.mails.put_news", fails)
    with pytest.raises(RuntimeError):
        shop.incidents.set_severity(incident_id, ANA, "SEV1", "worse", "k1")
    assert shop.incidents.get(incident_id).level == "SEV2"
    monkeypatch.undo()
    shop.incidents.set_severity(incident_id, ANA, "SEV1", "worse", "k1")
    assert len(shop.sends()) == 2


def test_watchkeepers_own_alert_informs_nobody(shop: Installed) -> None:
    """It is no incident of anybody's."""
    own = Finding(
        detector="canary", detector_version="1", kind="alert", service="watchkeeper", summary="s",
        onset=shop.clock.now(), seen_at=shop.clock.now(), score=1.0, severity="page",
    )  # fmt: skip
    shop.config.oncall.stakeholders[0].__dict__["severities"] = ("SEV1", "SEV2", "SEV3", "SEV4")
    shop.incidents.observe([own])
    assert shop.sends() == []


FILE = """
data_dir: data
channels: {slack: {}, email: {host: 127.0.0.1, security: none, sender: p@x.example}}
oncall:
  people:
    - {id: ana, name: Ana, addresses: {email: ana@x.example}}
    - {id: ben, name: Ben, addresses: {slack: U012AB3CE}}
  schedules: [{id: primary, layers: [{people: [ana]}]}]
  stakeholders: STAKEHOLDERS
"""


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("[{id: a}]", "informs nobody; name people, emails or slack_channels"),
        ("[{id: a, people: [eve]}]", "'eve' is not among people; there are: ana, ben"),
        ("[{id: a, people: [ben]}]", "'ben' has no address for 'email'; add it to their `addresses`"),
        ("[{id: a, emails: [board]}]", "must be an e-mail address, such as ana@example.com"),
        ("[{id: a, slack_channels: ['#board']}]", "must be the id of a Slack channel, such as C012AB3CD"),
        ("[{id: a, teams: [money], people: [ana]}]", "'money' is not among `oncall.teams`"),
        ("[{id: a, people: [ana]}, {id: a, people: [ana]}]", "'a' is the id of item 0 already"),
        ("[{id: a, people: [ana], news: [closed]}]", "update due"),
        ("[{id: a, people: [ana], severities: [SEV5]}]", "SEV4"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, rules: str, expected: str) -> None:
    """And with what to do."""
    path = tmp_path / "watchkeeper.yaml"
    path.write_text(FILE.replace("STAKEHOLDERS", rules))
    with pytest.raises(ConfigError) as raised:
        load(path)
    assert f"{path}:9: oncall.stakeholders" in raised.value.message
    assert expected in raised.value.message


def test_informing_needs_a_channel_of_kind_email(tmp_path: Path) -> None:
    """Said before anything happens."""
    path = tmp_path / "watchkeeper.yaml"
    without = FILE.replace(", email: {host: 127.0.0.1, security: none, sender: p@x.example}", "")
    without = without.replace("{email: ana@x.example}", "{slack: U012AB3CD}")
    path.write_text(without.replace("STAKEHOLDERS", "[{id: a, emails: [board@x.example]}]"))
    with pytest.raises(ConfigError, match="no channel of kind email; add one"):
        load(path)


def test_stakeholders_come_into_force_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`diff`, `apply` and `export` know them, and what is exported can be loaded again."""
    path = tmp_path / "watchkeeper.yaml"
    path.write_text(FILE.replace("STAKEHOLDERS", "[]"))
    monkeypatch.setenv("WATCHKEEPER_CONFIG", str(path))
    run: Run = front_door(monkeypatch, capsys)
    assert run("oncall", "apply")[0] == 0
    path.write_text(FILE.replace("STAKEHOLDERS", f"[{{id: board, people: [ana], slack_channels: [{CHANNEL}]}}]"))
    status, output, _ = run("oncall", "diff")
    assert (status, f"+    - {CHANNEL}" in output.replace("+  - ", "+    - ")) == (1, True)
    assert run("oncall", "apply", "--dry-run")[0] == 0
    assert "slack_channels: []" not in run("oncall", "export")[1]
    assert run("oncall", "apply")[0] == 0
    exported = run("oncall", "export")[1]
    assert CHANNEL in exported
    path.write_text(FILE.partition("oncall:")[0] + exported)
    assert run("oncall", "diff")[:2] == (0, "The file's rota is in force.\n")
