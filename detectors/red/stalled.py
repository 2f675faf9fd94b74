"""Requests that wait before their span begins, since the event loop or scheduler of the process is busy.

Idea: an SDK begins a server span when the process takes the request up, so the wait before it is in no span of the
service. The runtime reports it: how late its event loop or scheduler is (`nodejs.eventloop.delay.*` of OpenTelemetry's
conventions, `nodejs_eventloop_lag_*` of Prometheus' client, and others by the same words). What requests wait there and
what their spans take longer add up to what users feel. Both must rise at once: a late loop alone is a runtime's detail,
since garbage collection does that, too. Pages at an entry, else a ticket. Fails on runtimes that report no such delay.
Cost: a median of the services' few delay series at a tick; the judge of latency once more where one of them rose.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.detector import Seen, Setup
from detectors.evidence import Bools, Floats, robust_level, to_probability
from detectors.history import History
from detectors.red.entries import Entries
from detectors.red.latency import LatencyBaseline, judge_latency
from detectors.red.rows import JUDGED, Rows
from detectors.simulated import Example, Requests, Simulated
from watchkeeper.metric_names import measure, words
from watchkeeper.vocabulary import Finding, utc

VERSION: Final = "1"
RECENT: Final = 3  # buckets of metrics of which the newest value counts
GUARD: Final = 6  # newest buckets that are no past
WARM: Final = 12  # values before a series has a level
TIMES: Final = 3.0  # as late as usual at least,
MORE_S: Final = 0.03  # and so much later: a tenth of a second in three turns of a loop
STILL: Final = 0.5  # of that goes on
TAKEN: Final = 3  # newest buckets of requests whose durations count
SLOWER: Final = 2.0  # times as long as usual, its spans take meanwhile
NOTICED_MS: Final = 100.0  # of both together: a delay that a human notices
LOOPS: Final = frozenset({"eventloop", "loop", "ioloop", "scheduler", "schedule"})
DELAYS: Final = frozenset({"delay", "lag", "latency", "latencies", "duration"})
# A tail or an extreme of a loop's turns says little about the request that comes at any time.
RARE: Final = frozenset({"max", "min", "stddev", "p99", "p999", "count", "sum", "stalls"})


@dataclass(frozen=True, slots=True)
class _Late:
    """How late a service's loop is, and usually is, in seconds, since when (Unix seconds)."""

    now_s: float
    usual_s: float
    since: int


class StalledRuntime:
    """A service whose requests wait for its own event loop before they begin. Pages at an entry, else a ticket.

    State: what fires, and since when.
    """

    version = VERSION
    needs = ("metrics", "red")
    after = ("red",)

    def __init__(self, setup: Setup) -> None:  # noqa: ARG002 - nothing of it concerns runtimes
        self._rows: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._size = 0
        self._firing: dict[str, Finding] = {}

    @staticmethod
    def example() -> Example:
        """A loop that is late by a tenth of a second, and spans that take three times as long, for ten minutes."""

        def delay(t: float) -> float:
            return 0.1 if 900 <= t < 1500 else 0.011

        def search(t: float) -> Requests:
            return Requests(per_s=8, mean_ms=55.0 if 900 <= t < 1500 else 15.0)

        return Example(
            telemetry=Simulated(
                seconds=2200,
                requests={("search", "GET /"): search},
                metrics={("search", "nodejs.eventloop.delay.p50"): delay},
            ),
            begins_s=900,
            ends_s=1500,
        )

    def judge(self, seen: Seen) -> list[Finding]:
        """Services whose loop is late while their spans take longer, but those that page for latency already."""
        metrics, complete = seen["metrics"], seen.complete["metrics"]
        if metrics.size != self._size:
            self._rows, self._size = _delays(metrics), metrics.size
        late = self._late(metrics, complete) if self._rows.size and complete > GUARD else {}
        paging = {one.service for one in seen.findings if one.kind == "latency" and one.severity == "page"}
        late = {service: one for service, one in late.items() if service not in paging}
        self._firing = self._findings(late, seen) if late else {}
        return list(self._firing.values())

    def _late(self, metrics: History, complete: int) -> dict[str, _Late]:
        """The services whose loop is late now, by the delay series that rose most."""
        names = [metrics.names_of(row) for row in self._rows.tolist()]
        scale = np.array([measure(name, 1.0, metrics.units.get(name, ""))[0] for _, name, *_ in names])
        values = metrics["value"][self._rows, :complete] * scale[:, None]
        past = values[:, :-GUARD]
        usual, _ = robust_level(past, np.isfinite(past))
        usual[np.isfinite(past).sum(axis=1) < WARM] = np.nan
        now = _newest(values[:, -RECENT:])
        share = np.array([STILL if service in self._firing else 1.0 for service, *_ in names])
        with np.errstate(invalid="ignore"):
            rose = (now >= share * TIMES * usual) & (now - usual >= share * MORE_S)
        since = metrics.starts()[complete - 1 - _run(values[:, -GUARD:], usual)]
        late: dict[str, _Late] = {}
        for row in np.flatnonzero(rose)[np.argsort((usual - now)[rose], kind="stable")].tolist():
            late.setdefault(names[row][0], _Late(float(now[row]), float(usual[row]), int(since[row])))
        return late

    def _findings(self, late: dict[str, _Late], seen: Seen) -> dict[str, Finding]:
        """Those of the services whose spans take longer, too, and where both together are noticed."""
        history, complete = seen["red"], seen.complete["red"]
        if history.size == 0 or complete < JUDGED:
            return {}
        rows = Rows.of(history, complete, np.zeros((history.size, history.buckets), np.bool_))
        took, usually = _durations(rows)
        entries = Entries(history, seen.histories.get("edges"))
        firing: dict[str, Finding] = {}
        for service, one in late.items():
            if service not in rows.services:
                continue
            number = rows.services.index(service)
            now_ms, usual_ms = float(took[number]), float(usually[number])
            before = self._firing.get(service)
            share = STILL if before else 1.0
            waits_ms = 1000.0 * (one.now_s - one.usual_s)
            if not (now_ms >= share * SLOWER * usual_ms and waits_ms + now_ms - usual_ms >= share * NOTICED_MS):
                continue
            finding = Finding(
                detector="latency.stalled",
                detector_version=self.version,
                kind="latency",
                service=service,
                summary=f"{service}: its event loop is {1000 * one.now_s:.0f} ms late (usually "
                f"{1000 * one.usual_s:.0f} ms), so requests wait before they begin; then they take {now_ms:.0f} ms "
                f"(usually {usual_ms:.0f} ms)",
                onset=min(utc(float(one.since)), seen.now),
                seen_at=seen.now,
                score=float(to_probability(np.array(8.0 * waits_ms / NOTICED_MS))),
                severity="page" if entries.is_entry(service) else "ticket",
                signal="event loop delay",
                value=1000.0 * one.now_s,
                expected=1000.0 * one.usual_s,
                unit="ms",
                key=f"latency:stalled:{service}",
            )
            firing[service] = replace(finding, onset=before.onset, severity=before.severity) if before else finding
        return firing


def _delays(metrics: History) -> npt.NDArray[np.int64]:
    """The rows that say how late an event loop or scheduler is."""
    found = []
    for row, (_, metric, *_) in enumerate(metrics.names()):
        named = set(words(metric))
        if named & LOOPS and named & DELAYS and not named & RARE:
            found.append(row)
    return np.array(found, np.int64)


def _durations(rows: Rows) -> tuple[Floats, Floats]:
    """What the requests of each service take now, and usually take, in milliseconds, (s,) each."""
    everything = np.ones(rows.recent_calls.shape, np.bool_)
    verdict = judge_latency(rows, LatencyBaseline.levels(rows), SLOWER, 0.0, TAKEN, everything)
    count = len(rows.operations)
    values = verdict.values[count:, -TAKEN:]
    known = np.isfinite(values)
    mean = np.where(known, values, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return np.where(known.any(axis=1), mean, np.nan), verdict.expected[count:]


def _newest(values: Floats) -> Floats:
    """Each row's newest known value, NaN where none is known."""
    known = np.isfinite(values)
    last = known.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1)
    return np.asarray(np.where(known.any(axis=1), values[np.arange(len(values)), last], np.nan))


def _run(values: Floats, usual: Floats) -> npt.NDArray[np.int64]:
    """For how many buckets before the newest each row has been late without a break."""
    with np.errstate(invalid="ignore"):
        on_time: Bools = values - usual[:, None] < STILL * MORE_S
    on_time = on_time[:, ::-1]
    run = np.where(on_time.any(axis=1), np.maximum(np.argmax(on_time, axis=1) - 1, 0), values.shape[1] - 1)
    return np.asarray(run, np.int64)
