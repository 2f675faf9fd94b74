"""The signal of a picture comes from the store, and what was usual from before the onset."""

from __future__ import annotations

from datetime import timedelta

from bench.own_roles import OwnRoles
from dashboard.reads.cache import Cache
from dashboard.reads.traffic import TrafficReads
from tests.alerting.ask.conftest import Asking
from watchkeeper.roles.picturing import plot_of
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.vocabulary import Diagnosis, Evidence, Finding, Suspect


def opened(asking: Asking, service: str, signal: str) -> str:
    """An incident whose likely cause is a service, for what a signal shows."""
    onset = asking.now - timedelta(minutes=10)
    finding = Finding(
        detector="errors",
        detector_version="1",
        kind="latency",
        service="warenkorb",
        summary="warenkorb: slow",
        onset=onset,
        seen_at=asking.now,
        score=0.9,
    )
    (incident_id,) = asking.incidents.observe([finding], judged=lambda _: False)
    evidence = (
        Evidence(kind="latency", weight=1.0, sentence="it is slow", signal=signal),
        Evidence(kind="reach", weight=5.0, sentence="most of what fails calls it"),
    )
    suspect = Suspect(service=service, score=2.0, probability=0.8, mechanism="latency", evidence=evidence)
    diagnosis = Diagnosis(
        onset=onset, made_at=asking.now, suspects=(suspect,), abstained=False, reason="slow", engine_version="1"
    )
    asking.incidents.diagnosed(incident_id, diagnosis, None, "first")
    return incident_id


def test_the_signal_of_the_strongest_evidence_is_read(asking: Asking, roles: OwnRoles) -> None:
    """Half an hour around the onset; the band is that of before, and the trouble lies outside of it."""
    traffic = TrafficReads(Telemetry.connect(roles.config), asking.clock, Cache(0.0))
    incident = asking.incidents.get(opened(asking, "zahlung-gateway", "latency"))
    plot = plot_of(traffic, incident, asking.now)
    assert plot is not None
    assert (plot.unit, plot.sentence, plot.onset) == ("ms", "it is slow", incident.onset)
    assert plot.step_s * len(plot.values) == 30 * 60
    assert plot.usual is not None
    low, high = plot.usual
    assert 30 < low <= high < 60
    late = [value for value in plot.values[-30:] if value is not None]
    assert min(late) > 500


def test_a_signal_that_the_store_does_not_have_has_no_picture(asking: Asking, roles: OwnRoles) -> None:
    """The database of somebody else, which sends nothing."""
    traffic = TrafficReads(Telemetry.connect(roles.config), asking.clock, Cache(0.0))
    incident = asking.incidents.get(opened(asking, "bank.example", "latency"))
    assert plot_of(traffic, incident, asking.now) is None
