"""Senseless payloads at every door: each kind that once failed by name, and many thousands by seed."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from sqlalchemy import make_url

from alerting.incidents.human_labels import Judgement
from alerting.incidents.machine import Incident
from tests.fuzz.doors import Doors, Payload
from tests.fuzz.run import Applications, Result, ask, callbacks_of_pages, fuzz, watched
from watchkeeper.vocabulary import Actor

SEED = 20261129
PAYLOADS = 4_000  # more by hand: python -m tests.fuzz.run --payloads 1000000 --seed 1
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def applications(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Applications]:
    """Every application, started once."""
    made = Applications(tmp_path_factory.mktemp("fuzz"))
    with made.running():
        yield made


@pytest.fixture(scope="module")
def doors(applications: Applications) -> Doors:
    """Sensible payloads to begin with."""
    return applications.doors(SEED)


@pytest.fixture
async def result() -> AsyncIterator[Result]:
    """What went wrong meanwhile: nothing may."""
    found = Result()
    with watched(found):
        yield found
    assert found.tracebacks == []


async def status(applications: Applications, payload: Payload) -> int:
    return await ask(applications.of[payload.port], payload)


def signed(doors: Doors, body: bytes, kind: str = "application/json") -> Payload:
    """A body as Slack signs it."""
    import hashlib
    import hmac
    import time

    stamp = str(int(time.time()))
    mark = hmac.new(doors._signing.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    headers = {"content-type": kind, "x-slack-request-timestamp": stamp, "x-slack-signature": f"v0={mark}"}
    return Payload(door="slack", port="web", method="POST", path="/slack/events", headers=headers, body=body)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"payload=", b"payload=%7B", b"payload=[]", b"payload=1", b"payload=null", b"\xff\xfe", b"[" * 50_000,
     b"payload=" + b"[" * 50_000, b"payload=" + quote('{"type": "block_actions", "user": {"id": "\\ud800"}}').encode(),
     b"payload=" + quote('{"type": "block_actions", "user": [], "actions": 1}').encode(),
     b"payload=" + quote('{"type": "view_submission", "user": {"id": "U"}, "view": {"id": 1e999}}').encode(),
     b"payload=" + quote('{"type": "block_actions", "user": {"id": "U"}, "actions": [1]}').encode(),
     b"payload=" + quote('{"type": ["block_actions"], "user": {"id": "U"}}').encode(),
     b"payload=" + quote('{"type": "view_closed", "user": {"id": "U"}, "view": 7}').encode() + b"&payload=1",
     b"payload=" + quote('{"type": "view_submission", "user": {"id": "U"}}').encode()],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", "text/plain"])
async def test_a_signed_body_that_is_no_interaction_is_refused(
    applications: Applications, doors: Doors, result: Result, body: bytes, kind: str
) -> None:
    """Whatever its content type claims: a signature says who sent it, not that it has a shape."""
    assert await status(applications, signed(doors, body, kind)) == 400


async def test_a_form_is_understood_whatever_its_content_type_says(
    applications: Applications, doors: Doors, result: Result
) -> None:
    """Bolt goes by the header; what was checked is what counts."""
    payload = {
        "type": "block_actions", "user": {"id": "UANA"}, "channel": {"id": "C0INCIDENTS"},
        "actions": [{"action_id": "more", "action_ts": "1.0"}],
    }  # fmt: skip
    body = b"payload=" + quote(json.dumps(payload)).encode()
    for kind in ("application/json", "application/x-www-form-urlencoded", ""):
        assert await status(applications, signed(doors, body, kind)) == 200


def callback(applications: Applications, doors: Doors, part: str) -> dict[str, Any]:
    """A sensible request of the callback that reads `part`."""
    for tree in callbacks_of_pages(doors._incident_id):
        if any(isinstance(one, dict) and one["id"] == part for one in tree["inputs"]):
            return tree
    raise AssertionError(part)


def asked(tree: Any, cookie: str = "") -> Payload:
    body = tree if isinstance(tree, bytes) else json.dumps(tree).encode()
    headers = JSON | {"cookie": cookie}
    return Payload(
        door="callbacks", port="web", method="POST", path="/_dash-update-component", headers=headers, body=body
    )


async def test_sensible_callbacks_still_work(applications: Applications, doors: Doors, result: Result) -> None:
    """Each that a page sends: the check knows every one of them."""
    trees = callbacks_of_pages(doors._incident_id)
    assert len(trees) > 3
    for tree in trees:
        assert await status(applications, asked(tree, doors.cookie)) in (200, 204), tree["output"]


async def test_a_button_of_an_incident_that_is_gone_is_told_in_words(
    applications: Applications, doors: Doors, result: Result
) -> None:
    """An old page's button: the reader gets a sentence, the log no traceback."""
    buttons = [t for t in callbacks_of_pages("inc-gone") if isinstance(t["inputs"][0], list)]
    commands = {tree["inputs"][0][0]["id"].get("command") for tree in buttons}
    assert commands >= {"acknowledge", "decline", "resolve", "approve"}
    for tree in buttons:
        assert await status(applications, asked(tree, doors.cookie)) in (200, 204)


async def test_a_button_of_no_command_is_refused(applications: Applications, doors: Doors, result: Result) -> None:
    """A callback takes the buttons of its own command only."""
    statuses = []
    for tree in callbacks_of_pages(doors._incident_id):
        group = tree["inputs"][0]
        if isinstance(group, list) and "command" in group[0]["id"]:
            group[0]["id"]["command"] = "nothing"
            name = json.dumps(group[0]["id"], sort_keys=True, separators=(",", ":"))
            tree["changedPropIds"] = [f"{name}.n_clicks"]
            statuses.append(await status(applications, asked(tree, doors.cookie)))
    assert len(statuses) >= 5
    assert set(statuses) == {400}


@pytest.mark.parametrize(
    "change",
    [{"output": "nothing.data"}, {"output": None}, {"output": ["a"]}, {"output": "..a.b..."}, {"inputs": []},
     {"inputs": {}}, {"inputs": None}, {"inputs": "x"}, {"inputs": [1, 2, 3, 4]}, {"inputs": [[], [], [], []]},
     {"state": [{}]}, {"state": None}, {"changedPropIds": 1}, {"changedPropIds": [{}]}, {"changedPropIds": ["a.b"]},
     {"changedPropIds": [["url.pathname"]]}, {"inputs": float("nan")}, {"output": "tick.data"}],
)  # fmt: skip
async def test_a_mutated_callback_is_refused(
    applications: Applications, doors: Doors, result: Result, change: dict[str, Any]
) -> None:
    """An unknown output, missing inputs, lists where objects belong: a 400 that says which part."""
    tree = callback(applications, doors, "url") | change
    assert await status(applications, asked(tree)) == 400


@pytest.mark.parametrize(
    "value",
    [1, [], {}, True, "x" * 9000, "\x00", "\ud800", 2**70, float("inf"), {"a": [1]}, [[]]],
    ids=["number", "list", "object", "truth", "long", "nul", "surrogate", "huge", "infinity", "tree", "lists"],
)
@pytest.mark.parametrize("number", [0, 1])
async def test_a_callbacks_value_of_another_kind_is_refused(
    applications: Applications, doors: Doors, result: Result, value: Any, number: int
) -> None:
    """Path and query are texts, of a sensible length."""
    tree = callback(applications, doors, "url")
    tree["inputs"][number]["value"] = value
    assert await status(applications, asked(tree)) == 400


@pytest.mark.parametrize(
    "search",
    ["?from=0001-01-01T00:00:00%2B14:00&to=2026-01-01", "?from=9999-12-31T23:59:59-12:00&to=9999-12-31T23:59:59Z",
     "?from=1969-01-01&to=1969-01-02", "?from=2200-01-01&to=2200-01-02", "?range=1e999", "?from=%00&to=x",
     "?service=%ED%A0%80", "?service=" + "x" * 3000, "?from=2026-W01-1&to=2026-W01-2", "?&&&=&=="],
)  # fmt: skip
async def test_dates_out_of_range_in_an_address_are_read_as_none(
    applications: Applications, doors: Doors, result: Result, search: str
) -> None:
    """The page says what it could not read."""
    tree = callback(applications, doors, "url")
    tree["inputs"][1]["value"] = search
    assert await status(applications, asked(tree)) == 200


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b"null", b"[" * 100_000, b'{"a": NaN}', b"\xff", b"{}" * 2])
async def test_a_callback_that_is_no_json_object_is_refused(
    applications: Applications, result: Result, body: bytes
) -> None:
    """As bytes."""
    assert await status(applications, asked(body)) == 400


@pytest.mark.parametrize(
    "body",
    [b"[", b"1", b"[]", b'"x"', b'{"key": 1}', b'{"key": "\\ud800"}', b'{"label": []}',
     b'{"label": {"warranted": 1e999}}',
     b'{"label": {"warranted": true, "note": "\\udfff"}}', b'{"\\ud800": 1}', b"[" * 30_000, b'{"key": NaN}', b"\xff",
     b'{"label": {"warranted": 9' + b"9" * 5000 + b"}}"],
)  # fmt: skip
async def test_a_senseless_command_over_the_api_is_refused(
    applications: Applications, doors: Doors, result: Result, body: bytes
) -> None:
    """422 or 400 with the name of what is wrong."""
    path = f"/api/v1/incidents/{doors._incident_id}/label"
    headers = JSON | doors._authorized()
    payload = Payload(door="api", port="web", method="POST", path=path, headers=headers, body=body)
    assert await status(applications, payload) in (400, 422)


@pytest.mark.parametrize("path", ["/standin/press", "/standin/submit", "/standin/delete", "/standin/trouble"])
@pytest.mark.parametrize(
    "body",
    [b"[]", b"1", b"{", b"[" * 30_000, b'{"user": []}', b'{"user": "UANA", "channel": {}, "ts": [], "action_id": 1}',
     b'{"user": "UANA", "view_id": {}, "values": []}', b'{"channel": "\\ud800", "ts": "1", "user": "UANA"}',
     b'{"method": {}, "times": 1e999}', b'{"channel": 99999999999999999999, "ts": 1}'],
)  # fmt: skip
async def test_a_senseless_press_in_the_stand_in_is_refused(
    applications: Applications, result: Result, path: str, body: bytes
) -> None:
    """Numbers and lists where texts belong never reach its database."""
    payload = Payload(door="presses", port="standin", method="POST", path=path, headers=JSON, body=body)
    assert await status(applications, payload) in (400, 409)


@pytest.mark.parametrize(
    "path",
    ["/_dash-component-suites/", "/_dash-component-suites/dash/deps/nothing.js", "/_dash-component-suites/os/path",
     "/_dash-component-suites/dash/../../etc/passwd", "/assets/\x00", "/assets/../app.py", "/assets/%00",
     "/calendar/\x00.ics", "/_dash-component-suites/dash/deps/\ufffd"],
)  # fmt: skip
async def test_a_file_that_does_not_exist_is_not_found(applications: Applications, result: Result, path: str) -> None:
    """404, and no failure of ours."""
    payload = Payload(door="addresses", port="web", method="GET", path=path)
    assert await status(applications, payload) == 404


@pytest.fixture
def on_postgresql(tmp_path: Path, postgres_url: str) -> Iterator[Applications]:
    """The same, with incidents in a database that keeps neither NUL nor half characters nor long names."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE fuzzed")
    url = make_url(postgres_url).set(database="fuzzed").render_as_string(hide_password=False)
    made = Applications(tmp_path, state_url=url)
    with made.running():
        yield made


@pytest.mark.slow
@pytest.mark.timeout(1200)
async def test_postgresql_takes_no_more_harm_than_sqlite(on_postgresql: Applications) -> None:
    """Some hundred payloads: what one database keeps and the other refuses is refused before either."""
    result = await asyncio.wait_for(fuzz(on_postgresql, PAYLOADS // 5, SEED + 1), 1150)
    assert [(payload.door, payload.path, payload.body[:300], why) for payload, why in result.failures] == []
    assert [status for _, status in result.statuses if status >= 500] == []
    assert result.tracebacks == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
async def test_thousands_of_senseless_payloads_break_nothing(applications: Applications) -> None:
    """Over every door, seeded: no answer of 5xx but a meant 503, no traceback, and memory stays flat."""
    result = await asyncio.wait_for(fuzz(applications, PAYLOADS, SEED), 1150)
    assert result.sent >= PAYLOADS
    assert [(payload.door, payload.path, payload.body[:300], why) for payload, why in result.failures] == []
    assert [kind for kind in result.statuses if kind[1] >= 500] == []
    assert result.tracebacks == []
    assert len({door for door, _ in result.statuses}) == 11
    half = len(result.memory_mib) // 2
    assert max(result.memory_mib) - result.memory_mib[half] < 60


async def test_an_incident_that_is_labelled_again_and_again_does_not_fill_memory(
    applications: Applications, doors: Doors, result: Result
) -> None:
    """Each label makes another state of it; the large ones, of many people's labels, are not all kept."""
    for number in range(9):
        judgement = Judgement(warranted=True, note="x" * 4000)
        applications.incidents.judge(doors._incident_id, Actor(name=f"p{number}", via="cli"), f"{number}", judgement)
    for number in range(40):
        body = {"key": f"again-{number}", "label": {"warranted": True, "note": f"{number:02}" + "x" * 3998}}
        payload = Payload(
            door="api", port="web", method="POST", path=f"/api/v1/incidents/{doors._incident_id}/label",
            headers=JSON | doors._authorized(), body=json.dumps(body).encode(),
        )  # fmt: skip
        assert await status(applications, payload) == 200
    gc.collect()
    kept = [one for one in gc.get_objects() if isinstance(one, Incident) and one.id == doors._incident_id]
    assert len(kept) < 20
