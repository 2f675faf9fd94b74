"""The live path: a simulated shop with one broken service, read through a real chDB."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from empty_store import EmptyStore
from rca_chdb_reader import ChdbReader
from rca_shop import ONSET, OUTSIDE, Fault, Simulation

from rca.live.diagnose import diagnose
from rca.live.incident import LiveIncident
from rca.registry import read_engine
from watchkeeper.vocabulary import ChangeEvent, Diagnosis, Finding, Mechanism, Severity, utc

ALERT = Finding(
    detector="alertmanager", detector_version="1", kind="alert", service="cdn", summary="The CDN is slow",
    onset=utc(ONSET), seen_at=utc(ONSET + 2), score=1.0,
)  # fmt: skip
DECOY = ChangeEvent(id="decoy", at=utc(ONSET - 60), kind="deploy", service="cart", title="Restyle the cart")


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChdbReader]:
    found = ChdbReader(tmp_path_factory.mktemp("store"))
    yield found
    found.close()


def explained(
    reader: ChdbReader,
    *changes: ChangeEvent,
    findings: tuple[Finding, ...] = (),
    onset_s: float = 3.0,
    after_s: float = 25.0,
) -> Diagnosis:
    incident = LiveIncident(onset=utc(ONSET + onset_s), now=utc(ONSET + after_s), changes=changes, findings=findings)
    return diagnose(reader, read_engine(), incident)


def diagnosed(reader: ChdbReader, fault: Fault | None, *changes: ChangeEvent, after_s: float = 20.0) -> Diagnosis:
    reader.fill(Simulation(fault, seed=7).run(before_s=90.0, after_s=after_s))
    return explained(reader, DECOY, *changes, after_s=after_s)


@pytest.mark.parametrize(
    ("kind", "service", "mechanism"),
    [
        ("latency", "catalogue", "latency"),
        ("network", "payments", "latency"),
        ("errors", "inventory", "errors"),
        ("killed", "payments", "killed"),
        ("hung", "shipping", "hung"),
        ("cpu", "orders", "cpu"),
        ("database", "inventory", "database"),
    ],
)
def test_it_names_the_broken_service_first_and_how_it_hurts(
    reader: ChdbReader, kind: str, service: str, mechanism: Mechanism
) -> None:
    """Twenty seconds of faulty data are enough to tell the culprit from its callers, silent or not."""
    first = diagnosed(reader, Fault(kind, service)).suspects[0]
    assert (first.service, first.mechanism) == (service, mechanism)
    assert first.evidence


def test_a_service_that_answers_without_doing_its_work_is_named(reader: ChdbReader) -> None:
    """No request fails or slows down; what its requests do, and log, is less than before."""
    diagnosis = diagnosed(reader, Fault("shortcut", "orders"), after_s=30.0)
    first = diagnosis.suspects[0]
    assert (first.service, diagnosis.abstained) == ("orders", False)
    kinds = {evidence.kind for evidence in first.evidence}
    assert {"fewer_spans", "fewer_lines", "lost_lines"} <= kinds


def running_out(service: str, severity: Severity) -> Finding:
    return Finding(
        detector="limits", detector_version="1", kind="metric", service=service, severity=severity, score=0.9,
        signal="process.memory.usage", summary=f"{service}: process memory usage reaches its limit in about 3 min",
        onset=utc(ONSET), seen_at=utc(ONSET + 2),
    )  # fmt: skip


def test_what_runs_out_of_memory_is_named_before_anybody_is_hurt(reader: ChdbReader) -> None:
    """Nothing is slow or fails yet: the forecast itself is the evidence."""
    reader.fill(Simulation(None, seed=7).run(before_s=90.0, after_s=20.0))
    diagnosis = explained(reader, findings=(running_out("orders", "page"),))
    first = diagnosis.suspects[0]
    assert (first.service, first.mechanism, diagnosis.abstained) == ("orders", "memory", False)
    assert "reaches its limit" in diagnosis.reason


def test_a_limit_of_hours_is_not_why_another_service_died(reader: ChdbReader) -> None:
    """It joined the incident as a ticket, and stays a suspect behind the one that is gone."""
    reader.fill(Simulation(Fault("killed", "payments"), seed=7).run(before_s=90.0, after_s=20.0))
    suspects = explained(reader, findings=(ALERT, running_out("cart", "ticket"))).suspects
    assert suspects[0].service == "payments"
    assert "cart" in [one.service for one in suspects]


def test_a_deploy_that_errors_follow_is_the_mechanism(reader: ChdbReader) -> None:
    """The change event of the failing service is evidence, and is linked to the suspect."""
    deploy = ChangeEvent(id="d1", at=utc(ONSET - 5), kind="deploy", service="payments", title="Version 2")
    first = diagnosed(reader, Fault("errors", "payments"), deploy).suspects[0]
    assert (first.service, first.mechanism, first.change_id) == ("payments", "deploy", "d1")


def test_a_deploy_that_ran_well_for_minutes_is_not_how_it_hurts(reader: ChdbReader) -> None:
    """It stays in the evidence, but the slowness that came much later is reported as what it is."""
    deploy = ChangeEvent(id="d1", at=utc(ONSET - 80), kind="deploy", service="payments", title="Version 2")
    first = diagnosed(reader, Fault("network", "payments"), deploy).suspects[0]
    assert (first.service, first.mechanism, first.change_id) == ("payments", "latency", "d1")


def test_calls_that_the_roll_up_does_not_hold_yet_are_no_callers_own_time(reader: ChdbReader) -> None:
    """Ten seconds after the onset, edges end before it: the newest calls are joined from both of their sides."""
    reader.edges_behind_s = 12.0
    try:
        first = diagnosed(reader, Fault("network", "payments"), after_s=12.0).suspects[0]
    finally:
        reader.edges_behind_s = 0.0
    assert (first.service, first.mechanism) == ("payments", "latency")


@pytest.mark.parametrize("kind", ["latency", "errors", "killed", "hung"])
def test_it_names_the_instance_that_differs_from_its_others(reader: ChdbReader, kind: str) -> None:
    """One of three instances is broken: the service is still first, and the sentence a human reads names the one."""
    reader.fill(Simulation(Fault(kind, "catalogue", "catalogue-2"), seed=3, instances=3).run(before_s=90.0))
    diagnosis = explained(reader)
    first = diagnosis.suspects[0]
    assert (first.service, first.instance, first.mechanism) == ("catalogue", "catalogue-2", kind)
    assert "instance catalogue-2" in first.evidence[0].sentence
    assert diagnosis.reason == first.evidence[0].sentence


def test_no_instance_is_named_where_all_are_broken(reader: ChdbReader) -> None:
    """What every instance of a service shows is the service's."""
    reader.fill(Simulation(Fault("latency", "catalogue"), seed=3, instances=3).run(before_s=90.0))
    first = explained(reader).suspects[0]
    assert (first.service, first.instance) == ("catalogue", None)


def test_a_process_that_was_killed_is_recognised_even_after_another_took_over(reader: ChdbReader) -> None:
    """For nine seconds nobody listened; since then, requests are served and metrics come again."""
    first = diagnosed(reader, Fault("killed", "cart", lasts_s=9.0), after_s=28.0).suspects[0]
    assert (first.service, first.mechanism) == ("cart", "killed")


def test_connections_that_break_off_do_not_hide_slowness(reader: ChdbReader) -> None:
    """A slow path drops a few connections: that is neither a killed process nor a service that errs."""
    first = diagnosed(reader, Fault("network", "cart", broken_off=0.08)).suspects[0]
    assert (first.service, first.mechanism) == ("cart", "latency")


def test_what_is_outside_of_the_observed_system_is_named_if_several_depend_on_it(reader: ChdbReader) -> None:
    """Two services wait for a host that reports nothing: it is the first suspect, and neither of them is."""
    first = diagnosed(reader, Fault("network", OUTSIDE)).suspects[0]
    assert first.service == OUTSIDE
    assert "reports nothing" in first.evidence[0].sentence


def test_what_the_alarmed_service_does_not_depend_on_counts_less(reader: ChdbReader) -> None:
    """Users of the cart are hurt: whatever is wrong with orders, on which the cart does not depend, is not why."""
    reader.fill(Simulation(Fault("latency", "orders"), seed=7).run(before_s=90.0, after_s=25.0))
    alarm = replace(ALERT, service="cart", kind="slo")
    kinds = {
        suspect.service: {evidence.kind for evidence in suspect.evidence}
        for suspect in explained(reader, findings=(alarm,)).suspects
    }
    assert "out_of_reach" in kinds["orders"]
    assert "out_of_reach" not in kinds["inventory"]  # the cart asks the catalogue, which asks the inventory


def test_it_abstains_when_telemetry_is_behind(reader: ChdbReader) -> None:
    """Whatever was stored ends before the onset: the reason contains by how much."""
    reader.fill(Simulation(None, seed=7).run(before_s=90.0, after_s=-12.0))
    diagnosis = explained(reader, DECOY, onset_s=0.0, after_s=20.0)
    assert diagnosis.abstained
    assert diagnosis.reason.startswith("telemetry is 3")
    assert "behind" in diagnosis.reason


def test_without_any_telemetry_it_says_so() -> None:
    """Alerts come to an installation that gets nothing else: there is no time by which it is behind."""
    incident = LiveIncident(onset=utc(ONSET), now=utc(ONSET + 20), changes=(), findings=(ALERT,))
    diagnosis = diagnose(EmptyStore(), read_engine(), incident)
    assert diagnosis.abstained
    assert diagnosis.reason == "no telemetry came in the minutes around the onset, so nothing can be compared"


def test_an_alert_about_something_without_telemetry_is_outside_of_what_is_observed(reader: ChdbReader) -> None:
    """No service that is observed changed, so none is accused in its stead."""
    reader.fill(Simulation(None, seed=7).run(before_s=90.0, after_s=20.0))
    diagnosis = explained(reader, findings=(ALERT,), after_s=20.0)
    assert diagnosis.abstained
    assert "cdn" in {suspect.service for suspect in diagnosis.suspects}


def test_it_abstains_when_nothing_changed(reader: ChdbReader) -> None:
    """A deploy alone, without any symptom, accuses nobody."""
    diagnosis = diagnosed(reader, None)
    assert diagnosis.abstained
    assert diagnosis.reason


def test_the_score_is_the_sum_of_the_evidence(reader: ChdbReader) -> None:
    """What a human sees adds up to the score that ranks."""
    suspects = diagnosed(reader, Fault("killed", "catalogue")).suspects
    assert suspects[0].evidence
    for suspect in suspects:
        assert suspect.score == pytest.approx(sum(e.weight for e in suspect.evidence), abs=0.01)
