"""POST /api/v1/changes: who may, what is kept, and what a mistake looks like."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta, timezone

import httpx
import pytest

from bench.own_roles import OwnRoles
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
        ({"kind": "flag", "service": " \n", "title": "b"}, "service"),
        ({"kind": "flag", "service": "a", "title": "\t"}, "title"),
        ({"kind": "flag", "service": "x" * 256, "title": "b"}, "service"),
        ({"kind": "flag", "service": "a", "title": "b", "id": "x" * 256}, "id"),
        ({"kind": "flag", "service": 7, "title": "b"}, "service"),
        ({"kind": ["flag"], "service": "a", "title": "b"}, "kind"),
        ({"kind": "flag", "service": "a", "title": "b", "files": "a.py"}, "files"),
        ({"kind": "flag", "service": "a", "title": "b", "files": [1] * 900}, "files"),
        ({"kind": "flag", "service": "a", "title": "b", "attributes": [1]}, "attributes"),
        ({"kind": "flag", "service": "a", "title": "b", "attributes": {"k": {}}}, "attributes"),
        ([], "body"),
        ("text", "body"),
        (7, "body"),
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


def kept(roles: OwnRoles, identity: str) -> datetime:
    """When a stored change happened."""
    every = Window(start=datetime(2010, 1, 1, tzinfo=UTC), end=datetime.now(UTC) + timedelta(days=3))
    db = Database.open(roles.config)
    (change,) = (change for change in changes_between(db, every) if change.id == identity)
    db.close()
    return change.at


def test_a_time_in_any_unit_and_zone_is_the_right_instant(
    roles: OwnRoles, http: httpx.Client, token: dict[str, str]
) -> None:
    """Seconds to nanoseconds, as numbers or text, local offsets, no offset, fractions."""
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    seconds = int(at.timestamp())
    local = at.astimezone(timezone(timedelta(hours=5, minutes=30)))
    far = at.astimezone(timezone(-timedelta(hours=23, minutes=59)))
    forms: list[object] = [seconds, seconds * 1000, seconds * 10**6, seconds * 10**9, float(seconds)]
    forms += [str(seconds), str(seconds * 1000), f"{seconds}.0", at.isoformat(), at.strftime("%Y-%m-%dT%H:%M:%SZ")]
    forms += [at.strftime("%Y-%m-%dt%H:%M:%S.000000000z"), at.replace(tzinfo=None).isoformat(), local.isoformat()]
    forms += [far.isoformat(), f" {at.isoformat()} "]
    for form in forms:
        body = {"id": secrets.token_hex(8), "kind": "flag", "service": "a", "title": "b", "at": form}
        answer = http.post("/api/v1/changes", json=body, headers=token)
        assert answer.status_code == 200, (form, answer.text)
        assert kept(roles, str(body["id"])) == at, form


@pytest.mark.parametrize(
    "at",
    [
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+05:00",
        "9999-12-31T23:59:59-05:00",
        "2099-01-01T00:00:00Z",
        "1999-01-01T00:00:00Z",
        "0000-00-00T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-01-01T00:00:00+25:00",
        "+010000-01-01T00:00:00Z",
        "now",
        "",
        "nan",
        "1" * 31,
        0,
        -1,
        1,
        10**30,
        1e308,
        True,
        [],
        {},
    ],
)
def test_a_time_that_cannot_be_is_refused_clearly(http: httpx.Client, token: dict[str, str], at: object) -> None:
    """Beyond the calendar, a decade back or a day ahead, or no time at all: a 400 that names the key."""
    body = {"kind": "flag", "service": "a", "title": "b", "at": at}
    answer = http.post("/api/v1/changes", json=body, headers=token)
    assert (answer.status_code, ": at: " in answer.json()["error"]) == (400, True)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000])
def test_a_number_that_json_does_not_know_is_refused(http: httpx.Client, token: dict[str, str], number: str) -> None:
    """As Python's reader lets some through."""
    body = f'{{"kind": "flag", "service": "a", "title": "b", "at": {number}}}'
    headers = token | {"Content-Type": "application/json"}
    assert http.post("/api/v1/changes", content=body, headers=headers).status_code == 400


@pytest.mark.parametrize("text", ["nul\\u0000", "half \\ud800 a pair", "\\ud83d\\ude42", "\\u202e"])
def test_a_text_that_no_database_holds_is_kept_as_it_can_be(
    roles: OwnRoles, http: httpx.Client, token: dict[str, str], text: str
) -> None:
    """Never a failure of ours, wherever it stands; sent again it is known."""
    mark = secrets.token_hex(6)
    body = (
        f'{{"id": "{mark}{text}", "kind": "flag", "service": "a{text}", "title": "{text}b", "version": "{text}",'
        f' "files": ["{text}"], "attributes": {{"{text}": "{text}"}}}}'
    )
    headers = token | {"Content-Type": "application/json"}
    answers = [http.post("/api/v1/changes", content=body, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [answer.json()["new"] for answer in answers] == [True, False]
