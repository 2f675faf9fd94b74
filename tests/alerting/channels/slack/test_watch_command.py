"""`/watch` in Slack: signed as Slack signs it, for whoever is known; others may look."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import httpx
import pytest

from alerting.channels.slack.watch_words import USAGE, order_of
from alerting.incidents.silences import list_silences
from alerting.oncall.schedule import stored_overrides, who_has_it
from alerting.oncall.spoken_times import moment_of
from tests.alerting.channels.slack.running_site import Site, finding
from tests.hostile import HOSTILE
from watchkeeper.errors import ConfigError
from watchkeeper.state.alerts import read_alerts
from watchkeeper.state.audit import audit_trail


def fields(text: str, user: str = "UANA", trigger: str = "") -> dict[str, str]:
    """An order as Slack sends it."""
    return {
        "token": "legacy",
        "team_id": "T0LOCAL",
        "channel_id": "C0INCIDENTS",
        "channel_name": "incidents",
        "user_id": user,
        "user_name": user.lower(),
        "command": "/watch",
        "text": text,
        "api_app_id": "A0WATCHKEEPER",
        "response_url": "https://evil.example/steal",
        "trigger_id": trigger or f"1.{secrets.token_hex(4)}",
    }


def watch(site: Site, text: str, user: str = "UANA", trigger: str = "", **headers: str) -> str:
    """What whoever gives an order reads."""
    answer = site.signed(urlencode(fields(text, user, trigger)).encode(), **headers)
    assert answer.status_code == 200, answer.text
    if not answer.text:
        return ""
    assert answer.json()["response_type"] == "ephemeral"
    return str(answer.json()["text"])


def test_status_names_open_incidents_and_who_has_them(site: Site) -> None:
    """Each with its link, since when, and whoever has it; also for somebody whom nobody knows."""
    assert watch(site, "status").startswith("No open incident.")
    incident_id = site.page()
    assert f"/incidents/{incident_id}|{incident_id}>" in watch(site, "status", user="UEVE")
    assert "On call was paged" not in watch(site, "status")
    assert "Ana was paged, no answer yet" in watch(site, "status")
    site.press("acknowledge", user="UBEN")
    assert "Ben has it" in site.until(lambda: (text := watch(site, "status")) and "Ben" in text and text)


def test_who_says_who_is_on_call_and_why(site: Site) -> None:
    """By schedule, and by the steps of a service's escalation."""
    assert "*Ana* is on call in primary (by rotation" in watch(site, "who", user="UEVE")
    answer = watch(site, "who payments")
    assert "*An incident of payments pages:*" in answer
    assert "*Ana* at once (on call in 'primary' by rotation; step 1 of 3)" in answer
    assert "after 5 min without an answer" in answer


def test_an_override_is_in_force_once_however_often_slack_repeats_it(site: Site) -> None:
    """The same row as by the command line, in the audit log, made by whoever typed it."""
    for retry in ("0", "1"):
        answer = watch(site, "override <@UBEN|ben> for 2h", trigger="7.7", **{"X-Slack-Retry-Num": retry})
        assert "*Ben* is on call in primary" in answer
    (made,) = stored_overrides(site.db)
    assert (made.person, made.author) == ("ben", "Ana")
    assert timedelta(minutes=119) < made.end - datetime.now(UTC) <= timedelta(hours=2)
    now = datetime.now(UTC)
    on_call, source = who_has_it(site.config.oncall, "primary", now + timedelta(minutes=1), stored_overrides(site.db))
    assert (on_call and on_call.id, source) == ("ben", "override")
    lines = [(one.actor.name, one.actor.via, one.action) for one in audit_trail(site.db)]
    assert lines == [("Ana", "slack", "override.add")]


def test_a_silence_has_an_owner_a_reason_and_an_end(site: Site) -> None:
    """A repeat with the same trigger is the same silence; another order makes another."""
    order = "mute shop-* kind=errors for 2h because database move until tonight"
    for _ in range(2):
        assert "No pages for service shop-∗, kind errors until" in watch(site, order, trigger="7.8")
    (silence,) = list_silences(site.db, site.now())
    assert (silence.owner, silence.reason) == ("Ana", "database move until tonight")
    assert (silence.service, silence.kind) == ("shop-*", "errors")
    assert timedelta(minutes=119) < silence.end - site.now() <= timedelta(hours=2)
    watch(site, order)
    assert len(list_silences(site.db, site.now())) == 2


def test_a_page_reaches_the_person_and_fires_until_it_is_resolved(site: Site) -> None:
    """One incident and one message for however many repeats; it pages by name, and an acknowledgement is theirs."""
    for retry in ("0", "1"):
        answer = watch(site, "page ben checkout looks <!channel> odd", trigger="7.9", **{"X-Slack-Retry-Num": retry})
        assert "Ben" in answer
    (incident,) = site.incidents.list("open")
    assert (incident.title, incident.paged_person) == ("checkout looks <!channel> odd", "ben")
    assert incident.assigned_to == "ben"
    site.send()
    message = site.message()
    assert "<@UBEN>" in str(message["blocks"])
    assert "<!channel>" not in str(message["blocks"])
    firing, unreadable = read_alerts(site.db, site.now())
    assert [one.key for one in firing] == [incident.findings[0].key]
    assert not unreadable
    # The watch role's round over alerts leaves it as it is.
    assert site.incidents.observe(firing, judged=lambda one: one.kind == "alert") == ()
    assert site.incidents.get(incident.id).system_state == "firing"
    site.press("resolve", user="UBEN")
    view = site.press("resolve", user="UBEN").json()["view"]
    site.submit(view, {"warranted": "yes"}, user="UBEN")
    site.until(lambda: not site.incidents.get(incident.id).is_open)
    assert read_alerts(site.db, site.now())[0] == ()


def test_a_label_is_the_one_judgement_of_whoever_gives_it(site: Site) -> None:
    """The same label as by the form; without an answer the form opens."""
    incident_id = site.page()
    answer = watch(site, f"label {incident_id} no cause orders-db mechanism database note flapping disk")
    assert answer.startswith(incident_id)
    (label,) = site.incidents.get(incident_id).labels
    assert (label.author, label.warranted, label.cause) == ("Ana", False, "orders-db")
    assert (label.mechanism, label.note) == ("database", "flapping disk")
    opened = site.slack.post("/standin/command", json={"text": f"label {incident_id}", "user": "UANA"}).json()
    assert opened["view"]["callback_id"] == "label"
    site.submit(opened["view"], {"warranted": "unsure"})
    site.until(lambda: [one.warranted for one in site.incidents.get(incident_id).labels] == [None])
    assert site.incidents.get(incident_id).is_open


@pytest.mark.parametrize(
    "order",
    ["override ben for 2h", "page ben help", "mute payments for 2h because x", "label inc-1 yes"],
)
def test_somebody_unknown_may_look_and_not_act(site: Site, order: str) -> None:
    """They read how to become known; nothing changes."""
    assert "you may look, but Watchkeeper does not know you" in watch(site, order, user="UEVE")
    assert stored_overrides(site.db) == ()
    assert list_silences(site.db, site.now()) == ()
    assert site.incidents.list() == ()
    assert audit_trail(site.db) == ()


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ("stauts", "did you mean status?"),
        ("override", "override PERSON"),
        ("override zoe for 2h", "nobody in oncall.people is called 'zoe'"),
        ("override bne for 2h", "did you mean"),
        ("override ben until yesterdayish", "is no time"),
        ("override ben for 2h until 18:00", "override PERSON"),
        ("override ben for 2h in nights", "no schedule 'nights'"),
        ("mute payments for 2h", "because REASON"),
        ("mute payments for ever because x", "is no span of time"),
        ("mute kind=sadness for 2h because x", "must be one of"),
        ("mute a b for 2h because x", "two matchers of one sort"),
        ("page ben", "page PERSON TEXT"),
        ("label inc-none yes", "no incident"),
        ("label inc-1 perhaps", "must be yes, no or unsure"),
        ("label inc-1 yes mechanism gremlins", "must be one of"),
    ],
)
def test_a_mistake_is_answered_with_how_to_write_it(site: Site, order: str, words: str) -> None:
    """One sentence; nothing changes, and nothing is a traceback."""
    assert words in watch(site, order).replace("∗", "*")
    assert stored_overrides(site.db) == ()
    assert list_silences(site.db, site.now()) == ()


def test_the_severity_is_raised_with_a_reason(site: Site) -> None:
    """Whoever is unknown may not; a repeat counts once; what is missing is said."""
    incident_id = site.page()
    assert "SEV2" in watch(site, "status")
    assert "must be one of SEV1" in watch(site, f"severity {incident_id} SEV7 because x")
    assert "Write it so" in watch(site, f"severity {incident_id} SEV1")
    watch(site, f"severity {incident_id} sev1 because no card is accepted", user="UEVE")
    assert site.incidents.get(incident_id).level == "SEV2"
    answer = watch(site, f"severity {incident_id} sev1 because no card is accepted")
    assert answer.endswith("raised it from SEV2 to SEV1: no card is accepted")
    assert site.incidents.get(incident_id).level == "SEV1"


def test_help_lists_every_order(site: Site) -> None:
    """So does an order without a word."""
    for order in ("help", ""):
        answer = watch(site, order)
        assert all(f"/watch {line.partition(' — ')[0]}`" in answer for line in USAGE.values())


@pytest.mark.parametrize("change", ["signature", "twice", "nobody", "nul", "long"])
def test_an_order_that_slack_would_not_send_is_refused(site: Site, change: str) -> None:
    """401 without a signature, 400 for a body of another shape, and never 500."""
    given = fields("status")
    body = urlencode(given).encode()
    if change == "signature":
        assert site.signed(body, secret="no").status_code == 401
        return
    bodies = {
        "twice": body + b"&user_id=UBEN",
        "nobody": urlencode(given | {"user_id": ""}).encode(),
        "nul": urlencode(given | {"text": "a\x00b"}).encode(),
        "long": urlencode(given | {"text": "x" * 3001}).encode(),
    }
    assert site.signed(bodies[change]).status_code == 400


@pytest.mark.parametrize("kind", HOSTILE)
def test_foreign_names_in_an_order_do_nothing(site: Site, kind: str) -> None:
    """Whatever is typed mentions nobody in the answer, and fails nothing."""
    text = HOSTILE[kind].replace("\x00", "")[:500]
    for order in (f"who {text}", f"page {text} x", f"override {text} for 1h"):
        answer = watch(site, order)
        assert "<!" not in answer.replace("<!date^", "")
        assert "<@" not in answer


def test_a_late_answer_follows_and_no_strange_address_gets_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slack is answered in time; an address that is not Slack's is not called."""
    monkeypatch.setattr("alerting.channels.slack.slash.RECORDED_WITHIN_S", 0.0)
    assert watch(site, "status").startswith("Working on it")
    assert site.whisper("UANA", "No open incident.")
    answer = site.slack.post("/standin/command", json={"text": "help", "user": "UBEN"}).json()
    assert answer["answer"].startswith("Working on it")
    assert site.whisper("UBEN", "*What `/watch` does.*")


def test_times_are_those_of_whoever_writes_them() -> None:
    """In their zone, also around a change of the clocks; what has passed is tomorrow's."""
    zone, now = ZoneInfo("Europe/Berlin"), datetime(2026, 3, 28, 18, tzinfo=UTC)  # 19:00 there, clocks change at night
    said = {
        "21:30": "2026-03-28 20:30",
        "18:00": "2026-03-29 16:00",
        "tomorrow": "2026-03-29 07:00",
        "mon 8:00": "2026-03-30 06:00",
        "saturday": "2026-04-04 07:00",
        "2026-04-01": "2026-04-01 07:00",
        "2026-04-01T18:00": "2026-04-01 16:00",
        "2026-04-01T18:00Z": "2026-04-01 18:00",
    }
    assert {text: f"{moment_of(text, now, zone):%Y-%m-%d %H:%M}" for text in said} == said
    for wrong in ("", "25:00", "soon", "tomorrow noonish", "9999-01-01", "s"):
        with pytest.raises(ConfigError, match="is no time"):
            moment_of(wrong, now, zone)


def test_a_question_needs_no_word_before_it() -> None:
    """What begins like a question is one; `who` alone is the order."""
    verbs = {
        text: order_of(text).verb for text in ("why is it slow", "who is on call", "who payments", "What is open?")
    }
    assert verbs == {"why is it slow": "ask", "who is on call": "ask", "who payments": "who", "What is open?": "ask"}


def test_the_command_is_served_by_the_page_of_the_stand_in(site: Site) -> None:
    """As the page sends it, from this machine alone."""
    answer: Any = site.slack.post("/standin/command", json={"text": "status", "user": "UANA"})
    assert answer.json()["answer"].startswith("No open incident.")
    stranger: httpx.Response = site.slack.post("/standin/command", json={"text": "status", "user": "UEVE"})
    assert stranger.status_code == 409


def test_a_page_about_a_service_stands_beside_what_is_open(site: Site) -> None:
    """It never joins another incident: whoever is paged by name has one of their own."""
    (first,) = site.incidents.observe([finding("payments")])
    watch(site, "page ben payments again")
    ids = {one.id for one in site.incidents.list("open")}
    assert first in ids
    assert len(ids) == 2


def test_a_question_is_answered_with_what_was_read(site: Site) -> None:
    """For anybody; each link leads to the dashboard, and a question that is not understood brings others."""
    incident_id = site.page()
    answer = watch(site, "ask what is open?", user="UEVE")
    assert answer.startswith("*1 incident is open: 1 page, 0 tickets.*")
    assert incident_id in answer
    assert "`watchkeeper incident list --state open --limit 500`" in answer
    assert "/incidents?state=open|Open incidents>" in answer
    assert "`/watch ask why is payments slow?`" in watch(site, "ask make me a sandwich")
    assert "may look" not in watch(site, "why is payments slow?", user="UEVE")


def test_the_api_answers_the_same_questions(site: Site) -> None:
    """Without a credential on loopback; the stand-in store is away here, and the answer says so."""
    site.page()
    tree = site.web.get("/api/v1/ask", params={"q": "why is paymnts slow?"}).json()
    assert (tree["understood"], tree["intent"], tree["subject"]) == (True, "why", "payments")
    assert tree["notes"][0] == "Read “paymnts” as payments."
    assert any(note.startswith("Telemetry is missing") for note in tree["notes"])
    assert all(set(read) == {"text", "parameters"} for read in tree["reads"])
    assert not site.web.get("/api/v1/ask", params={"q": "hello"}).json()["understood"]
    for wrong in ({}, {"q": ""}, {"q": "x" * 1001}, {"q": "a\x00"}):
        assert site.web.get("/api/v1/ask", params=wrong).status_code == 422
