"""Simulated systems as `watchkeeper bench worlds` watches and scores them."""

from __future__ import annotations

import json
from dataclasses import replace

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from bench.command import app
from bench.worlds import report
from bench.worlds.rules import alerted
from bench.worlds.run import score_one, seeds_of
from bench.worlds.scoring import CallGraph, score
from bench.worlds.watching import Page, Ticket, Watched, watch
from chaos.worlds.recording import Event, Recording
from tests.bench.small_recording import Level, recording
from watchkeeper.vocabulary import Diagnosis, Suspect, utc

SLOW = Event(
    kind="latency",
    harmful=True,
    culprit="stock",
    mechanism="latency",
    begins_s=1000.0,
    ends_s=1120.0,
    pages=True,
    detail="stock takes 400 ms longer",
)


def slow(service: str, at: int) -> float:
    return 400.0 if service == "stock" and SLOW.begins_s <= at < SLOW.ends_s else 20.0


def test_the_product_finds_a_slow_service() -> None:
    """One page, within half a minute, that names the service; and nothing before or after."""
    own = recording(events=[SLOW], own_ms=slow)
    watched = watch(own)
    assert watched.problems == ()
    world = score(2, own, watched)
    (fault,) = world.faults
    assert (fault.detected, fault.pages, fault.at_page.rank, fault.at_last.rank) == (True, 1, 1, 1)
    assert fault.seconds is not None
    assert 5.0 < fault.seconds < 30.0
    assert world.false_pages == ()


def test_the_rules_find_it_later_and_name_whoever_comes_first() -> None:
    own = recording(events=[SLOW], own_ms=slow)
    (fault,) = score(2, own, alerted(own)).faults
    assert fault.detected
    assert fault.seconds is not None
    assert 90.0 <= fault.seconds <= 150.0
    assert fault.pages == 1
    assert fault.at_page.rank == 3


@pytest.mark.parametrize("state", ["silent", "full", "failing"])
def test_each_rule_pages(state: str) -> None:
    """A target that is down, memory near its limit, a budget that burns; none of them on a calm system."""

    def broken(service: str, at: int) -> bool:
        return service == "prices" and at >= 1000

    own = {
        "silent": lambda: recording(per_s=lambda service, at: 0.0 if broken(service, at) else 20.0),
        "full": lambda: with_limit(lambda service, at: 480e6 if broken(service, at) else 100e6),
        "failing": lambda: recording(failing=lambda service, at: 0.3 if broken(service, at) else 0.0),
    }[state]()
    rule = {"silent": "TargetDown", "full": "MemoryNearLimit", "failing": "ErrorBudgetBurn"}[state]
    first = alerted(own).pages[0]
    assert rule in first.summaries[0]
    assert 1060.0 <= first.paged_s <= 1260.0
    assert alerted(recording()).pages == ()


@pytest.mark.parametrize("state", ["failing", "slow"])
def test_the_rules_read_the_metrics_of_services_without_spans(state: str) -> None:
    own = recording(failing=lambda service, at: 0.01)
    moments = range(0, own.seconds, 15)
    rows = [
        (own.start + at, "billing", metric, json.dumps({"http.status_code": status}), value)
        for at in moments
        for metric, status, value in (
            ("http.server.requests", 200, 9.0),
            ("http.server.requests", 500, 4.0 if state == "failing" and at >= 1000 else 0.0),
            ("http.server.request.duration", 200, 0.9 if state == "slow" and at >= 1000 else 0.1),
        )
    ]
    columns = dict(zip(("bucket", "service", "metric", "attributes", "value"), zip(*rows, strict=True), strict=True))
    table = pa.table(columns | {"kind": ["rate"] * len(rows)})
    table = table.set_column(0, "bucket", table["bucket"].cast(pa.timestamp("s", "UTC")))
    own = replace(own, red=own.red.slice(0, 0), latency=own.latency.slice(0, 0), metrics=table)
    (page,) = alerted(own).pages
    rule = {"failing": "ErrorBudgetBurn", "slow": "LatencyHigh"}[state]
    assert page.summaries == (f"{rule}: billing",)
    assert 1090.0 <= page.paged_s <= 1210.0


def with_limit(memory: Level) -> Recording:
    """A recording whose services report what they may use, too."""
    own = recording(memory=memory)
    count = own.metrics.num_rows
    limits = own.metrics.set_column(2, "metric", pa.array(["process.memory.limit"] * count))
    limits = limits.set_column(4, "value", pa.array([512e6] * count))
    return replace(own, metrics=pa.concat_tables([own.metrics, limits]))


def page(at_s: float, service: str, *suspects: str, abstained: bool = False) -> Page:
    at = utc(1_800_000_000.0)
    diagnosis = Diagnosis(
        onset=at,
        made_at=at,
        suspects=tuple(Suspect(service=name, score=1.0, probability=0.5, mechanism="latency") for name in suspects),
        abstained=abstained,
        reason="a reason",
        engine_version="0",
    )
    return Page(paged_s=at_s, services=(service,), summaries=("slow",), at_page=diagnosis, at_last=diagnosis)


def test_a_page_counts_if_the_fault_can_show_there() -> None:
    """At whoever depends on the culprit, and at what it calls; not elsewhere, not earlier and not much later."""
    own = recording(events=[SLOW], seconds=1200)
    assert CallGraph(own).reach(SLOW) == {"front", "orders", "stock", "prices"}
    assert CallGraph(own, [("browser", "front")]).reach(SLOW) >= {"browser"}
    for moment, service, found in ((1020, "front", True), (1235, "orders", True), (1020, "mail", False)):
        (fault,) = score(2, own, Watched(pages=(page(moment, service, "stock"),))).faults
        assert fault.detected is found
    for moment in (990, 1301):
        world = score(2, own, Watched(pages=(page(moment, "stock", "stock"),)))
        assert not world.faults[0].detected
        assert [one.at_s for one in world.false_pages] == [moment]
    (fault,) = score(2, own, Watched(pages=(page(1020, "mail"),))).faults
    assert fault.found == "page elsewhere: slow"


def test_names_are_ranked_and_abstentions_counted() -> None:
    own = recording(events=[SLOW], seconds=1200)
    found = [
        score(2, own, Watched(pages=(page(1010, "front", "stock", "front"),))),
        score(4, own, Watched(pages=(page(1030, "front", "front", "stock"), page(1040, "front", "stock")))),
        score(6, own, Watched(pages=(page(1050, "front", "front", abstained=True),))),
        score(8, own, Watched()),
    ]
    figures = report.figures(found)
    assert (figures.recall.right, figures.recall.of) == (3, 4)
    assert figures.seconds == pytest.approx((30.0, 46.0))
    assert (figures.first.right, figures.first.of) == (1, 4)
    assert (figures.three_found.right, figures.three_found.of) == (2, 3)
    assert (figures.mechanism.right, figures.mechanism.of) == (2, 2)
    assert (figures.abstained.right, figures.abstained.of) == (1, 2)
    assert figures.pages == pytest.approx(4 / 3)
    lines = report.misses(found)
    assert [line for line in lines if line[0] != " "] == ["2 x MISNAMED latency (of 4)", "1 x MISSED latency (of 4)"]
    assert "stock takes 400 ms longer; found: nothing" in lines[-1]


def test_a_fault_that_users_do_not_feel_needs_a_ticket_before_its_limit() -> None:
    leak = Event(
        kind="leak", harmful=True, culprit="stock", mechanism="memory", begins_s=950, ends_s=1190, limit_at_s=1100
    )
    own = recording(events=[leak], seconds=1200)

    def passed(*tickets: Ticket, pages: tuple[Page, ...] = ()) -> bool:
        world = score(2, own, Watched(tickets=tickets, pages=pages))
        assert world.false_pages == ()
        return world.faults[0].passed

    def ticket(*noticed: float) -> Ticket:
        return Ticket(opened_s=noticed[0], summary="memory grows", noticed=tuple((at, "stock") for at in noticed))

    assert passed(ticket(1090.0))
    assert passed(ticket(920.0, 1090.0))
    assert passed(pages=(page(1050, "stock", "stock"),))
    assert not passed(ticket(1110.0))
    assert not passed()
    early = score(2, own, Watched(tickets=(ticket(920.0),)))
    assert len(early.false_tickets) == 1


def test_a_false_page_names_the_harmless_thing_that_went_on() -> None:
    wave = Event(kind="load wave", harmful=False, begins_s=1000, ends_s=1100)
    own = recording(events=[wave], seconds=1200)
    world = score(2, own, Watched(pages=(page(1050, "front"),)))
    assert world.faults == ()
    assert [one.during for one in world.false_pages] == ["load wave"]
    assert report.figures([world]).false_pages == pytest.approx(86_400 / 300)


def test_weak_cells_are_listed_once_they_hold_enough() -> None:
    own = recording(events=[SLOW], seconds=1200)
    found = score(2, own, Watched(pages=(page(1010, "front", "stock"),)))
    missed = score(4, own, Watched())
    assert report.weak([found] * 10 + [missed] * 9) == []
    weak = report.weak([found] * 16 + [missed] * 4)
    assert weak[0] == "kind latency: recall 0.800 [0.58, 0.92] of 20"
    assert json.loads(json.dumps(report.as_json({"product": [missed]})))["product"]["faults"][0]["passed"] is False


def test_a_drawn_system_is_watched_and_scored() -> None:
    """By the product and by the rules, and nothing of the product fails."""
    own, rules = score_one(20)
    assert {fault.seed for fault in own.faults} == {20}
    assert [fault.event for fault in own.faults] == [fault.event for fault in rules.faults]
    assert own.problems == ()


def test_the_same_recording_gives_the_same_pages() -> None:
    own = recording(events=[SLOW], own_ms=slow, seconds=1080)
    assert watch(own) == watch(own)


def test_seeds_are_read() -> None:
    assert seeds_of("2-6,9", even=False, odd=False) == [2, 3, 4, 5, 6, 9]
    assert seeds_of("2-6", even=True, odd=False) == [2, 4, 6]
    assert seeds_of("2-6", even=False, odd=True) == [3, 5]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--seeds", "two"], "write `2-60`"),
        (["--seeds", "3", "--even"], "no seed is left"),
        (["--even", "--odd"], "or neither"),
    ],
)
def test_a_wrong_range_is_explained(given: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["worlds", *given], env={"COLUMNS": "300"})
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
