"""Tokens: pasted badly, of the wrong kind, guessed, in an address, and at the end of their life."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.responses import Response

from alerting.channels.slack.standin.served import serving
from alerting.incidents.commands import Incidents
from dashboard.web.credentials import fingerprint
from dashboard.web.session import Sessions
from dashboard.web.throttle import FREE, LONGEST_S, MOST, MOST_WAITING, Slowing
from tests.alerting.channels.slack.running_site import PEOPLE, finding
from watchkeeper.clock import SystemClock
from watchkeeper.config import Config, OnCallConfig, TokenConfig, WebConfig
from watchkeeper.roles.web import build
from watchkeeper.state.database import Database
from watchkeeper.store.telemetry import Telemetry

SCOPES = {"bot": ("commands",), "sender": ("ingest",), "deployer": ("changes", "ingest")}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Three tokens of three kinds beside the local one; two people."""
    tokens = tuple(
        TokenConfig(name=name, sha256=hashlib.sha256(f"wk_{name}".encode()).hexdigest(), scopes=scopes)
        for name, scopes in SCOPES.items()
    )
    folder = tmp_path_factory.mktemp("tokens")
    return Config(data_dir=folder, oncall=OnCallConfig(people=PEOPLE), tokens=tokens, web=WebConfig(port=0))


@pytest.fixture(scope="module")
def _url(config: Config) -> Iterator[str]:
    db = Database.open(config)
    listener = socket.create_server(("127.0.0.1", 0))
    with serving(build(config, Telemetry.connect(config), db), listener):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    db.close()


@pytest.fixture
def web(_url: str) -> Iterator[httpx.Client]:
    """A browser without cookies."""
    with httpx.Client(base_url=_url, timeout=60, trust_env=False) as client:
        yield client


ACT = "/api/v1/incidents/inc-none/acknowledge"


def act(web: httpx.Client, header: str | None) -> tuple[int, dict[str, str], str]:
    """Status, headers and error of a command with this header, blanks and all, which httpx would not send."""
    connection = http.client.HTTPConnection(web.base_url.host, web.base_url.port, timeout=60)
    try:
        connection.request("POST", ACT, headers={} if header is None else {"Authorization": header})
        answer = connection.getresponse()
        body = answer.read()
        return answer.status, dict(answer.headers.items()), json.loads(body)["error"]
    finally:
        connection.close()


@pytest.mark.parametrize(
    "header", ["Bearer wk_bot", "bearer  wk_bot", "Bearer wk_bot ", "  Bearer wk_bot", "BEARER wk_bot\t"]
)
def test_blanks_around_a_token_do_no_harm(web: httpx.Client, header: str) -> None:
    """A token that was pasted with them is the same token: the request goes on to find no such incident."""
    assert act(web, header)[0] == 404


@pytest.mark.parametrize("pasted", ["wk_bot\n", "\r\nwk_bot\r\n", "  wk_bot\t"])
def test_a_pasted_line_break_does_no_harm_at_sign_in(web: httpx.Client, pasted: str) -> None:
    """The form strips it."""
    assert web.post("/sign-in", data={"token": pasted, "as": "ben"}).status_code == 303


def test_each_failure_has_its_own_words(web: httpx.Client) -> None:
    """None, a wrong scheme, an unknown one, one with a blank inside, a digest: each has an answer of its own."""
    digest = hashlib.sha256(b"wk_bot").hexdigest()
    answers = {}
    for header in (None, "Basic d2s6d2s=", "Bearer ", "Bearer wk_guess", "Bearer wk_b ot", f"Bearer {digest}"):
        status, headers, answers[header] = act(web, header)
        assert (status, headers["www-authenticate"]) == (401, "Bearer")
    assert len(set(answers.values())) == len(answers) - 1  # `Bearer` alone and another scheme lack the same thing
    assert "one piece" in answers["Bearer wk_b ot"]
    assert "SHA-256" in answers[f"Bearer {digest}"]
    assert "wk_guess" not in str(answers.values())


@pytest.mark.parametrize("kind", ["sender", "deployer"])
def test_a_token_of_another_kind_reads_what_is_needed(web: httpx.Client, kind: str) -> None:
    """403, with the scope that is needed and those that it has; reading with it is no way in either."""
    status, _, answers = act(web, f"Bearer wk_{kind}")
    assert status == 403
    assert "scope commands" in answers
    assert all(scope in answers for scope in SCOPES[kind])
    assert web.get("/api/v1/incidents", headers={"Authorization": f"Bearer wk_{kind}"}).status_code == 403
    assert web.post("/sign-in", data={"token": f"wk_{kind}", "as": "ben"}).status_code == 403


def test_a_token_in_the_address_leads_to_a_clean_one(web: httpx.Client, config: Config) -> None:
    """Right or wrong, the answer is another address without it, stored nowhere and sent to nobody."""
    for token in (config.secret("commands"), "wk_guess", ""):
        answer = web.get("/", params={"token": token})
        assert answer.status_code == 303
        assert "token" not in answer.headers["location"]
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert not token or token not in answer.text


def test_after_a_token_in_the_address_only_the_name_is_asked(web: httpx.Client, config: Config) -> None:
    """The token was right; it is neither in the page nor needed again."""
    assert web.get("/", params={"token": config.secret("commands")}).headers["location"] == "/sign-in"
    page = web.get("/sign-in").text
    assert 'name="token"' not in page
    assert config.secret("commands") not in page
    assert web.post("/sign-in", data={"as": "ben"}).headers["location"] == "/"
    assert web.post(ACT).status_code == 404  # signed in; there is no such incident


def test_signing_out_ends_it(web: httpx.Client, config: Config) -> None:
    """The browser forgets the session."""
    web.post("/sign-in", data={"token": config.secret("commands"), "as": "oncall"})
    assert "Sign out" in web.get("/sign-in").text
    assert web.post("/sign-out").status_code == 303
    assert web.post(ACT).status_code == 401


def test_a_session_ends_with_its_token(config: Config, tmp_path: Path) -> None:
    """Taken out of the configuration, or made anew: the cookie is worth nothing."""
    known = config.model_copy(update={"data_dir": tmp_path})
    cookie = Sessions(known).cookie("ben", fingerprint(known.tokens[0].sha256))
    assert Sessions(known).actor(cookie)
    assert Sessions(known.model_copy(update={"tokens": ()})).actor(cookie) is None
    assert Sessions(known).actor(Sessions(known).cookie("ben", "0" * 16)) is None
    assert Sessions(known).actor("ben:99999999999:00") is None


@pytest.mark.parametrize(
    "onward", ["//evil.example", "/\\evil.example", "https://evil.example", "/\r\nX: y", "javascript:1"]
)
def test_signing_in_leads_nowhere_else(web: httpx.Client, onward: str) -> None:
    """The address to go on to is one of ours."""
    assert web.post("/sign-in", data={"token": "wk_bot", "as": "ben", "onward": onward}).headers["location"] == "/"


def test_wrong_tokens_are_slowed_and_the_right_one_still_signs_in(web: httpx.Client) -> None:
    """However many were wrong, from the same address even: it waits, and is not refused."""
    for _ in range(FREE + 2):
        assert web.post("/sign-in", data={"token": "wk_guess", "as": "ben"}).status_code == 401
    assert web.post("/sign-in", data={"token": "wk_bot", "as": "ben"}).status_code == 303


def test_delays_grow_are_capped_and_are_each_addresss_own() -> None:
    """Nothing at first; then more and more; never for others; over after a while."""
    now = [0.0]
    slowing = Slowing(lambda: now[0])
    delays = []
    for _ in range(30):
        delays.append(slowing.delay_s("10.0.0.1"))
        slowing.failed("10.0.0.1")
    assert delays[:FREE] == [0.0] * FREE
    assert delays == sorted(delays)
    assert delays[-1] == LONGEST_S
    assert slowing.delay_s("10.0.0.2") == 0.0
    now[0] = 3600.0
    assert slowing.delay_s("10.0.0.1") == 0.0


def test_what_is_remembered_is_bounded() -> None:
    """A million addresses take no more memory than some thousands."""
    slowing = Slowing()
    for number in range(3 * MOST):
        slowing.failed(str(number))
    assert len(slowing._records) == MOST


async def test_too_many_at_once_are_asked_to_come_back() -> None:
    """One address cannot hold a thousand connections open by being slow."""
    slowing = Slowing()
    for _ in range(40):
        slowing.failed("10.0.0.1")
    waiting = [asyncio.create_task(slowing.wait("10.0.0.1")) for _ in range(MOST_WAITING)]
    await asyncio.sleep(0)
    assert not await slowing.wait("10.0.0.1")
    assert await slowing.wait("10.0.0.2")
    for task in waiting:
        task.cancel()


def test_an_api_caller_is_named_by_its_token(web: httpx.Client, config: Config) -> None:
    """Whatever name it claims in a header: see also the incident's own record."""
    db = Database.open(config)
    incidents = Incidents(db, SystemClock(), config.oncall)
    (incident_id,) = incidents.observe([finding()])
    incidents.page(incident_id)
    claim = {"Authorization": "Bearer wk_bot", "X-Watchkeeper-Actor": "Ben"}
    answer = web.post(f"/api/v1/incidents/{incident_id}/acknowledge", headers=claim)
    assert answer.json()["incident"]["acknowledged_by"] == {"name": "bot", "via": "api"}
    assert "Ben" not in str(incidents.get(incident_id).timeline)
    db.close()


def test_behind_https_the_cookie_is_for_https_only(config: Config) -> None:
    """The public address says whether it is."""
    public = config.model_copy(update={"web": WebConfig(public_url="https://watch.example")})
    for known, secure in ((config, False), (public, True)):
        answer = Response()
        Sessions(known)._set(answer, "c", "v", 60)
        assert ("Secure" in answer.headers["set-cookie"]) is secure
        assert "HttpOnly" in answer.headers["set-cookie"]


def test_a_token_that_is_a_persons_acts_as_nobody_else(config: Config, tmp_path: Path) -> None:
    """Neither the form, nor an address, nor a header makes it somebody else; over the API it is that person."""
    token = TokenConfig(
        name="laptop", sha256=hashlib.sha256(b"wk_own").hexdigest(), scopes=("commands",), person=PEOPLE[1].id
    )
    own = Config(data_dir=tmp_path, oncall=OnCallConfig(people=PEOPLE), tokens=(token,), web=WebConfig(port=0))
    db = Database.open(own)
    incidents = Incidents(db, SystemClock(), own.oncall)
    (incident_id,) = incidents.observe([finding()])
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    client = httpx.Client(base_url=url, timeout=60, trust_env=False)
    with serving(build(own, Telemetry.connect(own), db), listener), client:
        form = {"token": "wk_own", "as": PEOPLE[0].id, "onward": "/"}
        refused = client.post("/sign-in", data=form)
        assert refused.status_code == 403
        assert "somebody else" in refused.text
        assert "watchkeeper_session" not in client.cookies
        client.get(f"/?token=wk_own&as={PEOPLE[0].id}")
        assert "watchkeeper_session" not in client.cookies
        claim = {"Authorization": "Bearer wk_own", "X-Watchkeeper-Actor": PEOPLE[0].name}
        answer = client.post(f"/api/v1/incidents/{incident_id}/acknowledge", headers=claim).json()
        assert answer["incident"]["acknowledged_by"] == {"name": PEOPLE[1].name, "via": "api"}
        assert client.post("/sign-in", data=form | {"as": PEOPLE[1].id}).status_code == 303
        assert "watchkeeper_session" in client.cookies
    assert Sessions(own).actor(Sessions(own).cookie(PEOPLE[0].id, fingerprint(token.sha256))) is None
    db.close()
