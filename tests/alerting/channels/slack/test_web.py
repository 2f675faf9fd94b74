"""The web role: who may read, who may act, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from icalendar import Calendar

from alerting.commands import incident_list
from tests.alerting.channels.slack.running_site import Site
from watchkeeper.config import Config, SlackConfig, SlackStandInConfig, WebConfig
from watchkeeper.errors import ConfigError
from watchkeeper.roles import ready, standin, web


def test_incidents_can_be_read_on_loopback(site: Site) -> None:
    """List and single incident are JSON without a token; an unknown one is 404."""
    incident_id = site.page()
    (listed,) = site.web.get("/api/v1/incidents", params={"state": "open"}).json()
    assert listed["id"] == incident_id
    assert site.web.get(f"/api/v1/incidents/{incident_id}").json()["service"] == "payments"
    assert site.web.get("/api/v1/incidents/inc-none").status_code == 404


def test_acting_needs_a_token(site: Site) -> None:
    """Without one 401, with a wrong one 401, with the right one the command is done."""
    incident_id = site.page()
    path = f"/api/v1/incidents/{incident_id}/acknowledge"
    assert site.web.post(path).status_code == 401
    assert site.web.post(path, headers={"Authorization": "Bearer nonsense"}).status_code == 401
    assert site.web.post(path, headers=site.token()).json()["changed"]
    assert site.incidents.get(incident_id).human_state == "acknowledged"


def test_a_repeated_command_says_what_is(site: Site) -> None:
    """The same key again changes nothing; another's command is answered with who was first."""
    incident_id = site.page()
    path = f"/api/v1/incidents/{incident_id}/resolve"
    label = {"warranted": True, "cause": "orders-db", "mechanism": "database"}
    assert site.web.post(path, json={"key": "1", "label": label}, headers=site.token()).status_code == 200
    late = site.web.post(path, json={"key": "2"}, headers=site.token() | {"X-Watchkeeper-Actor": "Ben"})
    assert late.status_code == 409
    assert late.json()["message"].startswith("already resolved by ")
    assert len(site.incidents.get(incident_id).labels) == 1


def test_not_sure_is_an_answer_of_the_api(site: Site) -> None:
    """`warranted` null is kept as neither yes nor no; left out, it is a mistake."""
    incident_id = site.page()
    path = f"/api/v1/incidents/{incident_id}/label"
    assert site.web.post(path, json={"label": {"note": "n"}}, headers=site.token()).status_code == 422
    assert site.web.post(path, json={"label": {"warranted": None}}, headers=site.token()).status_code == 200
    assert [label.warranted for label in site.incidents.get(incident_id).labels] == [None]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_path_of_the_api_is_404_in_json(site: Site, method: str) -> None:
    """The dashboard's pages don't answer for the API."""
    answer = site.web.request(method, "/api/v1/nothing")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8050", "[::", ""])
def test_a_foreign_host_name_is_refused(site: Site, host: str) -> None:
    """A name that was made to point at loopback reaches nothing, on the web role and on the stand-in."""
    assert site.web.get("/api/v1/incidents", headers={"Host": host}).status_code in (400, 421)
    assert site.slack.get("/standin/messages", headers={"Host": host}).status_code in (400, 421)


def test_another_sites_page_may_not_write(site: Site) -> None:
    """Another port of this machine counts as another site, cookie or not."""
    incident_id = site.page()
    headers = {"Origin": "http://127.0.0.1:1"}
    path = f"/api/v1/incidents/{incident_id}/acknowledge"
    assert site.web.post(path, headers=site.token() | headers).status_code == 403
    assert site.slack.post("/standin/press", json={}, headers=headers).status_code == 403
    own = {"Origin": str(site.web.base_url).rstrip("/")}
    assert site.web.post(path, headers=site.token() | own).status_code == 200


def test_signing_in_sets_a_cookie_that_acts(site: Site) -> None:
    """The token and a name give a session; its cookie is HttpOnly and SameSite=Strict; a forged one is nobody's."""
    incident_id = site.page()
    wrong = site.web.post("/sign-in", data={"token": "no", "as": "ben"})
    assert wrong.status_code == 401
    form = {"token": site.config.secret("commands"), "as": "ben", "onward": "//evil.example"}
    signed_in = site.web.post("/sign-in", data=form)
    cookie = signed_in.headers["set-cookie"]
    assert (signed_in.status_code, signed_in.headers["location"]) == (303, "/")
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    answer = site.web.post(f"/api/v1/incidents/{incident_id}/acknowledge")
    assert answer.json()["incident"]["acknowledged_by"]["name"] == "Ben"
    site.web.cookies.clear()
    for forged in ("ben:99999999999:00", "ben:1", "x", "b\u00e9n:9:9"):
        header = {"Cookie": f"watchkeeper_session={forged}".encode()}
        refused = httpx.post(f"{site.config.web_url}/api/v1/incidents/{incident_id}/resolve", headers=header)
        assert refused.status_code == 401


def test_every_answer_protects_the_browser(site: Site) -> None:
    """No sniffing, no framing; pages carry a policy for scripts."""
    for client, path in ((site.web, "/sign-in"), (site.web, "/"), (site.slack, "/")):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in headers["content-security-policy"]


def test_refusals_and_data_protect_the_browser_too(site: Site) -> None:
    """What is refused by the door, what is not found, and what is JSON: none is sniffed, framed or run."""
    own = {"Host": "evil.example"}
    answers = [
        site.web.get("/", headers=own), site.slack.get("/", headers=own), site.web.get("/api/v1/incidents"),
        site.web.get("/api/nothing"), site.web.get("/healthz"), site.slack.get("/standin/messages"),
        site.web.post("/slack/events", content=b"x" * 2_000_000), site.web.get("/assets/mark.svg"),
        site.web.get("/_dash-component-suites/os/x"), site.web.post("/_dash-update-component", content=b"{"),
    ]  # fmt: skip
    for answer in answers:
        headers = answer.headers
        assert headers["x-content-type-options"] == "nosniff", answer.url
        assert headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["referrer-policy"] in ("no-referrer", "same-origin")
        assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_health_and_metrics_answer(site: Site, path: str) -> None:
    """Both roles tell how they are."""
    assert site.web.get(path).status_code == 200
    assert site.slack.get(path).status_code == 200


def test_no_role_listens_beyond_loopback_without_credentials() -> None:
    """The refusal says what to set."""
    with pytest.raises(ConfigError, match="token new"):
        web.run(Config(web=WebConfig(host="0.0.0.0")))
    with pytest.raises(ConfigError, match="stays on loopback"):
        standin.run(Config(slack=SlackConfig(stand_in=SlackStandInConfig(host="0.0.0.0"))))


@pytest.mark.parametrize("limit", [0, 501, -1, "x"])
def test_a_senseless_limit_is_refused_in_words(site: Site, limit: Any) -> None:
    """422 with the name of what is wrong."""
    answer = site.web.get("/api/v1/incidents", params={"limit": limit})
    assert answer.status_code == 422
    assert "limit" in answer.json()["error"]


def test_a_calendar_subscribes_by_its_secret_address(site: Site) -> None:
    """The address is all that it needs; a wrong one, and an unknown schedule, is 404 and tells nothing."""
    address = site.config.calendar_url("primary")
    path = address.removeprefix(site.config.web_url)
    answer = site.web.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/calendar")
    events = Calendar.from_ical(answer.content).walk("VEVENT")
    assert any("is on call (primary)" in str(event["SUMMARY"]) for event in events)
    assert site.web.get("/calendar/guess.ics").status_code == 404
    assert site.web.get(path.replace("primary", "none")).status_code == 404


def test_the_command_line_lists_what_the_running_web_role_knows(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Where the database cannot be read quickly, as PostgreSQL, the role that has it open is asked."""
    incident_id = site.page("ledger")
    file = tmp_path / "watchkeeper.yaml"
    file.write_text(f"data_dir: {site.config.data_dir}\nstate:\n  url: postgresql://nobody@127.0.0.1:1/none\n")
    ready.announce(site.config, "web", {"http": site.config.web.port})

    def never(*_: object) -> None:
        raise AssertionError("the database was opened")

    monkeypatch.setattr(incident_list, "_read_in_full", never)
    incident_list.show(file, "open", 50, as_json=True)
    assert [one["id"] for one in json.loads(capsys.readouterr().out)] == [incident_id]
    ready.withdraw(site.config, "web")
    with pytest.raises(AssertionError, match="was opened"):
        incident_list.show(file, "open", 50, as_json=True)
