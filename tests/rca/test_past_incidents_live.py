"""Without requests, the findings of earlier incidents tell which finding is unusual, live as in a pack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from rca.live.diagnose import diagnose
from rca.live.incident import LiveIncident
from rca.live.past import FEWEST_PAST
from rca.registry import read_engine
from watchkeeper.store import diagnosis_queries as sql
from watchkeeper.vocabulary import Diagnosis, Finding, Window, utc

ONSET = 1_790_000_000.0
COLUMNS = {
    sql.ADDRESSES: ("destination", "service", "calls", "mean_s"),
    sql.HEARTBEATS: ("service", "second"),
    sql.NEWEST_CALLS: ("bucket", "caller", "callee", "peer", "calls", "errors", "waited", "served"),
    sql.FAILED: ("caller", "destination", "calls", "waited", "refused", "timed_out"),
    sql.LOGS: ("service", "severity", "template", "before", "after", "sample"),
    sql.INSTANCES: (
        "instance", "operation", "late", "calls", "errors", "log_mean", "log_var", "busy", "first", "last",
    ),
}  # fmt: skip
TEXTS = {
    "destination",
    "service",
    "caller",
    "callee",
    "peer",
    "severity",
    "template",
    "sample",
    "instance",
    "operation",
}


def empty(*names: str) -> pa.Table:
    return pa.table({name: pa.array([], pa.string() if name in TEXTS else pa.float64()) for name in names})


class EmptyStore:
    """A store in which nobody wrote anything: alerts come from outside."""

    def query(self, query: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        return pa.table({"spans": [0]}) if query == sql.SPANS else empty(*COLUMNS[query])

    def red_levels(self, window: Window) -> pa.Table:
        return empty("bucket", "service", "operation", "calls", "errors", "mean_ms")

    def edges(self, window: Window, step_s: int = 5) -> pa.Table:
        return empty("bucket", "caller", "callee", "calls", "errors", "client_mean_ms", "server_mean_ms", "source")

    def metric_series(self, window: Window, step_s: int = 5, service: str | None = None) -> pa.Table:
        return empty("bucket", "service", "metric", "attributes", "value", "kind")


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
