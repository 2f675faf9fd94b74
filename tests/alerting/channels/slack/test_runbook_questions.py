"""A runbook's question in the incident's Slack thread: its buttons, who may press them, and what is left of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

from alerting.channels import outbox
from tests.alerting.channels.slack.running_site import PROPOSAL, Site, diagnosis, finding, form, pressed
from watchkeeper.vocabulary import Actor, Question

GUARDED = replace(PROPOSAL, approvers=("oncall",))


def asked(site: Site, *, seconds: float = 600, text: str = "Is the nightly batch over?", step: int = 1) -> Question:
    """An incident whose running runbook asks; the question is in its thread."""
    incidents = [one for one in site.incidents.list("open") if one.proposal_state == "running"]
    incident_id = incidents[0].id if incidents else running(site)
    question = Question(
        run=f"{incident_id}-run-1",
        step=step,
        asked=1,
        text=text,
        choices=("yes", "no"),
        confirm=("no",),
        until=site.now(seconds),
        answerers=GUARDED.approvers,
    )
    assert site.incidents.run_asked(incident_id, question.id, question=question).changed
    site.send(1)
    return question


def running(site: Site) -> str:
    """An incident whose approved runbook has begun."""
    incident_id = site.page()
    assert site.incidents.approve(incident_id, actor(), "a", PROPOSAL.id).changed
    assert site.incidents.run_started(incident_id, "s", run=f"{incident_id}-run-1").changed
    return incident_id


def actor(name: str = "Ana") -> Any:
    return Actor(name=name, via="slack")


def replies(site: Site) -> list[dict[str, Any]]:
    """The questions in the only message's thread."""
    return [
        reply
        for reply in site.message()["replies"]
        if str(reply.get("metadata", {}).get("event_payload", {}).get("part")).startswith("question:")
    ]


def press(site: Site, action: str, user: str = "UANA", number: int = -1) -> int:
    body = {"channel": "C0INCIDENTS", "ts": replies(site)[number]["ts"], "action_id": action, "user": user}
    return site.slack.post("/standin/press", json=body).status_code


def state(site: Site) -> list[tuple[str, str]]:
    (incident,) = site.incidents.list("open")
    return [(one.answer, one.ended) for one in incident.questions]


def test_a_press_answers_and_the_message_tells_who(site: Site) -> None:
    """One reply with a button for each choice and a mention; afterwards the same reply says what was answered."""
    question = asked(site)
    (reply,) = replies(site)
    assert "<@UANA> *The runbook asks:* Is the nightly batch over?" in reply["blocks"][0]["text"]["text"]
    buttons = reply["blocks"][1]["elements"]
    assert [button["text"]["text"] for button in buttons] == ["yes", "no"]
    assert [button.get("confirm", {}).get("title", {}).get("text") for button in buttons] == [None, "Answer “no”?"]
    assert "then the run turns back" in str(reply["blocks"][2])
    assert press(site, "answer:0") == 200
    site.until(lambda: state(site) == [("yes", f"Ana answered yes to: {question.text}")])
    site.send(2)
    (edited,) = replies(site)
    assert (edited["ts"], [block["type"] for block in edited["blocks"]]) == (reply["ts"], ["section", "context"])
    assert "Ana answered yes to: Is the nightly batch over?" in edited["blocks"][0]["text"]["text"]
    assert "<@UANA>" not in str(edited)


def test_what_does_not_count_is_told_to_the_presser_alone(site: Site) -> None:
    """A second press, somebody without the right, and a press on a question that another has followed."""
    first = asked(site)
    press(site, "answer:0", user="UBEN")
    assert "Ben may not answer this runbook; now oncall may" in site.whisper("UBEN", "Ben may not")
    incident_id = site.incidents.list("open")[0].id
    site.signed(form(pressed(f"{incident_id} {first.id} yes", "answer:0")))
    site.until(lambda: state(site)[0][0] == "yes")
    press(site, "answer:1")
    over = site.whisper("UANA", "That question is over")
    assert "Ana answered yes" in over
    asked(site, text="Drop the cache, too?", step=2)
    site.signed(form(pressed(f"{incident_id} {first.id} no", "answer:1", at="9.9")))
    other = site.whisper("UANA", "That question is over")
    site.until(lambda: "now the runbook asks: Drop the cache, too?" in site.whisper("UANA", "That question is over"))
    assert other
    assert [answer for answer, _ in state(site)] == ["yes", ""]
    assert [len(reply["blocks"]) for reply in replies(site)] == [2, 3]


def test_a_press_after_the_time_is_refused(site: Site) -> None:
    """The presser reads when it ended, and what happens now."""
    asked(site, seconds=-1)
    press(site, "answer:0")
    assert "The run turns back" not in (text := site.whisper("UANA", "The time to answer ended at"))
    assert "; the run turns back" in text
    assert state(site) == [("", "")]


def test_a_repeated_request_is_one_answer(site: Site) -> None:
    """Slack sends again when it had no answer: nobody is told that they were too late."""
    question = asked(site)
    incident_id = site.incidents.list("open")[0].id
    body = form(pressed(f"{incident_id} {question.id} yes", "answer:0", at="5.5"))
    assert [site.signed(body).status_code for _ in range(3)] == [200, 200, 200]
    assert state(site)[0][0] == "yes"
    kinds = [entry.kind for entry in site.incidents.get(incident_id).timeline]
    assert kinds.count("run_answered") == 1


def test_the_answer_is_kept_before_slack_hears(site: Site) -> None:
    """When the response arrives, it is recorded: a kill before leaves a press that Slack shows as failed."""
    question = asked(site)
    incident_id = site.incidents.list("open")[0].id
    assert site.signed(form(pressed(f"{incident_id} {question.id} no", "answer:1"))).status_code == 200
    assert state(site)[0][0] == "no"


def test_a_new_process_posts_no_question_twice(site: Site) -> None:
    """It finds the reply of the process before it; one that somebody deleted is posted anew when it changes."""
    asked(site)
    incident_id = site.incidents.list("open")[0].id
    site.incidents.note(incident_id, actor(), "looking", "n")
    site.incidents.recovered(incident_id, "r")
    site.send(5)
    assert len(replies(site)) == 1
    site.slack.post("/standin/delete", json={"channel": "C0INCIDENTS", "ts": replies(site)[0]["ts"]})
    site.incidents.answer(incident_id, actor(), "k", site.incidents.get(incident_id).questions[0].question.id, "yes")
    site.send(10)
    (posted,) = replies(site)
    assert "Ana answered yes" in str(posted)


def test_hostile_words_mention_nobody(site: Site) -> None:
    """A question is text: whatever stands in it."""
    question = asked(site, text="<!channel> *go* on <@UBEN>? " + "x" * 400)
    assert "&lt;!channel&gt;" in str(replies(site)[0]["blocks"][0])
    assert question.until is not None
    assert question.until - site.now() < timedelta(seconds=601)


def test_the_api_answers_too(site: Site) -> None:
    """409 with the sentence where it does not count; a token is nobody who may answer a guarded runbook."""
    question = asked(site)
    incident_id = site.incidents.list("open")[0].id
    path = f"/api/v1/incidents/{incident_id}/answer"
    answer = site.web.post(path, json={"question": question.id, "answer": "yes"}, headers=site.token())
    assert answer.status_code == 409
    assert "may not answer this runbook" in answer.json()["message"]


def test_a_question_stands_in_the_thread_of_a_gathered_message(site: Site) -> None:
    """Where many pages went out as one, the question of one incident is a reply to that message, and names it."""
    names = [f"service-{number}" for number in range(12)]
    opened = site.incidents.observe([finding(name) for name in names])
    for incident_id in opened:
        site.incidents.diagnosed(incident_id, diagnosis("orders-db"), PROPOSAL, "first")
    site.incidents.page_all(opened)
    site.send()
    for later_s in (30, 60):
        site.send(later_s)
    with site.db.read() as connection:
        places = {each: outbox.thread_of(connection, each, "slack") for each in opened}
    shared = Counter(place.ts for place in places.values() if place)
    gathered, members = shared.most_common(1)[0]
    assert members > 1
    incident_id = next(each for each, place in places.items() if place and place.ts == gathered)
    assert site.incidents.approve(incident_id, actor(), "a", PROPOSAL.id).changed
    assert site.incidents.run_started(incident_id, "s", run=f"{incident_id}-run-1").changed
    question = Question(run=f"{incident_id}-run-1", step=1, asked=1, text="Go on?", choices=("yes", "no"))
    assert site.incidents.run_asked(incident_id, "q", question=question).changed
    site.send(120)
    (message,) = [one for one in site.board()["messages"] if one["ts"] == gathered]
    (reply,) = [one for one in message["replies"] if "Go on?" in str(one)]
    body = {"channel": "C0INCIDENTS", "ts": reply["ts"], "action_id": "answer:0", "user": "UANA"}
    assert site.slack.post("/standin/press", json=body).status_code == 200
    site.until(lambda: site.incidents.get(incident_id).questions[0].answer == "yes")
    site.send(180)
    (message,) = [one for one in site.board()["messages"] if one["ts"] == gathered]
    (reply,) = [one for one in message["replies"] if "Go on?" in str(one)]
    assert "Ana answered yes to: Go on?" in str(reply)
    assert incident_id in str(reply)
