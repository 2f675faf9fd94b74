"""Without requests, the findings of earlier incidents tell which finding is unusual, live as in a pack."""

from __future__ import annotations

from empty_store import EmptyStore

from rca.live.diagnose import diagnose
from rca.live.incident import LiveIncident
from rca.live.past import FEWEST_PAST
from rca.registry import read_engine
from watchkeeper.vocabulary import Diagnosis, Finding, utc

ONSET = 1_790_000_000.0


def alert(service: str, signal: str) -> Finding:
    return Finding(
        detector="alertmanager", detector_version="1", kind="alert", service=service, summary=f"{signal} of {service}",
        onset=utc(ONSET), seen_at=utc(ONSET + 2), score=1.0, signal=signal,
    )  # fmt: skip


SLOW_EVERYWHERE = tuple(alert(service, "slow") for service in ("web", "cart", "db"))


def explained(past: int) -> Diagnosis:
    findings = (*SLOW_EVERYWHERE, alert("db", "disk full"))
    incident = LiveIncident(
        onset=utc(ONSET), now=utc(ONSET + 30), findings=findings, past=[SLOW_EVERYWHERE for _ in range(past)]
    )
    return diagnose(EmptyStore(), read_engine(), incident)


def test_what_a_service_never_showed_before_makes_it_the_first_suspect() -> None:
    """All are slow in every incident; the full disk is new."""
    first = explained(past=20).suspects[0]
    assert first.service == "db"
    assert {evidence.kind for evidence in first.evidence} == {"rare alert"}
    assert "disk full" in first.evidence[0].sentence


def test_too_few_incidents_are_no_measure() -> None:
    """Nothing is unusual yet: the diagnosis abstains."""
    diagnosis = explained(past=FEWEST_PAST - 1)
    assert diagnosis.abstained
    assert not any(suspect.evidence for suspect in diagnosis.suspects)
