"""The rota and overrides over the API of the web role, as it is served: who may change what, and what is then so."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from alerting.channels.slack.standin.served import serving
from alerting.oncall.applying import bring_into_force, plan_file
from watchkeeper.config import Config, OnCallConfig, PersonConfig, TokenConfig, WebConfig
from watchkeeper.roles import web
from watchkeeper.state.database import Database
from watchkeeper.state.schema import metadata
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.vocabulary import Actor

ROTA = "/api/v1/oncall/rota"
FILE = "/etc/watchkeeper.yaml"
EVE = {"name": "Eve", "addresses": {"slack": "UEVE"}}
NIGHT = {"layers": [{"people": ["eve"]}], "timezone": "Asia/Tokyo"}
SCOPES = {"full": ("commands", "rota"), "commands": ("commands",)}


def oncall() -> OnCallConfig:
    people = (PersonConfig(id="oncall", name="On call", addresses={"slack": "U0ONCALL"}),)
    return OnCallConfig(people=people)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Config, Database]]:
    """A web role on a free port, started once, with two tokens."""
    listener = socket.create_server(("127.0.0.1", 0))
    folder: Path = tmp_path_factory.mktemp("rota")
    tokens = tuple(
        TokenConfig(name=name, sha256=hashlib.sha256(f"wk_{name}".encode()).hexdigest(), scopes=scopes)
        for name, scopes in SCOPES.items()
    )
    config = Config(data_dir=folder, oncall=oncall(), tokens=tokens, web=WebConfig(port=listener.getsockname()[1]))
    db = Database.open(config)
    with serving(web.build(config, Telemetry.connect(config), db), listener):
        yield config, db
    db.close()


@pytest.fixture(autouse=True)
def _fresh(served: tuple[Config, Database]) -> None:
    """The file's rota is in force, and nothing else."""
    config, db = served
    with db.write() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    config.put_in_force(oncall())
    bring_into_force(db, plan_file(db, config, FILE), datetime.now(UTC), Actor(name="boss", via="cli"))


def client(served: tuple[Config, Database], token: str = "") -> httpx.Client:
    headers = {"Authorization": f"Bearer wk_{token}"} if token else {}
    return httpx.Client(base_url=served[0].web_url, timeout=120, trust_env=False, headers=headers)


@pytest.fixture
def writer(served: tuple[Config, Database]) -> Iterator[httpx.Client]:
    """A program that may change the rota."""
    with client(served, "full") as program:
        yield program


def test_an_object_is_made_changed_and_removed(served: tuple[Config, Database], writer: httpx.Client) -> None:
    """Each is in force at once in this process, and says who made it."""
    first = writer.get(ROTA).json()
    assert (first["file"], first["not_owned_by_file"], first["by"]) == (FILE, {}, "boss")
    made = writer.put("/api/v1/oncall/people/eve", json={"value": EVE, "version": first["version"]})
    assert (made.status_code, made.json()["value"]["addresses"]) == (200, {"slack": "UEVE"})
    assert writer.put("/api/v1/oncall/schedules/night", json={"value": NIGHT}).status_code == 200
    assert writer.put("/api/v1/oncall/teams/money", json={"value": ["pay-*"]}).status_code == 200
    assert [row["schedule"] for row in writer.get("/api/v1/oncall").json()] == ["primary", "night"]
    later = writer.get(ROTA).json()
    assert later["not_owned_by_file"] == {
        "people/eve": "full (api)",
        "schedules/night": "full (api)",
        "teams/money": "full (api)",
    }
    assert writer.put("/api/v1/oncall/schedules/night", json={"value": NIGHT | {"timezone": "UTC"}}).status_code == 200
    assert served[0].oncall.schedules[1].timezone == "UTC"
    assert "cannot be removed" in writer.delete("/api/v1/oncall/people/eve").json()["error"]
    for path in ("schedules/night", "people/eve", "teams/money"):
        assert writer.delete(f"/api/v1/oncall/{path}").status_code == 200
    assert writer.delete("/api/v1/oncall/people/eve").status_code == 404
    assert writer.get(ROTA).json()["oncall"] == first["oncall"]


def test_what_the_file_owns_and_what_another_changed_is_refused(writer: httpx.Client) -> None:
    owned = writer.put("/api/v1/oncall/people/oncall", json={"value": EVE})
    assert (owned.status_code, FILE in owned.json()["error"]) == (409, True)
    seen = writer.get(ROTA).json()["version"]
    writer.put("/api/v1/oncall/people/eve", json={"value": EVE})
    for answer in (
        writer.put("/api/v1/oncall/people/eve", json={"value": EVE | {"name": "Eva"}, "version": seen}),
        writer.delete(f"/api/v1/oncall/people/eve?version={seen}"),
    ):
        assert (answer.status_code, "by full at" in answer.json()["error"]) == (409, True)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("people/eve", {"name": "Eve", "addresses": {"fax": "1"}}),
        ("people/eve", {"name": "Eve", "addresses": {"slack": "u0oncall"}}),
        ("people/eve", ["a"]),
        ("schedules/night", {"layers": [{"people": ["nobody"]}]}),
        ("schedules/night", {"layers": [{"people": ["oncall"], "turn_hours": "NaN"}]}),
        ("policies/p", {"steps": [{"after_s": -1, "notify": "primary"}]}),
        ("teams/t", {"a": 1}),
        ("teams/t", [""]),
        ("teams/\u202e", ["x"]),
    ],
)
def test_a_wrong_value_is_refused_and_nothing_changes(writer: httpx.Client, path: str, value: object) -> None:
    before = writer.get(ROTA).json()
    answer = writer.put(f"/api/v1/oncall/{path}", json={"value": value})
    assert (answer.status_code, "\u202e" in answer.json()["error"]) == (422, False)
    assert writer.get(ROTA).json() == before


def test_who_may_not_change_the_rota_is_told_what_is_missing(served: tuple[Config, Database]) -> None:
    """A reader looks, without addresses; a token for commands alone is not enough; a session has its token's scopes."""
    with client(served) as reader:
        people = reader.get(ROTA).json()["oncall"]["people"]
        assert people[0]["addresses"] == {"slack": ""}
        assert reader.put("/api/v1/oncall/people/eve", json={"value": EVE}).status_code == 401
        assert reader.post("/api/v1/oncall/overrides", json=_override()).status_code == 401
    with client(served, "commands") as program:
        refused = program.put("/api/v1/oncall/people/eve", json={"value": EVE})
        assert (refused.status_code, "needs the scope rota" in refused.json()["error"]) == (403, True)
        assert program.delete("/api/v1/oncall/people/eve").status_code == 403
    for token, status in (("wk_commands", 403), ("wk_full", 200)):
        with client(served) as browser:
            browser.post("/sign-in", data={"token": token, "as": "oncall", "onward": "/"})
            assert browser.put("/api/v1/oncall/people/eve", json={"value": EVE}).status_code == status


def _override(days: int = 0) -> dict[str, str]:
    start = datetime.now(UTC) + timedelta(days=days)
    times = {"start": start.isoformat(), "end": (start + timedelta(hours=1)).isoformat()}
    return {"schedule": "primary", "person": "oncall", **times}


def test_an_override_is_made_listed_and_ended(served: tuple[Config, Database]) -> None:
    with client(served, "commands") as program:
        made = program.post("/api/v1/oncall/overrides", json=_override(1))
        assert (made.status_code, made.json()["new"]) == (201, True)
        (listed,) = program.get("/api/v1/oncall/overrides").json()
        assert (listed["id"], listed["person"], listed["author"]) == (made.json()["id"], "oncall", "commands")
        assert program.delete(f"/api/v1/oncall/overrides/{listed['id']}").status_code == 200
        assert program.get("/api/v1/oncall/overrides").json() == []
        assert program.delete(f"/api/v1/oncall/overrides/{listed['id']}").status_code == 404
        assert program.post("/api/v1/oncall/overrides", json=_override(-2)).status_code == 409
        backwards = _override(1)
        backwards["start"], backwards["end"] = backwards["end"], backwards["start"]
        assert program.post("/api/v1/oncall/overrides", json=backwards).status_code == 422
        assert program.post("/api/v1/oncall/overrides", json=_override() | {"person": "nobody"}).status_code == 404


def test_what_stands_in_the_file_is_not_ended_over_the_api(served: tuple[Config, Database]) -> None:
    """A silence and an override of the file: the refusal names the key to change."""
    config, db = served
    start, end = (f"{datetime.now(UTC) + timedelta(hours=hours):%Y-%m-%dT%H:%M}" for hours in (-1, 5))
    span = {"start": start, "end": end}
    silence = {"id": "move", "service": "shop", "reason": "database move"} | span
    override = {"id": "mine", "schedule": "primary", "person": "oncall"} | span
    tree = oncall().model_dump(mode="json") | {"silences": [silence], "overrides": [override]}
    config.put_in_force(OnCallConfig.model_validate(tree))
    bring_into_force(db, plan_file(db, config, FILE), datetime.now(UTC), Actor(name="boss", via="cli"))
    with client(served, "commands") as program:
        ((kept,), (shift,)) = (program.get(f"/api/v1/{path}").json() for path in ("silences", "oncall/overrides"))
        for answer, key in (
            (program.post(f"/api/v1/silences/{kept['id']}/end"), "oncall.silences"),
            (program.delete(f"/api/v1/oncall/overrides/{shift['id']}"), "oncall.overrides"),
        ):
            assert answer.status_code == 409
            assert f"change `{key}` there" in answer.json()["error"]
        assert program.get("/api/v1/silences").json() == [kept]
