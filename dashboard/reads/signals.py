"""Which signal a piece of evidence speaks of, read from the store around an incident's onset."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from alerting.incidents.machine import Incident
from dashboard.figures.evidence import Signal
from dashboard.figures.marks import Moment
from dashboard.reads.series import grid, placed, positions
from dashboard.reads.traffic import TrafficReads
from dashboard.urls import floor_5s, step_for
from dashboard.viewer import Viewer
from watchkeeper.metric_names import describe_named, parted
from watchkeeper.vocabulary import ChangeEvent, Evidence, Window

BEFORE, AFTER = timedelta(minutes=10), timedelta(minutes=10)
UNANSWERED = ("unanswered", "silence")
TRAFFIC = ("heartbeat", "traffic", "silence", "rate")
WORST = ("ERROR", "FATAL", "WARN")


def around(incident: Incident, viewer: Viewer) -> Window:
    """Ten minutes before the onset until ten minutes after its end, or until now."""
    end = incident.resolved_at or incident.recovered_at or viewer.now
    return Window(
        start=floor_5s(incident.onset - BEFORE),
        end=max(floor_5s(min(viewer.now, end + AFTER)), incident.onset + timedelta(minutes=1)),
    )


def since(incident: Incident, viewer: Viewer) -> Window:
    """From the onset until its end, or until now, an hour at most."""
    end = min(incident.resolved_at or incident.recovered_at or viewer.now, incident.onset + timedelta(hours=1))
    return Window(
        start=floor_5s(incident.onset), end=max(floor_5s(end), floor_5s(incident.onset) + timedelta(minutes=1))
    )


def accused(incident: Incident) -> str:
    """The first suspect; without one, the service on which the incident opened."""
    diagnosis = incident.diagnosis
    return diagnosis.suspects[0].service if diagnosis and diagnosis.suspects else incident.service


def moments(incident: Incident, changes: Sequence[ChangeEvent]) -> list[Moment]:
    """What to mark on every plot of an incident."""
    marks = [Moment(at=incident.onset, text="onset", kind="onset")]
    marks += [Moment(at=c.at, text=c.kind, kind="change", plural="changes") for c in changes]
    if incident.paged_at:
        marks.append(Moment(at=incident.paged_at, text="paged", kind="page"))
    if incident.acknowledged_at:
        marks.append(Moment(at=incident.acknowledged_at, text="ack", kind="ack"))
    if incident.recovered_at:
        marks.append(Moment(at=incident.recovered_at, text="recovered", kind="resolved"))
    return marks


def signal_of(
    traffic: TrafficReads, service: str, evidence: Evidence, window: Window, step_s: int = 0
) -> Signal | None:
    """The signal that `evidence` names for a service, in buckets of `step_s` seconds, or of as many as fit a plot.

    None where the store holds nothing of that name.

    Raises:
        StoreError: the store cannot be read.
    """
    step = step_s or step_for(window)
    if evidence.signal in ("latency", "errors", *TRAFFIC):
        return _of_requests(traffic, service, evidence, window, step)
    if evidence.signal == "logs":
        return _of_logs(traffic, service, window, step)
    return _of_metric(traffic, service, evidence, window, step) if evidence.signal else None


def _of_requests(traffic: TrafficReads, service: str, evidence: Evidence, window: Window, step: int) -> Signal | None:
    series = traffic.red_of(window, step, service)
    if not series.calls.any():
        return None
    if evidence.kind in UNANSWERED:  # who gives no answer reports no failure: what is missing is its requests
        title, unit, values = f"{service}: requests a second", "/s", series.rate
    elif evidence.signal == "latency":
        title, unit, values = f"{service}: p95 latency", "ms", series.p95_ms
    elif evidence.signal == "errors":
        title, unit, values = f"{service}: failed requests", "ratio", series.error_ratio
    else:
        title, unit, values = f"{service}: requests a second", "/s", series.rate
    return Signal(
        title=title,
        unit=unit,
        start=series.start,
        step_s=step,
        values=values,
        expected=_expected(evidence, unit),
        read="red_of",
    )


def _of_logs(traffic: TrafficReads, service: str, window: Window, step: int) -> Signal | None:
    rows = traffic.log_counts(window, step)
    rows = rows.filter(pc.and_(pc.equal(rows["service"], service), pc.is_in(rows["severity"], pa.array(WORST))))
    if not rows.num_rows:
        return None
    start, length = grid(window, step)
    index = positions(rows, start, step)
    inside = (index >= 0) & (index < length)
    lines = np.bincount(index[inside], weights=np.asarray(rows["lines"], dtype=float)[inside], minlength=length).astype(
        np.float64
    )
    return Signal(
        title=f"{service}: warnings and errors logged",
        unit="lines",
        start=start,
        step_s=step,
        values=lines,
        read="log_counts",
    )


def _of_metric(traffic: TrafficReads, service: str, evidence: Evidence, window: Window, step: int) -> Signal | None:
    rows = traffic.metrics(window, step, service)
    metric, named = parted(evidence.signal)
    rows = rows.filter(pc.equal(rows["metric"], metric))
    if named:
        rows = rows.filter(pc.equal(rows["attributes"], named))
    if not rows.num_rows:
        return None
    # Several series of one metric (one a device, one a state): the one that moved most is the one spoken of.
    groups = pc.unique(rows["attributes"]).to_pylist()
    start, length = grid(window, step)
    laid = []
    for attributes in groups[:50]:
        part = rows.filter(pc.equal(rows["attributes"], attributes))
        laid.append(placed(part, "value", positions(part, start, step), length, np.nan))
    values = max(laid, key=lambda v: np.nanmax(v) - np.nanmin(v) if np.isfinite(v).any() else -1.0)
    return Signal(
        title=f"{service}: {describe_named(evidence.signal)}",
        unit=evidence.unit,
        start=start,
        step_s=step,
        values=values,
        expected=evidence.expected,
        read="metrics",
    )


def _expected(evidence: Evidence, unit: str) -> float | None:
    """The expected value in the plot's unit; None when it was given in a unit that is not the plot's."""
    if evidence.expected is None:
        return None
    if evidence.unit == unit or (unit == "ratio" and evidence.unit == "share"):
        return evidence.expected
    if unit == "ms" and evidence.unit == "s":
        return evidence.expected * 1000
    if unit == "ratio" and evidence.unit == "%":
        return evidence.expected / 100
    return None
