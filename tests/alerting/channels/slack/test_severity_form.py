"""The severity is changed from the menu of the message, by whoever may, and as they saw it."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from tests.alerting.channels.slack.running_site import Site, form, pressed
from watchkeeper.vocabulary import Actor

BEN = Actor(name="Ben", via="web")


def chosen(site: Site, incident_id: str, user: str = "UANA") -> bytes:
    """The signed form of the choice in the menu of the message."""
    payload = pressed("", "more", at=secrets.token_hex(4), user=user)
    payload["trigger_id"] = site.stand_in.interactions._trigger(user)
    payload["actions"][0] |= {"type": "overflow", "selected_option": {"value": f"severity {incident_id}"}}
    return form(payload)


def opened(site: Site) -> dict[str, Any] | None:
    views = [v for v in site.stand_in.interactions._views.values() if v["callback_id"] == "severity"]
    return views[-1] if views else None


@pytest.fixture
def view(site: Site) -> dict[str, Any]:
    """The form of the only incident, as Ana opened it."""
    site.stand_in.interactions._views.clear()
    site.signed(chosen(site, site.page()))
    return site.until(lambda: opened(site))


def submission(view: dict[str, Any], user: str = "UANA", level: str | None = "SEV1", reason: str = "cards fail") -> Any:
    """The form as Slack sends it."""
    option = {"value": level} if level else None
    values = {"level": {"level": {"selected_option": option}}, "reason": {"reason": {"value": reason}}}
    return {"type": "view_submission", "user": {"id": user}, "view": view | {"state": {"values": values}}}


def test_it_is_changed_once_with_its_reason(site: Site, view: dict[str, Any]) -> None:
    """The levels but the present one are offered; a repeat of Slack's changes nothing; the message shows it."""
    (incident,) = site.incidents.list("open")
    offered = [option["value"] for option in view["blocks"][0]["element"]["options"]]
    assert (incident.level, offered) == ("SEV2", ["SEV1", "SEV3", "SEV4"])
    for _ in range(2):
        assert site.signed(form(submission(view))).text == ""
    site.until(lambda: site.incidents.get(incident.id).level == "SEV1")
    entries = [entry for entry in site.incidents.get(incident.id).timeline if entry.kind == "severity_changed"]
    assert [(entry.who, entry.via, entry.text) for entry in entries] == [
        ("Ana", "slack", "Ana raised it from SEV2 to SEV1: cards fail")
    ]
    site.send()
    assert site.message()["blocks"][0]["text"]["text"].startswith("SEV1 · payments: ")


def test_what_somebody_changed_meanwhile_is_not_changed_again(site: Site, view: dict[str, Any]) -> None:
    """Ana saw SEV2 and wants SEV1; Ben has made it SEV3 for a reason that she does not know."""
    (incident,) = site.incidents.list("open")
    site.incidents.set_severity(incident.id, BEN, "SEV3", "one shop", "ben")
    site.signed(form(submission(view)))
    text = site.whisper("UANA", incident.id.capitalize())
    assert "has been changed to SEV3 since you looked" in text
    assert site.incidents.get(incident.id).level == "SEV3"


@pytest.mark.parametrize(
    ("level", "reason", "errors"),
    [
        (None, "cards fail", {"level"}),
        ("SEV9", "cards fail", {"level"}),
        ("SEV1", "  ", {"reason"}),
        ("SEV1", "x" * 1001, {"reason"}),
        (None, "", {"level", "reason"}),
    ],
)
def test_a_form_that_lacks_something_stays(
    site: Site, view: dict[str, Any], level: str | None, reason: str, errors: set[str]
) -> None:
    """Slack shows what is missing where it stands."""
    answer = site.signed(form(submission(view, level=level, reason=reason))).json()
    assert (answer["response_action"], set(answer["errors"])) == ("errors", errors)
    assert site.incidents.list("open")[0].level == "SEV2"


def test_somebody_unknown_opens_and_changes_nothing(site: Site, view: dict[str, Any]) -> None:
    """Neither by the menu nor by a form that they send."""
    (incident,) = site.incidents.list("open")
    site.stand_in.interactions._views.clear()
    site.signed(chosen(site, incident.id, user="UEVE"))
    site.signed(form(submission(view, user="UEVE")))
    site.until(lambda: len([w for w in site.board()["whispers"] if w["user"] == "UEVE"]) >= 2)
    assert opened(site) is None
    assert site.incidents.get(incident.id).version == incident.version


def test_a_form_without_slack_s_signature_is_refused(site: Site, view: dict[str, Any]) -> None:
    """Whoever knows the address alone changes nothing."""
    assert site.signed(form(submission(view)), secret="guessed").status_code == 401
    assert site.incidents.list("open")[0].level == "SEV2"


def test_a_closed_incident_opens_no_form(site: Site, view: dict[str, Any]) -> None:
    """They read what it is instead."""
    (incident,) = site.incidents.list("open")
    site.incidents.resolve(incident.id, BEN, "done")
    site.stand_in.interactions._views.clear()
    site.signed(chosen(site, incident.id))
    assert site.whisper("UANA", f"{incident.id} is resolved")
    assert opened(site) is None
