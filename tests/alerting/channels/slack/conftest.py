"""A real stand-in and a real web role on free ports, started once; each test finds them empty."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from alerting.channels.slack.channel import SlackChannel
from alerting.channels.slack.standin.app import StandIn
from alerting.channels.slack.standin.served import serving
from alerting.incidents.commands import Incidents
from tests.alerting.channels.slack.running_site import PEOPLE, Site
from watchkeeper.clock import SystemClock
from watchkeeper.config import Config, OnCallConfig, SlackConfig, SlackStandInConfig, WebConfig
from watchkeeper.roles.web import build
from watchkeeper.state.database import Database
from watchkeeper.state.schema import metadata
from watchkeeper.store.telemetry import Telemetry


@pytest.fixture(scope="session")
def _site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder: Path = tmp_path_factory.mktemp("slack")
    slack_port, web_port = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    config = Config(
        data_dir=folder,
        oncall=OnCallConfig(people=PEOPLE),
        web=WebConfig(port=web_port.getsockname()[1]),
        slack=SlackConfig(stand_in=SlackStandInConfig(port=slack_port.getsockname()[1])),
    )
    db = Database.open(config)
    incidents = Incidents(db, SystemClock(), config.oncall)
    stand_in = StandIn(config, lambda: f"{config.web_url}/slack/events")
    web = build(config, Telemetry.connect(config), db)
    slack_url = f"http://127.0.0.1:{config.slack.stand_in.port}"
    with (
        serving(stand_in.application(), slack_port),
        serving(web, web_port),
        httpx.Client(base_url=slack_url, timeout=120, trust_env=False) as to_slack,
        httpx.Client(base_url=config.web_url, timeout=120, trust_env=False) as to_web,
    ):
        yield Site(config=config, db=db, incidents=incidents, stand_in=stand_in, slack=to_slack, web=to_web)
    db.close()


@pytest.fixture
def site(_site: Site) -> Iterator[Site]:
    """The site with an empty channel and no incidents."""
    yield _site
    _site.stand_in.troubles.clear()
    _site.stand_in.limits = None
    _site.web.cookies.clear()
    with _site.db.write() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    board = _site.board()
    for channel, messages in [("C0INCIDENTS", board["messages"]), *board["direct"].items()]:
        for message in messages:
            _site.slack.post("/standin/delete", json={"channel": channel, "ts": message["ts"]})


@pytest.fixture
def channel(site: Site) -> SlackChannel:
    """The channel as the watch role uses it."""
    return SlackChannel(site.config)
