"""A runbook against a fault that an agent still holds, in a real shop: repaired, and left alone by the fault's end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from bench.cured_systems import Case, System, shop
from bench.cures import Cure, cure, refused, summary


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with shop(tmp_path_factory.mktemp("cures")) as running:
        yield running


@pytest.mark.slow
def test_a_runbook_repairs_while_the_fault_holds(system: System) -> None:
    """The command line runs it; requests and customers are answered again, also after the fault's end."""
    (case,) = (each for each in system.cases if each.fault == "kill")
    before = asked(system)
    outcome = cure("shop", system, case)
    assert (outcome.repaired, outcome.undisturbed, outcome.run, outcome.why) == (True, True, "done", "")
    assert outcome.customers > 0
    assert asked(system) - before == Counter({"start": 1})


def asked(system: System) -> Counter[str]:
    """How often the agent was asked for each verb; the tests of this file share it."""
    _, audit = system.agent.ask("GET", "/audit?limit=1000")
    return Counter(row["verb"] for row in audit if row["what"] == "verb.asked")


@pytest.mark.slow
def test_a_run_that_never_began_is_no_repair(system: System) -> None:
    """The reason is in the outcome, and the fault is ended at once: the next one finds the service well."""
    case = Case(fault="kill", service="shipping", runbook="no-such-runbook")
    outcome = cure("shop", system, case)
    assert (outcome.broken, outcome.repaired) == (True, False)
    assert "no-such-runbook" in outcome.why
    assert summary([outcome, replace(outcome, repaired=True, seconds=3.0)])[0]["repaired"] == 1


@pytest.mark.slow
def test_what_must_be_refused_is_refused_and_recorded(system: System) -> None:
    """A wrong token, an unlisted service, an over-long bound, a second experiment; a failing step undoes."""
    outcomes = refused("shop", system)
    assert [each.asked for each in outcomes if not (each.refused and each.recorded)] == []
    assert len(outcomes) == 5


def test_the_summary_counts_by_system_and_fault() -> None:
    """The median is of those that were repaired alone."""
    one = Cure(system="shop", fault="hang", service="cart", runbook="r", broken=True)
    well = replace(one, repaired=True, seconds=4.0, undisturbed=True)
    missed = replace(one, failed_steps=1, undone=1)
    nothing = replace(one, broken=False)
    (row, other) = summary([well, replace(well, seconds=6.0), missed, nothing, replace(well, system="foreign")])
    assert (row["runs"], row["repaired"], row["median_s"], row["failed_steps"]) == (3, 2, 5.0, 1)
    assert (row["undone"], row["undisturbed"], row["without_effect"], other["runs"]) == (1, 2, 1, 1)
