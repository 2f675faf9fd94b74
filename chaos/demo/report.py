"""What a demo run measured: one JSON document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from watchkeeper.vocabulary import Diagnosis, Mechanism


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultReport:
    """One fault. `*_s` are seconds from the proven effect on; None: it did not happen.

    `suspects` are those that the human saw when approving (or at the end), best first. `rank_of_truth` counts
    from 1; None: the true service was not among them. `mechanism` is what was really done, and `mechanism_named`
    what the first suspect names. `remediated`: the incident recovered by its runbook, before chaos reverted the fault.
    """

    fault: str
    target: str
    mechanism: Mechanism
    injected_at: str
    took_effect: bool
    effect: str
    incident: str | None = None
    detected_s: float | None = None
    paged_s: float | None = None
    suspects: tuple[Mapping[str, Any], ...] = ()
    rank_of_truth: int | None = None
    mechanism_named: str | None = None
    abstained: bool | None = None
    acknowledged_s: float | None = None
    runbook: str | None = None
    remediated: bool | None = None
    recovered_s: float | None = None
    resolved_s: float | None = None
    postmortem: str | None = None
    label: Mapping[str, Any] | None = None
    incidents_opened: int = 0
    steady_again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a run cost. Memory in MiB: each role's peak, the peak of their sum, the shop's at the end."""

    seconds: float
    peak_rss_mib: Mapping[str, float]
    roles_together_mib: float
    shop_mib: float
    role_restarts: Mapping[str, int]
    human_refusals: tuple[str, ...]
    data_dir: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The whole run."""

    seed: int
    faults: tuple[FaultReport, ...]
    control: Mapping[str, Any]
    models: Mapping[str, Any]
    scorecard: Mapping[str, Any]
    extra_pages: int
    measured: Measured
    problems: tuple[str, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """One flat document: what was measured stands beside what happened."""
        tree: dict[str, Any] = asdict(self)
        measured: dict[str, Any] = tree.pop("measured")
        return tree | measured


def ranked(diagnosis: Diagnosis | None, truth: str) -> tuple[tuple[Mapping[str, Any], ...], int | None]:
    """A diagnosis' suspects as JSON, and the rank of the true service among them."""
    if diagnosis is None:
        return (), None
    suspects = tuple(
        {
            "service": suspect.service,
            "mechanism": suspect.mechanism,
            "probability": round(suspect.probability, 3),
            "evidence": [evidence.sentence for evidence in suspect.evidence[:3]],
        }
        for suspect in diagnosis.suspects
    )
    services = list(dict.fromkeys(suspect.service for suspect in diagnosis.suspects))
    return suspects, services.index(truth) + 1 if truth in services else None
