"""The rules that most teams run, on the same recordings: Prometheus' expressions with Alertmanager's grouping.

    ErrorBudgetBurn   errors over 14.4 (6) times a budget of 0.1 % in 5 minutes and 1 hour (30 minutes and 6 hours, as
                      far as there are so many); Google's SRE workbook, chapter 5
    LatencyHigh       p95 of the last minute over twice the last hour's, and over 100 ms
    TargetDown        nothing heard for a minute, or for two and a half of a service's own intervals
    MemoryNearLimit   over 90 % of a limit that the service reports

Requests are those of spans, or, of a service that sends none, of its metrics. Evaluated every 15 s, for one minute.
Alerts of one name are one group, as in Alertmanager's own example: its first notification waits 30 s (`group_wait`),
and names every service that fires by then; what joins later is notified with the next after 5 minutes
(`group_interval`). Each notification is a page. There is no topology: whoever is paged looks at the service of the
oldest alert first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bench.worlds.recorded_rows import starts_of, summed
from bench.worlds.request_metrics import counted, timed
from bench.worlds.watching import WARM_S, Page, Watched
from chaos.worlds.recording import SHAPE_STEP_S, STEP_S, Recording
from watchkeeper.vocabulary import Diagnosis, Suspect, utc

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

EVALUATED_EVERY_S: Final = 15
SCRAPED_S: Final = 7.5  # a scrape every 15 s sees what was counted so much later, on average
FOR_S: Final = 60
GROUP_WAIT_S: Final = 30
GROUP_INTERVAL_S: Final = 300
BUDGET: Final = 0.001
BURNS: Final = ((14.4, 300, 3600), (6.0, 1800, 21_600))
SLOWER: Final = 2.0
LEAST_MS: Final = 100.0
HOUR_S: Final = 3600
DOWN_S: Final = 60.0
INTERVALS: Final = 2.5
NEAR_LIMIT: Final = 0.9


def alerted(recording: Recording) -> Watched:
    """The pages of these rules; each names the services that fire, the longest first."""
    moments = np.arange(EVALUATED_EVERY_S, recording.seconds + 1, EVALUATED_EVERY_S, dtype=np.float64)
    pages = []
    for name, rule in (
        ("ErrorBudgetBurn", _burning),
        ("LatencyHigh", _slow),
        ("TargetDown", _down),
        ("MemoryNearLimit", _full),
    ):
        firing = {service: _firing(state) for service, state in rule(recording, moments - SCRAPED_S).items()}
        for at, services in _notified(firing, moments):
            if at >= WARM_S:
                pages.append(_page(recording, at, name, services))
    return Watched(pages=tuple(sorted(pages, key=lambda page: (page.paged_s, page.summaries))))


def _page(recording: Recording, at_s: float, name: str, services: Sequence[str]) -> Page:
    named = _names(recording, at_s, services)
    summaries = tuple(f"{name}: {service}" for service in services)
    return Page(paged_s=at_s, services=tuple(services), summaries=summaries, at_page=named, at_last=named)


def _names(recording: Recording, at_s: float, services: Sequence[str]) -> Diagnosis:
    at = utc(recording.start + at_s)
    return Diagnosis(
        onset=at,
        made_at=at,
        suspects=tuple(Suspect(service=name, score=1.0, probability=1.0) for name in services),
        abstained=False,
        reason="alerts in the order in which they came",
        engine_version="none",
    )


def _firing(state: Bools) -> Bools:
    """Where an alert fires: it has held for long enough."""
    held = np.arange(len(state)) - np.maximum.accumulate(np.where(state, -1, np.arange(len(state))))
    return np.asarray(held * EVALUATED_EVERY_S > FOR_S)


def _notified(firing: Mapping[str, Bools], moments: Floats) -> list[tuple[float, list[str]]]:
    """When a group of alerts notifies somebody, and the services that fire then, the longest first."""
    notified: list[tuple[float, list[str]]] = []
    since: dict[str, float] = {}  # of what fires
    known: set[str] = set()  # whom the last notification named
    due: float | None = None
    for place, at in enumerate(moments.tolist()):
        since = {service: since.get(service, at) for service, state in firing.items() if state[place]}
        known &= since.keys()
        if due is None and since:
            due = at + GROUP_WAIT_S
        if due is None or at < due:
            continue
        if since.keys() - known:
            notified.append((at, sorted(since, key=lambda service: (since[service], service))))
            known = set(since)
        due = at + GROUP_INTERVAL_S if since else None
    return notified


def _burning(recording: Recording, moments: Floats) -> dict[str, Bools]:
    measured = counted(recording)
    calls, errors = (
        _by_service(recording, recording.red, name) | _by_service(recording, measured, name)
        for name in ("calls", "errors")
    )
    burning = {}
    for service, total in calls.items():
        state = np.zeros(len(moments), bool)
        for times, short_s, long_s in BURNS:
            over = [
                _within(errors[service], moments, span) > times * BUDGET * np.maximum(_within(total, moments, span), 1)
                for span in (short_s, long_s)
            ]
            state |= over[0] & over[1]
        burning[service] = state
    return burning


def _slow(recording: Recording, moments: Floats) -> dict[str, Bools]:
    names = ("bucket", "service", "calls", "p95_ms")
    parts = [recording.latency.select(names), timed(recording).select(names)]
    table = pa.concat_tables(parts, promote_options="permissive")
    weighed = pc.multiply(table["p95_ms"], pc.cast(table["calls"], pa.float64()))
    table = table.append_column("weighed", weighed)
    calls = _by_service(recording, table, "calls")
    p95 = _by_service(recording, table, "weighed")
    slow = {}
    for service, total in calls.items():
        last, hour = (
            _within(p95[service], moments, span) / np.maximum(_within(total, moments, span), 1.0)
            for span in (2 * SHAPE_STEP_S, HOUR_S)
        )
        slow[service] = (last > SLOWER * hour) & (last > LEAST_MS)
    return slow


def _down(recording: Recording, moments: Floats) -> dict[str, Bools]:
    down = {}
    heard = recording.heartbeats
    for service in pc.unique(heard["service"]).to_pylist():
        own = np.unique(starts_of(heard.filter(pc.equal(heard["service"], service)))) - recording.start
        interval = float(np.quantile(np.diff(own), 0.9)) if len(own) > 1 else DOWN_S
        place = np.searchsorted(own, moments, side="right")
        last = np.where(place > 0, own[np.maximum(place, 1) - 1], moments)
        down[service] = moments - last > max(DOWN_S, INTERVALS * interval)
    return down


def _full(recording: Recording, moments: Floats) -> dict[str, Bools]:
    """What services say that they use of their memory, against the limit that they report under the same name."""
    table = recording.metrics
    table = table.filter(pc.match_substring(table["metric"], "memory"))
    names = pc.unique(table["metric"]).to_pylist()
    full: dict[str, Bools] = {}
    for limit in (name for name in names if name.endswith(".limit")):
        for used in (limit.removesuffix("limit") + end for end in ("used", "usage")):
            most, own = (table.filter(pc.equal(table["metric"], name)) for name in (limit, used))
            for service, attributes in _series(most):
                of, level = (_levels(recording, part, service, attributes, moments) for part in (most, own))
                full[service] = full.get(service, np.zeros(len(moments), bool)) | (level > NEAR_LIMIT * of)
    return full


def _levels(recording: Recording, table: pa.Table, service: str, attributes: str, moments: Floats) -> Floats:
    """The newest value at each moment; NaN before the first."""
    own = table.filter(pc.and_(pc.equal(table["service"], service), pc.equal(table["attributes"], attributes)))
    own = own.sort_by("bucket")
    place = np.searchsorted(starts_of(own) - recording.start, moments, side="right") - 1
    values = np.append(np.asarray(own["value"].to_numpy(), dtype=np.float64), np.nan)
    newest: Floats = values[np.where(place < 0, len(values) - 1, place)]
    return newest


def _series(table: pa.Table) -> list[tuple[str, str]]:
    pairs = table.group_by(["service", "attributes"]).aggregate([])
    return sorted(zip(pairs["service"].to_pylist(), pairs["attributes"].to_pylist(), strict=True))


def _by_service(recording: Recording, table: pa.Table, column: str) -> dict[str, Floats]:
    """A column's sum by service and 5 s, (recording.seconds / 5,)."""
    sums: pa.Table = summed(table, ("bucket", "service"), (column, "sum"))
    place = ((starts_of(sums) - recording.start) // STEP_S).astype(np.int64)
    values = np.asarray(sums[column].to_numpy(), dtype=np.float64)
    names: Any = pc.cast(sums["service"], pa.string()).combine_chunks().dictionary_encode()
    dense = np.zeros((len(names.dictionary), recording.seconds // STEP_S + 1))
    inside = (place >= 0) & (place < dense.shape[1])
    dense[np.asarray(names.indices)[inside], place[inside]] = values[inside]
    return dict(zip(names.dictionary.to_pylist(), dense, strict=True))


def _within(values: Floats, moments: Floats, span_s: float) -> Floats:
    """The sum over the last `span_s` before each moment, of buckets that had ended."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    last = np.clip(moments // STEP_S, 0, len(values)).astype(np.int64)
    first = np.clip((moments - span_s) // STEP_S, 0, len(values)).astype(np.int64)
    sums: Floats = total[last] - total[first]
    return sums
