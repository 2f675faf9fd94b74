"""Questions whose answers are known from what was put into the store and the state database."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest

from alerting.ask.answer import Answer, as_json
from alerting.ask.asker import Asker
from alerting.incidents.human_labels import Judgement
from tests.alerting.ask.conftest import ONCALL, Asking
from tests.hostile import HOSTILE
from watchkeeper.state.changes import record_change
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.vocabulary import Actor, ChangeEvent, Diagnosis, Evidence, Finding, Suspect

pytestmark = pytest.mark.xdist_group("ask")
ANA = Actor(name="Ana Sousa", via="cli")


def opened(asking: Asking, service: str, at_minutes_ago: float = 5, kind: str = "errors") -> str:
    at = asking.now - timedelta(minutes=at_minutes_ago)
    found = Finding(
        detector="errors", detector_version="1", kind=kind, service=service, summary=f"{service} fails 25 %",  # type: ignore[arg-type]
        onset=at, seen_at=at, score=0.9,
    )  # fmt: skip
    (incident_id,) = asking.incidents.observe([found], now=at)
    return incident_id


def diagnosed(asking: Asking, incident_id: str, service: str) -> None:
    evidence = (Evidence(kind="errors", weight=3.0, sentence="fails first, its callers after it"),)
    suspect = Suspect(service=service, score=5.0, probability=0.7, mechanism="network", evidence=evidence)
    found = Diagnosis(
        onset=asking.now, made_at=asking.now, suspects=(suspect,), abstained=False, reason="r", engine_version="1"
    )
    asking.incidents.diagnosed(incident_id, found, None, "d")


def deploy(asking: Asking, service: str, minutes_ago: float, title: str = "deploy 7") -> None:
    at = asking.now - timedelta(minutes=minutes_ago)
    change = ChangeEvent(
        id=f"{service}{minutes_ago}", at=at, kind="deploy", service=service, title=title, version="7.1"
    )
    record_change(asking.db, change)


def whole(answer: Answer) -> str:
    return "\n".join((answer.heading, *answer.lines, *answer.notes, *answer.suggestions))


def test_why_is_it_slow_names_what_is_worse_and_what_it_calls(asking: Asking) -> None:
    """Latency and failures against the hour before, the dependency that got worse, the deploy, and each query."""
    deploy(asking, "zahlung-gateway", 12)
    deploy(asking, "lager.bestand", 12, "another one")
    answer = asking.asker.ask("why is zahlung-gateway slow?")
    assert (answer.intent, answer.subject) == ("why", "zahlung-gateway")
    assert "p95 900 ms, was 40 ms" in answer.heading
    assert "26.7 % of requests fail, was 0 %" in answer.heading
    assert "bank.example, which it calls, is worse, too" in answer.heading
    assert any("It calls bank.example: mean 880 ms, was 12 ms" in line for line in answer.lines)
    assert any("Deploy of zahlung-gateway" in line for line in answer.lines)
    assert "another one" not in whole(answer)
    assert any(read.text.startswith("SELECT operation") and "zahlung" in str(read.parameters) for read in answer.reads)
    assert all(read.text.startswith(("SELECT", "watchkeeper ")) for read in answer.reads)


def test_a_service_that_is_well_is_said_to_be_well(asking: Asking) -> None:
    """No cause is invented."""
    answer = asking.asker.ask("Why is warenkorb failing?")
    assert "warenkorb is neither slower nor failing more than in the hour before: p95 2" in answer.heading
    assert "worse" not in answer.heading


def test_an_open_incident_and_its_diagnosis_are_part_of_why(asking: Asking) -> None:
    """The likely cause, its strongest evidence, and who has it."""
    incident_id = opened(asking, "zahlung-gateway")
    diagnosed(asking, incident_id, "bank.example")
    asking.incidents.page(incident_id)
    answer = asking.asker.ask("what is wrong with zahlung gateway")
    assert "Likely cause: bank.example (network, 70%)" in answer.heading
    assert any(incident_id in line and "Ben Okoro was paged, no answer yet" in line for line in answer.lines)
    assert "Evidence: fails first, its callers after it" in answer.lines
    assert (incident_id, f"/incidents/{incident_id}") in answer.links
    same = asking.asker.ask(f"why did {incident_id} happen?")
    assert same.subject == incident_id
    assert "Likely cause: bank.example" in same.heading


@pytest.mark.parametrize(
    ("question", "heading", "line"),
    [
        ("what depends on zahlung-gateway?", "1 service called zahlung-gateway within the last hour; 1", "warenkorb: "),
        ("who calls the zahlung-gateway", "1 service called zahlung-gateway", "Behind them: ProductCatalogService"),
        ("what does warenkorb depend on?", "warenkorb called 1 service within the last hour; 1", "zahlung-gateway: "),
        ("which services use bank.example?", "1 service called bank.example", "Behind them: warenkorb, ProductCatalog"),
        ("what depends on lager.bestand", "No caller of lager.bestand was seen within the last hour.", ""),
    ],
)  # fmt: skip
def test_dependencies_have_a_direction(asking: Asking, question: str, heading: str, line: str) -> None:
    """The direct ones with their traffic, then those behind them; third parties too."""
    answer = asking.asker.ask(question)
    assert answer.heading.startswith(heading)
    assert line in whole(answer)


def test_budgets_are_safe_or_not_and_until_when(asking: Asking) -> None:
    """One that is spent, one that is whole, and a service without any."""
    assert asking.asker.ask("is warenkorb's budget safe?").heading.startswith("Yes: 100% of the budget of Cart answers")
    burning = asking.asker.ask("is the error budget of zahlung-gateway safe until monday?")
    assert burning.intent == "budget"
    # 8 of 30 fail for ten of sixty minutes: 4.4 % of all, where 10 % may.
    assert "Zahlungen gelingen (0.9 good over 1 h)" in burning.heading
    assert "Yes: 56% of the budget" in burning.heading
    every = asking.asker.ask("how are our SLOs?")
    assert (every.heading[:3], len(every.lines)) == ("Yes", 1)
    none = asking.asker.ask("budget of lager.bestand").heading
    assert none == "No objective of lager.bestand is configured. There are: pay, cart."


def test_who_is_on_call_and_why_them(asking: Asking) -> None:
    """By service through its policy, by schedule, by person, and all."""
    ask = asking.asker.ask
    assert ask("who is on call for zahlung-gateway?").heading.startswith("Ben Okoro: an incident of zahlung-gateway")
    assert "policy 'money' (service zahlung-gateway)" in whole(ask("who gets paged for zahlung-gateway"))
    assert ask("who is on call for warenkorb?").heading.startswith("Ana Sousa: an incident of warenkorb pages")
    assert ask("who is on call?").heading.startswith("Ana Sousa is on call in primary until ")
    assert ask("who has the primary schedule?").heading.startswith("Ana Sousa is on call in primary")
    assert ask("is Ben on call?").heading == "Ben Okoro is not on call within the next 14 days."
    assert ask("when is ana on call").heading.startswith("Ana Sousa is on call now in primary")


def test_what_changed_keeps_to_the_time_and_the_service(asking: Asking) -> None:
    """Two hours unless the question says otherwise."""
    deploy(asking, "warenkorb", 30)
    deploy(asking, "lager.bestand", 200, "older")
    ask = asking.asker.ask
    assert ask("what changed?").heading.startswith("1 change between")
    assert ask("what changed in the last 5 hours?").heading.startswith("2 changes between")
    assert ask("what was deployed to lager.bestand").heading.startswith("Nothing changed in lager.bestand between")
    assert "older" in whole(ask("what changed in lager.bestand in the last 2 days?"))


def test_what_happened_last_time_is_told_with_its_end(asking: Asking) -> None:
    """People's judgement, how long it took, and the ones before."""
    asking.clock.advance(-7200)
    first = opened(asking, "warenkorb", 125)
    asking.incidents.resolve(first, ANA, "r", Judgement(warranted=True, cause="lager.bestand", mechanism="database"))
    asking.clock.advance(7200)
    answer = asking.asker.ask("what happened last time with warenkorb?")
    assert answer.heading.startswith(f"The last incident of warenkorb was {first}: warenkorb fails 25 %, resolved")
    assert "Ana Sousa judged: the page was warranted, cause lager.bestand (database)" in answer.lines
    again = opened(asking, "warenkorb", 1)
    assert first in asking.asker.ask(f"how did the last incident like {again} end?").heading
    assert asking.asker.ask("what happened last time with why?").heading.startswith("No incident of why is on record")


def test_what_is_open_counts_and_names(asking: Asking) -> None:
    """Nothing, then one."""
    assert asking.asker.ask("what is open?").heading == "No incident is open."
    incident_id = opened(asking, "warenkorb")
    for question in ("what is open?", "what is on fire", "status", "is everything ok?", "anything broken right now?"):
        answer = asking.asker.ask(question)
        assert answer.heading == "1 incident is open: 1 page, 0 tickets.", question
        assert answer.lines[0].startswith(incident_id)


@pytest.mark.parametrize(
    ("question", "subject", "note"),
    [
        ("why is Zahlung Gateway slow", "zahlung-gateway", False),
        ("why are warenkorbs slow?", "warenkorb", False),
        ("why is the product catalog slow", "ProductCatalogService", False),
        ("why is warenkrob slow?", "warenkorb", True),
        ("why is lager slow", "lager.bestand", True),
        ("what's wrong with zahlng-gatway???", "zahlung-gateway", True),
        ("why is why slow", "why", False),
        ('why is "why" slow', "why", False),
        ("why is 買い物かご slow?", "買い物かご", False),
        ("warenkorb?", "warenkorb", False),
    ],
)
def test_names_are_found_in_other_spellings(asking: Asking, question: str, subject: str, note: bool) -> None:
    """What was guessed is said; what is only spelled otherwise is not."""
    answer = asking.asker.ask(question)
    assert (answer.intent, answer.subject) == ("why", subject)
    assert any(text.startswith("Read “") for text in answer.notes) is note


def test_a_name_that_may_be_several_is_asked_about(asking: Asking) -> None:
    """Each is offered as a question that can be asked as it is."""
    opened(asking, "lager.eingang")
    answer = asking.asker.ask("why is lager slow?")
    assert answer.intent is None
    assert (
        "may be lager.bestand or lager.eingang" in answer.heading or "lager.eingang or lager.bestand" in answer.heading
    )
    for suggestion in answer.suggestions:
        assert asking.asker.ask(suggestion).intent == "why"


@pytest.mark.parametrize("question", ["", "hello there", "42", "make me a sandwich", "?" * 50, "a" * 5000])
def test_what_is_not_understood_is_answered_with_what_can_be_asked(asking: Asking, question: str) -> None:
    """With this system's own names; each suggestion is understood."""
    answer = asking.asker.ask(question)
    assert answer.intent is None
    assert any("warenkorb" in text or "zahlung" in text or "lager" in text for text in answer.suggestions)
    for suggestion in answer.suggestions:
        assert asking.asker.ask(suggestion).intent is not None, suggestion


@pytest.mark.parametrize(
    "question", ["why is frobnicator slow?", "what depends on frobnicator", "who is on call for frobnicator"]
)
def test_a_name_that_nobody_has_is_no_other_one(asking: Asking, question: str) -> None:
    """Nothing is answered about something else."""
    answer = asking.asker.ask(question)
    assert answer.intent is None
    assert "No name in “frobnicator” is known here. Did you mean" in answer.heading


def test_every_name_of_the_system_can_be_asked_about(asking: Asking) -> None:
    """Hostile ones, too: each in quotes, and each suggestion of it."""
    for number, name in enumerate(HOSTILE.values()):
        if name.strip():
            opened(asking, name, 5 + number / 100)
    for name in HOSTILE.values():
        tree: dict[str, Any] = as_json(asking.asker.ask(f'why is "{name[:200]}" slow?'))
        assert tree["answer"]
        assert "\n" not in tree["answer"]


def test_without_the_store_the_records_answer_and_say_what_is_missing(asking: Asking) -> None:
    """Unknown is not healthy: nothing is called well without telemetry."""
    away = Telemetry(url="http://127.0.0.1:9", database="otel", user="", password="")
    asker = Asker(db=asking.db, incidents=asking.incidents, store=away, oncall=ONCALL, clock=asking.clock)
    incident_id = opened(asking, "warenkorb")
    answer = asker.ask("why is warenkorb slow?")
    assert answer.heading.startswith("How warenkorb is now is unknown")
    assert "neither slower" not in whole(answer)
    assert incident_id in whole(answer)
    assert sum(note.startswith("Telemetry is missing") for note in answer.notes) == 1


def test_the_queries_cannot_write(asking: Asking) -> None:
    """They are SELECTs, and the reader's account is refused anything else."""
    answer = asking.asker.ask("why is warenkorb slow?")
    for read in answer.reads:
        assert ";" not in read.text
        assert read.text.startswith(("SELECT ", "watchkeeper incident list", "watchkeeper oncall who"))


def test_an_answer_takes_no_long(asking: Asking) -> None:
    """The five questions within a second each, on a busy machine."""
    for question in (
        "why is warenkorb slow?",
        "what depends on warenkorb?",
        "what is open?",
        "is warenkorb's budget safe",
    ):
        asking.asker.ask(question)
        began = time.monotonic()
        asking.asker.ask(question)
        assert time.monotonic() - began < 1.0, question
