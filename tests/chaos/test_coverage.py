"""The coverage map, and which experiments come next."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from chaos.coverage import LATE_S, OUTDATED_AFTER, STATES, Reach, coverage, propose, reach_of
from chaos.journal import ExperimentTruth, Outcome
from chaos.scored import Answer, ScoredExperiment

NOW = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
EDGES = (("web", "cart"), ("web", "orders"), ("orders", "payments"))
SERVICES = ("cart", "orders", "payments", "web")
FAULTS = ("hang", "kill", "latency")
POSSIBLE = tuple((service, fault) for service in SERVICES for fault in FAULTS)
RIGHT = Answer(rank=1, mechanism="killed", abstained=False)
WRONG = Answer(rank=2, mechanism="latency", abstained=False)


def tried(
    service: str,
    fault: str,
    outcome: Outcome = "found",
    *,
    days: float = 1,
    paged_s: float = 12,
    answer: Answer = RIGHT,
) -> ScoredExperiment:
    began = NOW - timedelta(days=days)
    truth = ExperimentTruth(
        id=f"{service}{fault}{days}", target="/shop", fault=fault, service=service, services=SERVICES,
        began=began, ended=began + timedelta(minutes=1), took_effect=True,
    )  # fmt: skip
    scored = ScoredExperiment(truth=truth, outcome=outcome, version="1")
    return replace(scored, paged_s=paged_s, answer=answer) if outcome == "found" else scored


def reaches(budgets: dict[str, float] | None = None) -> dict[str, Reach]:
    return {service: reach_of(service, EDGES, SERVICES, budgets or {}) for service in SERVICES}


def state(*tests: ScoredExperiment) -> str:
    (cell,) = coverage(tests, NOW)
    return cell.state


def test_a_cell_shows_the_worst_of_its_newest_tests() -> None:
    """A lucky find hides no miss; a miss that three finds have followed is over."""
    assert state(tried("web", "kill")) == "detected"
    assert state(tried("web", "kill", "missed", days=2), tried("web", "kill")) == "missed"
    assert state(tried("web", "kill", answer=WRONG, days=2), tried("web", "kill")) == "wrong cause"
    assert state(tried("web", "kill", paged_s=LATE_S + 1)) == "late"
    assert state(tried("web", "kill", answer=replace(RIGHT, abstained=True))) == "wrong cause"
    after = [tried("web", "kill", days=days) for days in (3, 2, 1)]
    assert state(tried("web", "kill", "missed", days=4), *after) == "detected"


def test_an_old_test_says_little() -> None:
    """Tested too long ago: the map says what it was then."""
    days = OUTDATED_AFTER.days + 1
    (cell,) = coverage([tried("web", "kill", "missed", days=days)], NOW)
    assert (cell.state, cell.before, cell.tested) == ("outdated", "missed", 1)


def test_what_is_possible_and_was_never_done_is_untested() -> None:
    """A fault without effect is no test; what the target no longer offers stays on the map."""
    cells = coverage([tried("web", "kill", "no effect"), tried("gone", "kill")], NOW, [("web", "kill")])
    assert [(cell.service, cell.state) for cell in cells] == [("gone", "detected"), ("web", "untested")]


def test_the_next_experiments_are_those_that_teach_most() -> None:
    """Never tested and like nothing that was, before tested often and always found; three that differ."""
    known = [tried(service, "kill", days=day) for service in SERVICES for day in (4, 3, 2, 1)]
    proposed = propose(coverage(known, NOW, POSSIBLE), known, reaches(), NOW)
    assert len({(one.cell.fault, one.cell.service) for one in proposed}) == 3
    assert all(one.cell.state == "untested" for one in proposed)
    assert len({one.cell.service for one in proposed}) == 3
    assert {one.cell.fault for one in proposed} == {"hang", "latency"}


def test_of_two_unknowns_the_one_that_risks_less_comes_first() -> None:
    """Nobody depends on the entry; three services depend on payments."""
    proposed = propose(coverage((), NOW, POSSIBLE), (), reaches(), NOW, count=1)
    assert proposed[0].cell.service == "web"
    assert reaches()["payments"].services == ("orders", "payments", "web")
    assert proposed[0].reason.startswith("never tested; similar tests: 50% right; 0 services depend on web")


def test_without_error_budget_nothing_is_proposed() -> None:
    """What depends on a service whose budget is spent is left alone, and so is the service."""
    proposed = propose(coverage((), NOW, POSSIBLE), (), reaches({"orders": 0.0}), NOW, count=20)
    assert {one.cell.service for one in proposed} == {"web", "cart"}
    halved = propose(coverage((), NOW, POSSIBLE), (), reaches({"web": 0.5}), NOW, count=20)
    assert {one.reach.budget for one in halved} == {0.5}
    assert "50% of the error budget is left" in halved[0].reason


def test_a_failing_fault_makes_its_untested_cells_expected_to_fail() -> None:
    """What is missed in three services is likely to be missed in the fourth: less is learned there than elsewhere."""
    known = [tried(service, "kill", "missed") for service in SERVICES[1:]]
    cells = coverage(known, NOW, [("cart", "kill"), ("cart", "hang")])
    worth = {
        one.cell.fault: one for one in propose(cells, known, reaches(), NOW, count=9) if one.cell.service == "cart"
    }
    assert worth["kill"].expected < worth["hang"].expected
    assert worth["kill"].learned < worth["hang"].learned


@given(
    st.lists(
        st.builds(
            tried,
            st.sampled_from(SERVICES),
            st.sampled_from(FAULTS),
            st.sampled_from(("found", "missed", "joined", "no effect", "unknown")),
            days=st.floats(0, 400),
            paged_s=st.floats(0, 500),
            answer=st.sampled_from((RIGHT, WRONG)),
        ),
        max_size=30,
    ),
    st.integers(0, 20),
)
def test_the_map_and_the_proposals_hold_together(known: list[ScoredExperiment], count: int) -> None:
    """Every cell once, counts that fit, proposals in order and no more than were asked for."""
    known.sort(key=lambda one: one.truth.began)
    cells = coverage(known, NOW, POSSIBLE)
    assert len({(cell.service, cell.fault) for cell in cells}) == len(cells) == len(POSSIBLE)
    for cell in cells:
        assert cell.state in STATES
        assert 0 <= cell.right <= cell.found <= cell.tested
        assert (cell.state == "untested") == (cell.tested == 0)
    proposed = propose(cells, known, reaches(), NOW, count)
    assert len(proposed) == min(count, len(cells))
    for one in proposed:
        assert 0 < one.worth <= one.learned <= 0.29
        assert 0 < one.expected < 1
        assert one.reason
    if proposed:
        best = max(propose(cells, known, reaches(), NOW, 99), key=lambda one: one.worth)
        assert proposed[0].worth == best.worth
