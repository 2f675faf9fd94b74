"""Postmortems, action items and status updates over the API of the web role, as it is served."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from alerting.channels.slack.standin.served import serving
from alerting.incidents.commands import Incidents
from tests.alerting.protocol import finding
from watchkeeper.clock import SystemClock
from watchkeeper.config import Config, WebConfig
from watchkeeper.config_sections import ComponentConfig, StatusPageConfig
from watchkeeper.roles import web
from watchkeeper.state.database import Database
from watchkeeper.state.schema import metadata
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.vocabulary import Actor

POSTMORTEMS = "/api/v1/postmortems"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Config, Database]]:
    """A web role on a free port, started once."""
    folder: Path = tmp_path_factory.mktemp("api")
    listener = socket.create_server(("127.0.0.1", 0))
    components = (ComponentConfig(id="checkout", name="Checkout", services=("payments",)),)
    config = Config(
        data_dir=folder,
        web=WebConfig(port=listener.getsockname()[1]),
        status_page=StatusPageConfig(components=components),
    )
    db = Database.open(config)
    with serving(web.build(config, Telemetry.connect(config), db), listener):
        yield config, db
    db.close()


@pytest.fixture
def reader(served: tuple[Config, Database]) -> Iterator[httpx.Client]:
    """A program on this machine without a token."""
    with httpx.Client(base_url=served[0].web_url, timeout=120, trust_env=False) as client:
        yield client


@pytest.fixture
def writer(served: tuple[Config, Database]) -> Iterator[httpx.Client]:
    """The same with a token that may act."""
    token = {"Authorization": f"Bearer {served[0].secret('commands')}"}
    with httpx.Client(base_url=served[0].web_url, timeout=120, trust_env=False, headers=token) as client:
        yield client


@pytest.fixture
def resolved(served: tuple[Config, Database]) -> str:
    """A page that Ana resolved; nothing else is there."""
    config, db = served
    with db.write() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    incidents = Incidents(db, SystemClock(), config.oncall)
    (opened,) = incidents.observe([finding(SystemClock().now(), "payments")])
    incidents.resolve(opened, Actor(name="Ana", via="slack"), "r")
    return opened


def test_a_postmortem_is_edited_reviewed_and_published(
    reader: httpx.Client, writer: httpx.Client, resolved: str
) -> None:
    """With a conflict that says who and what, and a file that may neither run nor load anything."""
    (listed,) = reader.get(POSTMORTEMS).json()
    assert (listed["incident"], listed["state"], listed["revision"]) == (resolved, "draft", 1)
    where = f"{POSTMORTEMS}/{resolved}"
    fields = {"summary": "<b>Checkout</b> failed.", "root_cause": "A lock.", "warranted": "yes", "cause": "payments"}
    first = writer.post(f"{where}/edit", json={"revision": 1, "fields": fields, "key": "k"})
    assert (first.status_code, first.json()["postmortem"]["revision"]) == (200, 2)
    assert writer.post(f"{where}/edit", json={"revision": 1, "fields": fields, "key": "k"}).status_code == 409
    late = writer.post(f"{where}/edit", json={"revision": 1, "fields": {"summary": "mine"}})
    assert late.status_code == 409
    assert "changed Summary" in late.json()["error"]
    entry = {"at": "2026-03-01T02:58:00Z", "text": "a customer called", "kind": "detection"}
    assert writer.post(f"{where}/timeline", json=entry).status_code == 200
    assert writer.post(f"{where}/timeline/e1/mark", json={}).status_code == 200
    read = reader.get(where).json()
    assert read["label"]["cause"] == "payments"
    assert "a customer called" in [line["text"] for line in read["timeline"]]
    assert reader.get(f"{where}/text", params={"published": True}).status_code == 409
    assert writer.post(f"{where}/submit").status_code == 200
    published = writer.post(f"{where}/publish", json={"revision": 5})
    assert published.json()["postmortem"]["state"] == "published"
    page = reader.get(f"{where}/text", params={"published": True, "form": "html"})
    assert "&lt;b&gt;Checkout&lt;/b&gt;" in page.text
    assert "sandbox" in page.headers["content-security-policy"]
    assert reader.get(POSTMORTEMS, params={"q": "LOCK", "state": "published"}).json()[0]["incident"] == resolved
    assert [one["revision"] for one in reader.get(f"{where}/revisions").json()] == [1, 2, 3, 4, 5, 6]


def test_action_items_over_the_api(reader: httpx.Client, writer: httpx.Client, resolved: str) -> None:
    """Added once, done once."""
    body = {"text": "Alert on locks", "owner": "oncall", "due": "2026-03-31", "key": "k"}
    added = writer.post(f"{POSTMORTEMS}/{resolved}/actions", json=body)
    action = added.json()["action"]["id"]
    assert writer.post(f"{POSTMORTEMS}/{resolved}/actions", json=body).status_code == 409
    assert [one["id"] for one in reader.get("/api/v1/actions", params={"owner": "oncall"}).json()] == [action]
    assert writer.post(f"/api/v1/actions/{action}/change", json={"due": "2026-04-01"}).json()["changed"]
    assert [writer.post(f"/api/v1/actions/{action}/done").status_code for _ in range(2)] == [200, 409]
    assert reader.get("/api/v1/actions").json() == []
    assert writer.post(f"/api/v1/actions/{action}/reopen").status_code == 200


def test_status_updates_over_the_api(reader: httpx.Client, writer: httpx.Client, resolved: str) -> None:
    """A draft is not public; what must not leave is refused."""
    drafted = writer.post(f"/api/v1/status/incidents/{resolved}/draft", json={}).json()
    assert (drafted["public"], drafted["components"]) == (False, ["checkout"])
    bad = {"audience": "public", "text": "password=hunter2", "names_too": True}
    refused = writer.post(f"/api/v1/status/incidents/{resolved}/post", json=bad)
    assert (refused.status_code, "must not leave" in refused.json()["error"]) == (409, True)
    assert writer.post(f"/api/v1/status/updates/{drafted['id']}/approve").json()["public"]
    assert [one["public"] for one in reader.get("/api/v1/status/updates").json()] == [True]
    assert not writer.post(f"/api/v1/status/updates/{drafted['id']}/withdraw").json()["public"]


ACTING: list[tuple[str, dict[str, Any]]] = [
    ("postmortems/{id}/begin", {}),
    ("postmortems/{id}/edit", {"revision": 1, "fields": {"summary": "x"}}),
    ("postmortems/{id}/submit", {}),
    ("postmortems/{id}/return", {}),
    ("postmortems/{id}/publish", {"revision": 1}),
    ("postmortems/{id}/timeline", {"at": "2026-03-01T00:00:00Z", "text": "x"}),
    ("postmortems/{id}/timeline/e1/mark", {}),
    ("postmortems/{id}/actions", {"text": "x"}),
    ("actions/act-1/change", {"text": "x"}),
    ("actions/act-1/done", {}),
    ("actions/act-1/reopen", {}),
    ("status/incidents/{id}/post", {"audience": "internal", "text": "x"}),
    ("status/incidents/{id}/draft", {}),
    ("status/updates/upd-1/approve", {}),
    ("status/updates/upd-1/withdraw", {}),
]


def test_acting_needs_a_token_and_every_route_is_described(
    reader: httpx.Client, writer: httpx.Client, resolved: str
) -> None:
    """401 without one, nothing is a 500, and OpenAPI has each route with a sentence."""
    for path, body in ACTING:
        address = "/api/v1/" + path.format(id=resolved)
        assert reader.post(address, json=body).status_code == 401, path
        assert writer.post(address, json=body).status_code in (200, 404, 409), path
        assert writer.post(address, json={"unknown": 1}).status_code in (200, 404, 409, 422), path
    described = reader.get("/api/openapi.json").json()["paths"]
    ours = {path: one for path, one in described.items() if path.split("/")[3] in ("postmortems", "actions", "status")}
    assert sum(len(operations) for operations in ours.values()) == len(ACTING) + 6
    assert all(operation["description"] for operations in ours.values() for operation in operations.values())


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("edit", {"revision": 1, "fields": {"blame": "Ben"}}, "blame: a postmortem has no such field"),
        ("edit", {"revision": 0, "fields": {"summary": "x"}}, "body.revision: Input should be greater"),
        ("edit", {"revision": 1, "fields": {"summary": "a\x00b"}}, "holds NUL"),
        ("actions", {"text": "x", "due": "soon"}, "due: 'soon' must be a date"),
        ("timeline", {"at": "noon", "text": "x"}, "body.at: Input should be a valid datetime"),
    ],
)
def test_a_wrong_value_is_one_sentence(
    writer: httpx.Client, resolved: str, path: str, body: dict[str, Any], message: str
) -> None:
    """422, with the field."""
    answer = writer.post(f"{POSTMORTEMS}/{resolved}/{path}", json=body)
    assert answer.status_code == 422
    assert message in answer.json()["error"]
