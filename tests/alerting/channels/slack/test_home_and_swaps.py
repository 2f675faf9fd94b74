"""The home tab, swaps of shifts, merge and split, and the shortcut: signed requests against the real handler."""

from __future__ import annotations

import json
import secrets
from datetime import timedelta
from typing import Any

import pytest

from alerting.oncall import swaps
from alerting.oncall.schedule import stored_overrides
from alerting.postmortems.actions import Actions
from tests.alerting.channels.slack.running_site import PROPOSAL, Site, finding, form, pressed
from tests.alerting.channels.slack.test_handovers_from_outside import chosen
from watchkeeper.clock import SystemClock
from watchkeeper.vocabulary import Actor, Window

ANA, BEN = Actor(name="Ana", via="cli"), Actor(name="Ben", via="cli")


def home(site: Site, user: str = "UANA", action: str = "") -> dict[str, Any]:
    """What the home tab is, or what a button of it opens."""
    body = {"user": user} | ({"action_id": action} if action else {})
    answer = site.slack.post("/standin/home", json=body)
    assert answer.status_code == 200, answer.text
    view: dict[str, Any] = answer.json().get("view", {})
    return view


def text_of(view: dict[str, Any]) -> str:
    return json.dumps(view, ensure_ascii=False)


def opened_form(site: Site, callback: str) -> dict[str, Any] | None:
    """The form of a sort that was opened last."""
    views = [view for view in site.stand_in.interactions._views.values() if view["callback_id"] == callback]
    return views[-1] if views else None


def ask_ben(site: Site) -> str:
    """Ana asks Ben to take a day of hers."""
    window = Window(start=site.now(86_400), end=site.now(2 * 86_400))
    swap = swaps.Swap(schedule="primary", asker="oncall", taker="ben", window=window)
    return swaps.ask(site.db, site.config.oncall, swap, site.now(), ANA)


def test_the_home_tab_shows_my_shifts_my_incidents_and_what_waits(site: Site) -> None:
    """Each by its link; of somebody else nothing."""
    empty = text_of(home(site, "UBEN"))
    assert "You are not on call within the next two weeks." in empty
    assert "No open incident is yours." in empty
    assert "Nothing waits for you." in empty
    incident_id = site.page()
    Actions(site.db, SystemClock(), site.config.oncall).add(
        incident_id, ANA, "k", "raise the limit", "ben", "2030-01-31"
    )
    mine = text_of(home(site))
    assert "*primary*: <!date^" in mine
    assert f"/incidents/{incident_id}|{incident_id}>" in mine
    assert f"Decide on the runbook of <{site.config.web_url}/incidents/{incident_id}" in mine
    assert "raise the limit" not in mine
    his = text_of(home(site, "UBEN"))
    assert "No open incident is yours." in his
    assert "raise the limit, due 2030-01-31" in his
    site.incidents.acknowledge(incident_id, BEN, "a")
    assert f"{incident_id}|{incident_id}> payments: errors" in text_of(home(site, "UBEN"))


def test_somebody_unknown_sees_how_to_become_known(site: Site) -> None:
    """The stand-in has no such user; Slack has, and signs for them."""
    site.page()
    event = {"type": "event_callback", "event": {"type": "app_home_opened", "user": "UEVE", "tab": "home"}}
    answer = site.signed(json.dumps(event).encode(), **{"Content-Type": "application/json"})
    assert answer.status_code == 200
    view = site.until(lambda: site.stand_in.interactions._homes.get("UEVE"))
    assert "You may look, but Watchkeeper does not know you" in text_of(view)
    assert "errors 31" not in text_of(view)


NO_EVENTS = ({"type": "app_home_opened"}, {"type": "app_home_opened", "user": 7}, "no", None)


@pytest.mark.parametrize("event", NO_EVENTS)
def test_an_event_of_another_shape_is_a_bad_request(site: Site, event: Any) -> None:
    """400 and never 500; an event that nothing listens to is 200."""
    body = json.dumps({"type": "event_callback", "event": event}).encode()
    assert site.signed(body).status_code == 400
    other = json.dumps({"type": "event_callback", "event": {"type": "team_join"}}).encode()
    assert site.signed(other).status_code == 200
    assert site.signed(other, secret="no").status_code == 401


def test_the_taker_of_a_swap_gets_a_message_and_accepts_it(site: Site) -> None:
    """Whoever asks, by whatever way; the override is there once, and the asker hears of it."""
    swap_id = ask_ben(site)
    site.send()
    site.send()
    (message,) = site.board()["messages"]
    shown = text_of(message)
    assert "Ana asks Ben to take a shift" in shown
    assert "<@UBEN>" in shown
    assert "<@UANA>" not in shown
    site.press("swap_accept", user="UANA")
    assert site.whisper("UANA", "Ana may not answer")
    for _ in range(2):
        site.press("swap_accept", user="UBEN")
    assert site.whisper("UBEN", "Ben for oncall in primary")
    assert site.whisper("UBEN", f"Swap {swap_id} was accepted already by Ben")
    (made,) = stored_overrides(site.db)
    assert (made.person, made.author) == ("ben", f"swap {swap_id}")
    site.send()
    answers = [text_of(one) for one in site.board()["messages"] if "accepted the swap" in text_of(one)]
    assert len(answers) == 1
    assert "<@UANA>" in answers[0]


def test_a_swap_that_is_over_is_not_told_of(site: Site) -> None:
    """Cancelled before the message went out: the taker hears that, and no question."""
    swaps.answer(site.db, site.config.oncall, ask_ben(site), "cancelled", site.now(), ANA)
    site.send()
    (message,) = site.board()["messages"]
    assert "Ana cancelled the swap of a shift" in text_of(message)


def test_a_swap_is_asked_and_cancelled_in_the_home_tab(site: Site) -> None:
    """The form asks whom; a repeat of Slack's asks once; the tab shows it to both."""
    home(site)
    view = home(site, action="swap_ask:0")
    assert view["callback_id"] == "swap_ask"
    payload = {
        "type": "view_submission",
        "user": {"id": "UANA"},
        "view": view | {"state": {"values": {"taker": {"taker": {"selected_option": {"value": "ben"}}}}}},
    }
    for _ in range(2):
        assert site.signed(form(payload)).status_code == 200
    site.until(lambda: swaps.swaps(site.db, "asked"))
    assert site.whisper("UANA", "Ben for oncall in primary")
    (swap,) = swaps.swaps(site.db)
    assert (swap.asker, swap.taker, swap.asked_by) == ("oncall", "ben", "Ana")
    assert "asks you to take a shift" in text_of(home(site, "UBEN"))
    assert "You asked ben to take a shift" in text_of(home(site))
    home(site, action="swap_cancel:0")
    site.until(lambda: swaps.swaps(site.db, "cancelled"))
    assert "You asked" not in text_of(home(site))


def test_a_menu_merges_into_what_was_seen(site: Site) -> None:
    """The form names both; what has changed meanwhile is not merged; a merged one can be split off again."""
    first = site.page()
    (other,) = site.incidents.observe([finding("ledger")], judged=lambda _: False, edges=[])
    trigger = site.stand_in.interactions._trigger("UANA")
    body = pressed("", "more", at=secrets.token_hex(4)) | {"trigger_id": trigger}
    body["actions"][0] |= {"type": "overflow", "selected_option": {"value": f"merge {other}"}}
    site.signed(form(body))
    view = site.until(lambda: opened_form(site, "merge"))
    (option,) = view["blocks"][0]["element"]["options"]
    assert option["value"].startswith(f"{first} ")
    site.incidents.observe([finding("ledger", kind="latency", summary="ledger: slow")], judged=lambda _: False)
    site.submit(view, {"into": option["value"]})
    assert site.whisper("UANA", f"{other.capitalize()} has changed since you looked")
    assert site.incidents.get(other).human_state != "merged"
    site.stand_in.interactions._views.clear()
    body["actions"][0]["action_ts"] = secrets.token_hex(4)
    body["trigger_id"] = site.stand_in.interactions._trigger("UANA")
    site.signed(form(body))
    view = site.until(lambda: opened_form(site, "merge"))
    site.submit(view, {"into": view["blocks"][0]["element"]["options"][0]["value"]})
    site.until(lambda: site.incidents.get(other).human_state == "merged")
    assert site.incidents.get(other).merged_into == first
    site.signed(form(pressed(f"{other} inc-elsewhere", "split", at="5.1")))
    assert site.whisper("UANA", f"It is merged into {first} by now")
    site.signed(form(pressed(f"{other} {first}", "split", at="5.2")))
    site.until(lambda: site.incidents.get(other).human_state == "acknowledged")


@pytest.mark.parametrize("user", ["UEVE"])
def test_somebody_unknown_merges_swaps_and_notes_nothing(site: Site, user: str) -> None:
    """They read how to become known."""
    incident_id = site.page()
    swap_id = ask_ben(site)
    before = site.incidents.get(incident_id).version
    site.signed(form(pressed(swap_id, "swap_accept", user=user)))
    site.signed(chosen(f"merge {incident_id}", user=user))
    site.signed(form(pressed(f"{incident_id} inc-1", "split", user=user)))
    shortcut = pressed("", user=user) | {"type": "message_action", "callback_id": "add_to_timeline"}
    shortcut["message"] = {"ts": site.message()["ts"], "text": "x", "user": user}
    del shortcut["actions"]
    assert site.signed(form(shortcut)).status_code == 200
    site.until(lambda: len([one for one in site.board()["whispers"] if one["user"] == user]) >= 4)
    assert site.incidents.get(incident_id).version == before
    assert swaps.swaps(site.db)[0].state == "asked"


def test_a_message_of_the_thread_goes_into_the_timeline_once(site: Site) -> None:
    """With its author; foreign markup does nothing; elsewhere a form asks which incident."""
    incident_id = site.page()
    root = site.message()["ts"]
    message = {
        "channel": "C0INCIDENTS",
        "ts": "1.5",
        "text": "bank <!channel> says <https://b.example|no>",
        "user": "UBEN",
    }
    for _ in range(2):
        assert site.slack.post("/standin/shortcut", json=message | {"thread_ts": root}).json()["ok"]
    lines = [entry.text for entry in site.incidents.get(incident_id).timeline if entry.kind == "noted"]
    assert lines == ["Ben wrote: bank <!channel> says no"]
    assert site.whisper("UBEN", f"That message was in the timeline of {incident_id}")
    view = site.slack.post("/standin/shortcut", json=message | {"ts": "2.5", "text": "y" * 5000}).json()["view"]
    site.submit(view, {"incident": incident_id}, user="UBEN")
    site.until(lambda: len([one for one in site.incidents.get(incident_id).timeline if one.kind == "noted"]) == 2)


def test_a_question_and_an_approval_wait_only_for_whoever_may(site: Site) -> None:
    """What is answered or decided waits for nobody any more."""
    incident_id = site.page()
    assert "Decide on the runbook" in text_of(home(site, "UBEN"))
    site.incidents.approve(incident_id, ANA, "x", PROPOSAL.id)
    assert "Decide on the runbook" not in text_of(home(site, "UBEN"))


def test_a_swap_in_the_past_waits_for_nobody(site: Site) -> None:
    """Its button would be refused."""
    ask_ben(site)
    (swap,) = swaps.swaps(site.db)
    assert swap.window.end - site.now() > timedelta(hours=1)
    assert "asks you" in text_of(home(site, "UBEN"))
    swaps.answer(site.db, site.config.oncall, swap.id, "declined", site.now(), BEN)
    assert "asks you" not in text_of(home(site, "UBEN"))
