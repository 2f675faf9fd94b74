"""Latency, errors and silence of services that report request metrics and no spans. Pages, as requests do.

Idea: counters and durations of served requests become what spans would give: calls, errors and the mean duration by
operation, which the judge of requests then judges. Metrics are known by what their names mean (OpenTelemetry,
Prometheus), errors by the status in their attributes. Assumes a counter of requests for each status; durations alone
give latency, not errors. Fails on clients' metrics under servers' names. Cost: one pass over the newest buckets, every
ten seconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pyarrow as pa

from detectors.detector import Seen, Setup
from detectors.history import History
from detectors.red.requests import RedDetector
from detectors.simulated import Example, Simulated
from watchkeeper.metric_names import attributes_of
from watchkeeper.request_metrics import Role, counts_failures, in_milliseconds, operation_of, role_of
from watchkeeper.vocabulary import Finding, utc

VERSION: Final = "1"
AGAIN: Final = 12  # newest buckets that are read again: metrics come late
MOST_SERIES: Final = 20_000
# Operations of messaging, as OpenTelemetry names them, before or after what they are for.
MESSAGE: Final = re.compile(r"^(process|receive|consume|settle)\b|\s(process|receive|consume|settle)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Series:
    """What one metric series measures: of which operation, and whether of requests that failed."""

    row: int
    service: str
    operation: str
    role: Role
    failed: bool
    in_ms: bool


class MeteredRequests:
    """Requests of a service without spans that fail, are slow, or no longer come. Pages where users feel it.

    State: that of the judge of requests, and what each metric series measures.
    """

    version = VERSION
    needs = ("metrics",)

    def __init__(self, setup: Setup) -> None:
        self._judge = RedDetector(setup)
        self._requests: History | None = None
        self._series: list[_Series] = []
        self._size = 0
        self._until = 0
        self._firing: list[Finding] = []

    @staticmethod
    def example() -> Example:
        """Half of the requests fail, by their counters, for ten minutes."""

        def rate(status: int, t: float) -> float:
            return 5.0 if (status == 500) == (900 <= t < 1500) else 5.0 if status == 200 else 0.0

        metrics = {
            ("orders", f"http_{status}_requests_total"): lambda t, status=status: rate(status, t)
            for status in (200, 500)
        }
        return Example(telemetry=Simulated(seconds=2200, metrics=metrics), begins_s=900, ends_s=1500)

    def judge(self, seen: Seen) -> list[Finding]:
        """The findings that fire; judged anew when a bucket of metrics is complete."""
        metrics, complete = seen["metrics"], seen.complete["metrics"]
        if metrics.size == 0 or complete < 1:
            return []
        if metrics.size != self._size:
            self._series = _read(metrics)
            self._size, self._until = metrics.size, 0
        newest = int(metrics.starts()[complete - 1])
        spans = {name[0] for name in seen.histories["red"].names()} if "red" in seen.histories else set()
        series = [one for one in self._series if one.service not in spans]
        if not series:
            return []
        if newest == self._until:
            return [replace(finding, seen_at=seen.now) for finding in self._firing]
        requests = self._place(metrics, series, complete, newest)
        inner = replace(
            seen,
            histories={**seen.histories, "red": requests},
            complete={**seen.complete, "red": requests.buckets},
        )
        self._until = newest
        self._firing = [
            replace(finding, detector=f"metered.{finding.kind}", key=finding.key.replace("red:", "metered:", 1))
            for finding in self._felt(self._judge.judge(inner), requests)
        ]
        return self._firing

    def _felt(self, findings: list[Finding], requests: History) -> list[Finding]:
        """Nobody waits for messages: trouble of who handles them pages beside trouble of requests alone."""
        handlers = _handlers(requests)
        if any(finding.severity == "page" and finding.service not in handlers for finding in findings):
            return findings
        return [replace(one, severity="ticket") if one.severity == "page" else one for one in findings]

    def _place(self, metrics: History, series: list[_Series], complete: int, newest: int) -> History:
        """The requests that the metrics tell of, up to the newest complete bucket."""
        step, first = metrics.step_s, self._until == 0
        if self._requests is None or first:
            values = {"calls": 0.0, "direct": 0.0, "errors": 0.0, "mean_ms": float("nan")}
            keys = ("service", "operation")
            self._requests = History(
                "metered", keys=keys, values=values, buckets=metrics.buckets, step_s=step, max_series=MOST_SERIES
            )
        requests = self._requests
        requests.advance(utc(float(newest)))
        missed = 0 if first else (newest - self._until) // step
        columns = slice(0 if first else max(0, complete - AGAIN - missed), complete)
        table = _table(series, metrics["value"][:, columns], metrics.starts()[columns], step)
        requests.place(table)
        return requests


def _handlers(requests: History) -> set[str]:
    """Services most of whose requests are messages."""
    totals: dict[str, list[float]] = {}
    served = requests["calls"].sum(axis=1).tolist()
    for (service, operation), calls in zip(requests.names(), served, strict=True):
        total = totals.setdefault(service, [0.0, 0.0])
        total[0] += calls
        total[1] += calls if MESSAGE.search(operation) else 0.0
    return {service for service, (calls, messages) in totals.items() if messages > 0.5 * calls}


def _read(metrics: History) -> list[_Series]:
    """What each series measures of served requests; those that measure something else are left out."""
    read = []
    in_ms = _in_ms(metrics)
    for row, (service, metric, attributes) in enumerate(metrics.names()):
        role = role_of(metric)
        if role is None:
            continue
        labels = attributes_of(attributes)
        failed, operation = counts_failures(metric, role, labels), operation_of(labels)
        read.append(_Series(row, service, operation, role, failed, (service, metric) in in_ms))
    return read


def _in_ms(metrics: History) -> set[tuple[str, str]]:
    """Services' durations in milliseconds, by the unit that was sent, by their name, or by what is usual.

    A metric has one unit, whatever its attributes: the few milliseconds of a request that is refused are no seconds.
    """
    rows: dict[tuple[str, str], list[int]] = {}
    for row, (service, metric, _) in enumerate(metrics.names()):
        if role_of(metric) == "duration":
            rows.setdefault((service, metric), []).append(row)
    found = set()
    for of, own in rows.items():
        unit = metrics.units.get(of[1], "")
        values = metrics["value"][own]
        usual = float(np.median(values[np.isfinite(values)])) if np.isfinite(values).any() else 0.0
        if in_milliseconds(of[1], unit, usual):
            found.add(of)
    return found


def _table(series: list[_Series], values: np.ndarray, starts: np.ndarray, step: int) -> pa.Table:
    """Calls, errors and mean duration of each operation, one row for each bucket with any."""
    rows: dict[tuple[str, str], list[np.ndarray]] = {}
    for one in series:
        value = values[one.row]
        known = np.nan_to_num(value)
        into = rows.setdefault((one.service, one.operation), [np.zeros(len(starts)) for _ in range(4)])
        if one.role == "duration":
            if not one.failed:  # a request that fails at once is not fast
                into[2] += known * (1.0 if one.in_ms else 1000.0)
                into[3] += np.isfinite(value)
            continue
        if one.role == "calls":
            into[0] += known * step
        if one.failed:
            into[1] += known * step
    columns: list[list[object]] = [[], [], [], [], [], []]
    for (service, operation), (calls, errors, took, measured) in rows.items():
        timed = measured > 0
        counted = np.where(calls > 0, calls, np.where(timed & ~calls.any(), 1.0, 0.0))
        for at in np.flatnonzero(counted > 0).tolist():
            mean = took[at] / measured[at] if timed[at] else float("nan")
            row = (int(starts[at]), service, operation, counted[at], min(errors[at], counted[at]), mean)
            for column, cell in zip(columns, row, strict=True):
                column.append(cell)
    return pa.table(
        {
            "bucket": pa.array(columns[0], pa.timestamp("s", "UTC")),
            "service": pa.array(columns[1], pa.string()),
            "operation": pa.array(columns[2], pa.string()),
            "calls": pa.array(columns[3], pa.float64()),
            "errors": pa.array(columns[4], pa.float64()),
            "direct": pa.array([0.0] * len(columns[0]), pa.float64()),
            "mean_ms": pa.array(columns[5], pa.float64()),
        }
    )
