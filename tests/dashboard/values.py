"""Findings and diagnoses of a bad minute, from a few words each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from watchkeeper.vocabulary import Diagnosis, Evidence, Finding, Suspect

NOW = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)


def finding(service: str, summary: str = "", **changes: object) -> Finding:
    """A page-worthy finding that began twenty seconds ago."""
    values: dict[str, object] = {
        "detector": "red",
        "detector_version": "v3",
        "kind": "errors",
        "service": service,
        "summary": summary or f"{service}: 41 % of requests fail, expected 0.4 %",
        "onset": NOW - timedelta(seconds=20),
        "seen_at": NOW,
        "score": 0.9,
    }
    return Finding(**(values | changes))  # type: ignore[arg-type]


def diagnosis(*suspects: tuple[str, float], abstained: bool = False) -> Diagnosis:
    """Suspects in the order given, each with one sentence of evidence."""
    return Diagnosis(
        onset=NOW - timedelta(seconds=20),
        made_at=NOW,
        suspects=tuple(
            Suspect(
                service=name,
                score=probability,
                probability=probability,
                mechanism="errors",
                evidence=(
                    Evidence(kind="errors", weight=1.2, sentence=f"{name} fails 41 % of its requests", signal="errors"),
                ),
            )
            for name, probability in suspects
        ),
        abstained=abstained,
        reason="nothing stands out" if abstained else f"{suspects[0][0]} fails 41 % of its requests",
        engine_version="rca-1",
    )
