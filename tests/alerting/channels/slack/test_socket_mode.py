"""Socket Mode over a real web socket: presses, forms, commands and the home tab; breaks, a hung role, kill -9."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from alerting.channels.slack.events import SlackEvents
from alerting.channels.slack.socket_mode import SocketMode
from alerting.channels.slack.standin.app import StandIn
from alerting.channels.slack.standin.links import Links
from alerting.channels.slack.standin.served import serving
from alerting.channels.slack.standin.troubles import Trouble
from alerting.incidents.commands import Incidents
from bench.own_roles import OwnRoles
from tests.alerting.channels.slack.running_site import PEOPLE, Site, pressed
from watchkeeper.clock import SystemClock
from watchkeeper.config import Config, OnCallConfig, SlackConfig, SlackStandInConfig, WebConfig
from watchkeeper.ports import free_port
from watchkeeper.problems import Problems
from watchkeeper.roles.web import build
from watchkeeper.state.database import Database
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.vocabulary import Actor


@dataclass
class Linked(Site):
    """A site whose web role may connect to Slack."""

    events: SlackEvents

    @property
    def links(self) -> Links:
        assert self.stand_in.links is not None
        return self.stand_in.links

    @contextmanager
    def connected(self, events: SlackEvents | None = None, problems: Problems | None = None) -> Iterator[None]:
        """One more connection, until the block ends."""
        stopping, before = threading.Event(), len(self.links)
        thread = SocketMode(self.config, events or self.events, problems).follow(stopping)
        self.until(lambda: len(self.links) == before + 1)
        try:
            yield
        finally:
            stopping.set()
            thread.join(30)
            assert not thread.is_alive()

    def on_loop(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do it in the stand-in's thread."""
        assert self.links.loop is not None
        return asyncio.run_coroutine_threadsafe(work, self.links.loop).result(60)

    def acknowledgements(self, incident_id: str) -> int:
        return sum(entry.kind == "acknowledged" for entry in self.incidents.get(incident_id).timeline)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Linked]:
    slack_port, web_port = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    config = Config(
        data_dir=tmp_path,
        oncall=OnCallConfig(people=PEOPLE),
        web=WebConfig(port=web_port.getsockname()[1]),
        slack=SlackConfig(stand_in=SlackStandInConfig(port=slack_port.getsockname()[1]), socket_mode=True),
    )
    db = Database.open(config)
    stand_in = StandIn(config, lambda: "http://127.0.0.1:1/nobody")
    web = build(config, Telemetry.connect(config), db)
    with (
        serving(stand_in.application(), slack_port),
        serving(web, web_port),
        httpx.Client(base_url=f"http://127.0.0.1:{config.slack.stand_in.port}", timeout=120, trust_env=False) as slack,
        httpx.Client(base_url=config.web_url, timeout=120, trust_env=False) as to_web,
    ):
        incidents = Incidents(db, SystemClock(), config.oncall)
        yield Linked(
            config=config,
            db=db,
            incidents=incidents,
            stand_in=stand_in,
            slack=slack,
            web=to_web,
            events=web.state.slack,
        )
        assert stand_in.links is not None
        assert stand_in.links.mistakes == []
        if stand_in.links.loop is not None:
            asyncio.run_coroutine_threadsafe(stand_in.links.close(), stand_in.links.loop).result(60)
    db.close()


def test_everything_that_would_be_posted_comes_over_the_connection(site: Linked) -> None:
    """A press, a form, a command and the home tab; what is posted is not taken, whatever it is signed with."""
    incident_id = site.page()
    assert site.signed(b"payload=%7B%7D").status_code == 404
    with site.connected():
        assert site.press("acknowledge").status_code == 200
        site.until(lambda: site.incidents.get(incident_id).human_state == "acknowledged")
        answer = site.slack.post("/standin/command", json={"text": "status", "user": "UANA"}).json()
        assert "1 open incident" in str(answer)
        home = site.slack.post("/standin/home", json={"user": "UANA"}).json()
        assert home["view"]["type"] == "home"
        view = site.press("resolve").json()["view"]
        values = {"warranted": "yes", "cause": "payments", "mechanism": "errors"}
        assert site.submit(view, values).status_code == 200
        site.until(lambda: site.incidents.get(incident_id).human_state == "resolved")
        assert len(site.incidents.get(incident_id).labels) == 1


def test_a_stranger_may_look_over_the_connection_too(site: Linked) -> None:
    incident_id = site.page()
    with site.connected():
        assert site.on_loop(site.links.deliver("interactive", pressed(incident_id, user="UEVE"), 0)) == {}
        assert site.on_loop(site.links.deliver("interactive", pressed(incident_id, at="2.0"), 0)) == {}
        site.until(lambda: site.acknowledgements(incident_id) == 1)
    assert site.incidents.get(incident_id).acknowledged_by == Actor(name="Ana", via="slack")


def test_it_connects_again_when_slack_asks_and_when_the_network_breaks(site: Linked) -> None:
    """A press in between is delivered once the connection is there again, and counts once."""
    with site.connected():
        for number, end in enumerate((site.links.refresh, site.links.cut)):
            incident_id = site.page(f"service-{number}")
            site.on_loop(end())
            site.until(lambda: len(site.links) >= 1)
            message = next(m for m in site.board()["messages"] if f"service-{number}" in str(m))
            body = {"channel": "C0INCIDENTS", "ts": message["ts"], "action_id": "acknowledge", "user": "UANA"}
            site.until(lambda body=body: site.slack.post("/standin/press", json=body).status_code == 200)
            site.until(lambda incident_id=incident_id: site.acknowledgements(incident_id) == 1)
    # What came over a connection that broke is acknowledged over the next one, where Slack does not expect it.
    site.links.mistakes = [each for each in site.links.mistakes if "of another connection" not in each]


def test_a_role_that_hangs_leaves_its_presses_to_another(site: Linked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slack gives the envelope to the other connection when nobody acknowledged it; the command is given once."""
    incident_id = site.page()
    hung = build(site.config, Telemetry.connect(site.config), site.db).state.slack
    answered = SlackEvents.receive

    async def slowly(self: SlackEvents, kind: str, payload: Any, *, is_repeat: bool) -> Any:
        if self is hung and not is_repeat:
            await asyncio.sleep(4)
        return await answered(self, kind, payload, is_repeat=is_repeat)

    monkeypatch.setattr(SlackEvents, "receive", slowly)
    with site.connected(hung), site.connected():
        assert site.press("acknowledge").status_code == 200
        site.until(lambda: site.acknowledgements(incident_id) == 1)
        site.until(lambda: site.links.mistakes)  # the hung one's acknowledgement, a second too late
        assert "too late" in site.links.mistakes.pop()
        assert site.acknowledgements(incident_id) == 1


def test_what_is_not_understood_is_acknowledged_and_changes_nothing(site: Linked) -> None:
    """Else Slack would send it again and again."""
    incident_id = site.page()
    odd: tuple[tuple[str, dict[str, Any]], ...] = (
        ("interactive", {"type": "block_actions", "actions": [{"action_id": 7}]}),
        ("slash_commands", {"command": "/watch", "text": "\ud800"}),
        ("events_api", {"type": "event_callback", "event": {"type": "app_home_opened", "user": 3}}),
        ("something_new", {"a": [1, {"b": None}]}),
    )
    with site.connected():
        for kind, payload in odd:
            assert site.on_loop(site.links.deliver(kind, payload, 0)) == {}
    assert site.acknowledgements(incident_id) == 0


def test_a_refused_token_is_a_problem_that_is_told_without_it(site: Linked, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is Slack's; once Slack takes the connection, the problem is solved."""
    monkeypatch.setattr("alerting.channels.slack.socket_mode.AWAY_S", 1.0)
    refused = Trouble(method="apps.connections.open", kind="refused", times=2, error="invalid_auth")
    site.stand_in.troubles.add(refused)
    file = site.config.data_dir / "web.problems.json"
    problems = Problems(file)
    stopping = threading.Event()
    thread = SocketMode(site.config, site.events, problems).follow(stopping)
    told = site.until(lambda: file.read_text() if file.exists() else "")
    assert "invalid_auth" in told
    assert site.config.slack_app_token() not in told
    site.until(lambda: len(site.links) == 1)
    stopping.set()
    thread.join(30)


@pytest.mark.slow
def test_a_press_outlives_the_death_of_the_web_role(tmp_path: Path) -> None:
    """kill -9 while nobody can answer: pressed again when the role is back, it counts once."""
    changes: dict[str, dict[str, Any]] = {
        "web": {"port": free_port()},
        "slack": {"stand_in": {"port": free_port()}, "socket_mode": True},
        "oncall": {"people": [{"id": "ana", "name": "Ana", "addresses": {"slack": "UANA"}}],
                   "schedules": [{"id": "primary", "layers": [{"people": ["ana"]}]}],
                   "escalation": [{"after_s": 0, "notify": "primary"}]},
    }  # fmt: skip
    with OwnRoles(tmp_path, changes) as own:
        own.start("standin", "web")
        db = Database.open(own.config)
        incidents = Incidents.configured(own.config, db, SystemClock())
        with httpx.Client(base_url=f"http://127.0.0.1:{own.config.slack.stand_in.port}", timeout=60) as slack:
            site = Site(config=own.config, db=db, incidents=incidents, stand_in=None, slack=slack, web=slack)  # type: ignore[arg-type]
            incident_id = site.page()
            own.processes["web"].kill()
            own.processes["web"].wait()
            assert site.press("acknowledge").status_code != 200
            own.start("web")
            site.until(lambda: site.press("acknowledge").status_code == 200)
            site.until(lambda: incidents.get(incident_id).human_state == "acknowledged")
            taken = [entry for entry in incidents.get(incident_id).timeline if entry.kind == "acknowledged"]
            assert len(taken) == 1
        db.close()
