"""The scorecard counts what happened and nothing else, from the incidents' own events."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from alerting.incidents.commands import Incidents
from alerting.incidents.human_labels import Judgement
from chaos.fault import Effect, Truth
from chaos.journal import record_experiment
from chaos.record import Journal, Records
from chaos.scorecard import described, scorecard, scorecards, trend
from chaos.scored import ScoredExperiment, scored_experiments
from chaos.truth import OPENS_WITHIN, Recorder, control_window, settle, truth_of
from watchkeeper.clock import FrozenClock
from watchkeeper.config import OnCallConfig
from watchkeeper.intervals import Median, Rate, Share, poisson, wilson
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database
from watchkeeper.state.models import put_model, stage
from watchkeeper.target import NoTarget, ServiceStatus
from watchkeeper.vocabulary import Actor, Diagnosis, Finding, Mechanism, Proposal, Suspect

START = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
SERVICES = ("cart", "orders", "payments", "web")
ADA = Actor(name="Ada", via="slack")
APART_S = 1000.0
# The order of this: effect after 2 s, page after 12, acknowledged after 30; the fault ends after 60.
EFFECT_S, PAGE_S, ACK_S, END_S = 2.0, 12.0, 30.0, 60.0


class Installation:
    """A real state database, incidents in it, and experiments one after the other."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.clock = FrozenClock(START)
        self.incidents = Incidents(db, self.clock, OnCallConfig())
        self.began = START - timedelta(seconds=APART_S)

    def at(self, seconds: float) -> datetime:
        self.clock.advance((self.began + timedelta(seconds=seconds) - self.clock.now()).total_seconds())
        return self.clock.now()

    def breaks(
        self,
        fault: str,
        service: str,
        mechanism: Mechanism = "errors",
        *,
        proved: bool = True,
        cut_short: bool = False,
        dependency: str = "",
    ) -> None:
        """An experiment of a minute, long after the one before."""
        self.calm(APART_S)
        start = self.at(0).timestamp()
        row = Truth(
            id=f"{fault}-{service}-{start:.0f}", fault=fault, target=service, mechanism=mechanism, injected_at=start,
            effect_at=start + EFFECT_S if proved else 0.0, took_effect=proved, ended_at=start + END_S, detail="broken",
            cut_short=cut_short, dependency=dependency,
        )  # fmt: skip
        record_experiment(self.db, truth_of(row, "/shop", SERVICES))

    def pages(
        self, service: str, *suspects: str, at: float = PAGE_S, mechanism: Mechanism = "errors", abstained: bool = False
    ) -> str:
        """An incident with a diagnosis, for which somebody is paged."""
        now = self.at(at)
        one = Finding(
            detector="red.errors", detector_version="4", kind="errors", service=service, summary=f"{service} fails",
            onset=now - timedelta(seconds=5), seen_at=now, score=0.99,
        )  # fmt: skip
        (incident_id,) = self.incidents.observe([one], judged=lambda _: False)
        if suspects:
            self.diagnoses(incident_id, *suspects, mechanism=mechanism, abstained=abstained)
        self.incidents.page(incident_id)
        return incident_id

    def diagnoses(
        self,
        incident_id: str,
        *suspects: str,
        mechanism: Mechanism = "errors",
        abstained: bool = False,
        runbook: str = "",
    ) -> None:
        now = self.clock.now()
        named = tuple(
            Suspect(service=name, score=9.0 - place, probability=0.9 - 0.1 * place, mechanism=mechanism)
            for place, name in enumerate(suspects)
        )
        diagnosis = Diagnosis(
            onset=now, made_at=now, suspects=named, abstained=abstained, reason="because", engine_version="1"
        )
        proposal = (
            Proposal(
                runbook=runbook, title=runbook, service=suspects[0], steps=("restart",), blast_radius="one", undo="none"
            )
            if runbook
            else None
        )
        self.incidents.diagnosed(incident_id, diagnosis, proposal, f"d{now.isoformat()}{suspects}")

    def calm(self, seconds: float) -> None:
        """What was before is over, and so long ago."""
        for incident in self.incidents.list("open"):
            self.incidents.recovered(incident.id, "over")
            self.incidents.resolve(incident.id, ADA, "over")
        self.began += timedelta(seconds=seconds)

    def recovers(self, incident_id: str, at: float) -> None:
        self.at(at)
        self.incidents.recovered(incident_id, f"r{at}")

    def scored(self) -> tuple[ScoredExperiment, ...]:
        settle(self.db, self.began + timedelta(days=1), Problems(None))
        return scored_experiments(self.db)


@pytest.fixture
def here(db: Database) -> Installation:
    """Nothing was tested yet."""
    return Installation(db)


def test_who_names_what_a_service_is_cut_off_from_is_right_too(here: Installation) -> None:
    """By the name that its callers have for it; where nothing was cut off, only the service is the cause."""
    here.breaks("dependency_down", "orders", "network", dependency="redis")
    here.pages("web", "redis (10.0.0.7:6379)", "orders")
    here.breaks("latency", "orders", "latency")
    here.pages("web", "redis (10.0.0.7:6379)", "orders")
    ranks = [one.answer.rank if one.answer else None for one in here.scored()]
    assert ranks == [1, 2]


def test_times_and_answers_come_from_the_incident(here: Installation) -> None:
    """Detected, paged, acknowledged, diagnosed at the page and later, cleared: each where it happened."""
    here.breaks("kill", "orders", "killed")
    own = here.pages("web", "web", "orders", mechanism="latency")
    here.at(20)
    here.diagnoses(own, "orders", "web", mechanism="killed")
    here.at(ACK_S)
    here.incidents.acknowledge(own, ADA, "a")
    here.at(END_S + 1)
    here.diagnoses(own, "cart", mechanism="cpu")  # after the fault: it scores nothing
    here.recovers(own, END_S + 15)
    (one,) = here.scored()
    assert (one.outcome, one.incidents, one.detector) == ("found", (own,), "red.errors 4")
    assert (one.detected_s, one.paged_s, one.acknowledged_s) == (PAGE_S - EFFECT_S, PAGE_S - EFFECT_S, ACK_S - PAGE_S)
    assert (one.cleared_s, one.repaired_s, one.run) == (15.0, None, None)
    assert one.at_page is not None
    assert one.answer is not None
    assert (one.at_page.rank, one.at_page.first, one.at_page.mechanism) == (2, "web", "latency")
    assert (one.answer.rank, one.answer.mechanism) == (1, "killed")
    card = scorecard([one])
    assert (card.first, card.first_at_page) == (Share(right=1, count=1), Share(right=0, count=1))
    assert (card.in_three, card.mechanism) == (Share(right=1, count=1), Share(right=1, count=1))


def test_a_runbook_that_ran_dates_the_repair(here: Installation) -> None:
    """Recovered after a run that succeeded, while the fault would still have held."""
    here.breaks("kill", "orders", "killed")
    own = here.pages("orders", "orders")
    here.diagnoses(own, "orders", "web", runbook="restart")
    seen = here.incidents.get(own).proposal
    assert seen is not None
    here.incidents.approve(own, ADA, "y", seen.id)
    here.incidents.run_started(own, "s")
    here.at(40)
    here.diagnoses(own, "cart", mechanism="cpu")  # of a system that is being repaired: it scores nothing
    here.incidents.run_finished(own, "f", succeeded=True, text="restarted")
    here.recovers(own, 50)
    (one,) = here.scored()
    assert (one.run, one.repaired_s, one.cleared_s) == (True, 50 - EFFECT_S, None)
    assert one.answer is not None
    assert one.answer.right
    assert scorecard([one]).runbooks == Share(right=1, count=1)


def test_what_took_no_effect_is_counted_and_not_scored(here: Installation) -> None:
    """Missing a fault that never took effect is no miss, and one whose proof never came is none either."""
    here.breaks("hang", "cart", proved=False)
    here.breaks("hang", "cart", proved=False, cut_short=True)
    here.breaks("hang", "cart")
    card = scorecard(here.scored())
    assert (card.experiments, card.without_effect, card.recall) == (3, 2, Share(right=0, count=1))


def test_an_abstention_is_no_right_answer_and_no_wrong_one(here: Installation) -> None:
    """Of two wrong first suspects one was named as the cause. A right first suspect that was not named is not first."""
    here.breaks("kill", "orders")
    here.pages("orders", "web", "orders", abstained=True)
    here.breaks("kill", "cart")
    here.pages("cart", "web")
    here.breaks("kill", "payments")
    here.pages("payments", "payments", abstained=True)
    card = scorecard(here.scored())
    assert card.abstained_when_wrong == Share(right=1, count=2)
    assert (card.first, card.in_three) == (Share(right=0, count=3), Share(right=2, count=3))


@pytest.mark.parametrize(
    ("named", "rank"), [("payments (10.0.0.7:6379)", 1), ("payments:main", 1), ("payments-v2", None)]
)
def test_what_has_no_telemetry_of_its_own_is_right_by_its_callers_name(
    here: Installation, named: str, rank: int | None
) -> None:
    """Callers name a database with its address or its database; another service is not it."""
    here.breaks("latency", "payments")
    here.pages("web", named, "cart")
    here.calm(APART_S)
    (one,) = scored_experiments(here.db)
    assert one.answer is not None
    assert one.answer.rank == rank


def test_false_pages_are_counted_by_the_control_hour(here: Installation) -> None:
    """Two windows of half an hour, one page in one of them; pages outside belong to nobody."""
    for number in range(2):
        here.calm(APART_S * 4)
        start = here.at(0).timestamp()
        record_experiment(here.db, control_window("/shop", SERVICES, start, start + 1800, "calm"))
        if number:
            here.pages("web", at=60)
            here.calm(0)
        here.pages("web", at=2000)
    card = scorecard(here.scored())
    assert (card.experiments, card.false_pages) == (0, Rate(events=1, hours=1.0))
    assert scorecards(here.scored(), ("fault",)) == {}
    (by_version,) = scorecards(here.scored(), ("version",)).values()
    assert by_version.false_pages.events == 1


def test_what_joins_an_older_incident_in_a_control_window_is_no_false_page(here: Installation) -> None:
    """Somebody was paged before the window, and nobody in it."""
    here.calm(APART_S)
    here.pages("web", at=60)
    now = here.at(80)
    one = Finding(
        detector="red.latency", detector_version="4", kind="latency", service="web", summary="web is slow",
        onset=now, seen_at=now, score=0.99,
    )  # fmt: skip
    here.incidents.observe([one], judged=lambda _: False)
    start = here.began.timestamp() + 70
    record_experiment(here.db, control_window("/shop", SERVICES, start, start + 3600, "calm"))
    (window,) = here.scored()
    assert (window.outcome, window.incidents) == ("quiet", ())
    assert scorecard([window]).false_pages == Rate(events=0, hours=1.0)


def test_what_a_target_has_today_does_not_change_what_was_found(here: Installation, tmp_path: Path) -> None:
    """The service of a past experiment is gone, and the configuration has another name: the past is as it was."""
    here.breaks("kill", "orders", "killed")
    own = here.pages("orders", "orders")
    before = here.scored()
    truth = before[0].truth
    journal = Journal(
        id=truth.id, title="", fault="kill", target="orders", blast_radius="", status="completed",
        start=truth.began.timestamp(), injected_at=truth.began.timestamp(),
        effect=Effect(proved=True, since=truth.began.timestamp() + EFFECT_S, detail="broken"),
        reverted_at=truth.ended.timestamp(), end=truth.ended.timestamp(), deviations=(), steady_again=True,
    )  # fmt: skip
    Records(tmp_path).keep(journal, "killed")

    class Renamed(NoTarget):
        def services(self) -> dict[str, ServiceStatus]:
            return {"cart": ServiceStatus(service="cart", state="running")}

    Recorder(here.db, Renamed("it is renamed"), print).catch_up(Records(tmp_path))
    after = here.scored()
    assert [(one.outcome, one.incidents, one.truth) for one in after] == [("found", (own,), truth)]


def test_humans_labels_are_held_against_the_truth(here: Installation) -> None:
    """Wrong is: a warranted page called false, or another service named. "Not sure" is no error."""
    here.breaks("kill", "orders")
    own = here.pages("orders")
    people = {
        "Ada": Judgement(warranted=True, cause="orders"),
        "Bo": Judgement(warranted=True, cause="web"),
        "Cy": Judgement(warranted=False),
        "Di": Judgement(note="no idea"),
    }
    for name, judgement in people.items():
        here.incidents.judge(own, Actor(name=name, via="slack"), name, judgement)
    here.breaks("hang", "orders", proved=False)
    here.incidents.judge(here.pages("orders"), ADA, "x", Judgement(warranted=False))
    assert scorecard(here.scored()).label_errors == Share(right=2, count=4)


def test_versions_are_scored_apart(here: Installation) -> None:
    """What the model that decided then had learned; a promotion since changes nothing of it."""
    here.breaks("kill", "orders")
    here.pages("orders")
    model = put_model(here.db, "detectors", b"{}", {}, here.clock.now())
    here.at(APART_S / 2)
    stage(here.db, "detectors", model.version, "serving", actor="Ada", now=here.clock.now(), record={})
    here.breaks("kill", "orders")
    cards = scorecards(here.scored(), ("fault", "version"))
    recall = {key[1].split(", ")[1]: card.recall for key, card in cards.items()}
    assert recall == {"detectors 0": Share(right=1, count=1), "detectors 1": Share(right=0, count=1)}


def test_a_page_that_came_counts_before_its_time_is_over(here: Installation) -> None:
    """Nothing can take it back; that none came is known only later."""
    here.breaks("kill", "orders")
    here.breaks("kill", "cart")
    here.pages("cart")
    settle(here.db, here.began + timedelta(seconds=20), Problems(None))
    assert [one.outcome for one in scored_experiments(here.db)] == ["missed", "found"]
    here.breaks("kill", "web")
    settle(here.db, here.began + timedelta(seconds=END_S) + OPENS_WITHIN / 2, Problems(None))
    assert scored_experiments(here.db)[-1].outcome is None


def test_a_ticket_that_was_raised_is_found_when_it_pages(here: Installation) -> None:
    """Opened before the fault as a ticket: the raising is the detection."""
    here.breaks("kill", "orders")
    now = here.at(-900)
    values: dict[str, Any] = {
        "detector": "red.errors", "detector_version": "4", "kind": "errors", "service": "orders", "onset": now,
        "summary": "orders fails a little", "score": 0.9,
    }  # fmt: skip
    (own,) = here.incidents.observe(
        [Finding(**values, seen_at=here.at(-10), severity="ticket")], judged=lambda _: False
    )
    here.at(20)
    here.incidents.observe([Finding(**values, seen_at=here.clock.now())], judged=lambda _: False)
    (one,) = here.scored()
    assert (one.incidents, one.detected_s) == ((own,), 20 - EFFECT_S)


def test_settling_twice_keeps_what_was_recorded_first(here: Installation) -> None:
    """The same truth again, as the next experiment's start records it, unsettles nothing."""
    here.breaks("kill", "orders")
    here.pages("orders", "orders")
    (before,) = here.scored()
    record_experiment(here.db, before.truth)
    assert scored_experiments(here.db) == (before,)


def test_a_trend_has_few_steps_however_long_it_is(here: Installation) -> None:
    """Experiments of one night by the hour, of a year by four weeks; each is in exactly one step."""
    for _ in range(8):
        here.breaks("kill", "orders")
    hourly = trend(here.scored())
    assert {at.minute for at in hourly} == {0}
    here.began += timedelta(days=330)
    here.breaks("kill", "orders")
    yearly = trend(here.scored())
    assert [card.experiments for card in yearly.values()] == [8, 1]
    assert sum(card.experiments for card in hourly.values()) == 8
    assert trend(()) == {}


def test_numbers_carry_their_bounds() -> None:
    """As JSON; what was never measured is null and never a zero."""
    assert wilson(0, 0) == (0.0, 1.0)
    assert [round(bound, 3) for bound in wilson(5, 5)] == [0.566, 1.0]
    assert poisson(0)[0] == 0.0
    many = Median.of(map(float, range(20_001)))
    assert (many.value, many.low, many.high) == (10_000.0, 9_861.0, 10_139.0)
    assert Median.of([3.0, None, 1.0, 2.0]) == Median(value=2.0, low=None, high=None, count=3)
    tree = described(scorecard(()))
    assert tree["recall"] == {"right": 0, "count": 0, "value": None, "low": 0.0, "high": 1.0}
    assert tree["false_pages"]["high"] is None
    assert math.isinf(Rate(events=0, hours=0.0).high)
