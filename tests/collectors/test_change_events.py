"""POST /api/v1/changes: who may, what is kept, and what a mistake looks like."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from watchkeeper.bench.own_roles import OwnRoles
from watchkeeper.state.changes import changes_between
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Window

pytestmark = pytest.mark.xdist_group("collectors")


@pytest.fixture
def token(roles: OwnRoles) -> dict[str, str]:
    """The local token's header."""
    return {"Authorization": f"Bearer {roles.config.secret('commands')}"}


def test_a_change_is_kept_once(roles: OwnRoles, http: httpx.Client, token: dict[str, str]) -> None:
    """A deploy is stored with what it said; sent again under the same id it is known."""
    title = "Deploy " + secrets.token_hex(4)
    body = {
        "id": title,
        "kind": "deploy",
        "service": "payments",
        "title": title,
        "version": "1.5.0",
        "at": "2026-01-02T03:04:05+01:00",
        "files": ["a.py"],
        "attributes": {"by": "ci"},
    }
    assert [http.post("/api/v1/changes", json=body, headers=token).json()["new"] for _ in range(2)] == [True, False]
    at = datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)
    window = Window(start=at - timedelta(seconds=1), end=at + timedelta(seconds=1))
    (change,) = (c for c in changes_between(Database.open(roles.config), window) if c.title == title)
    assert (at, "payments", "1.5.0", ("a.py",)) == (change.at, change.service, change.version, tuple(change.files))


def test_without_a_token_nothing_is_kept(http: httpx.Client) -> None:
    """No token, or a wrong one, is 401 and says how to get one."""
    body = {"kind": "deploy", "service": "a", "title": "b"}
    for headers in ({}, {"Authorization": "Bearer guess"}, {"Authorization": "Basic x"}):
        answer = http.post("/api/v1/changes", json=body, headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert "token new" in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({"service": "a", "title": "b"}, "kind"),
        ({"kind": "party", "service": "a", "title": "b"}, "kind"),
        ({"kind": "flag", "service": "", "title": "b"}, "service"),
        ({"kind": "flag", "service": "a", "title": "b", "typo": 1}, "typo"),
        ({"kind": "flag", "service": "a", "title": "b", "at": "yesterday"}, "at"),
        ([], "body"),
    ],
)
def test_a_mistake_names_the_key(http: httpx.Client, token: dict[str, str], body: object, key: str) -> None:
    """A wrong body is 400 and says which key."""
    answer = http.post("/api/v1/changes", json=body, headers=token)
    assert answer.status_code == 400
    assert key in answer.json()["error"]


def test_what_is_not_json_is_a_400(http: httpx.Client, token: dict[str, str]) -> None:
    """Broken text is the sender's mistake; another type is not even looked at."""
    for content in (b"{", b"\xff", b"[" * 100_000):
        headers = token | {"Content-Type": "application/json"}
        assert http.post("/api/v1/changes", content=content, headers=headers).status_code == 400
    assert http.post("/api/v1/changes", content=b"{}", headers=token).status_code == 415
