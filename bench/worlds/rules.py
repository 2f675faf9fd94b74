"""The rules that most teams run, on the same recordings: Prometheus' expressions with Alertmanager's grouping.

    ErrorBudgetBurn   errors over 14.4 (6) times a budget of 0.1 % in 5 minutes and 1 hour (30 minutes and 6 hours, as
                      far as there are so many); Google's SRE workbook, chapter 5
    LatencyHigh       p95 of the last minute over twice the last hour's, and over 100 ms
    TargetDown        nothing heard for a minute, or for two and a half of a service's own intervals
    MemoryNearLimit   over 90 % of a limit that the service reports

Evaluated every 15 s, for one minute. Alerts of one name and service are one group; its first notification waits 30 s
(`group_wait`), and is one page. There is no topology: whoever is paged looks at the service of the first alert.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bench.worlds.recorded_rows import starts_of, summed
from bench.worlds.watching import WARM_S, Page, Watched
from chaos.worlds.recording import SHAPE_STEP_S, STEP_S, Recording
from watchkeeper.vocabulary import Diagnosis, Suspect, utc

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

EVALUATED_EVERY_S: Final = 15
SCRAPED_S: Final = 7.5  # a scrape every 15 s sees what was counted so much later, on average
FOR_S: Final = 60
GROUP_WAIT_S: Final = 30
RESOLVED_S: Final = 300  # an alert that was gone for so long notifies anew (`group_interval`)
BUDGET: Final = 0.001
BURNS: Final = ((14.4, 300, 3600), (6.0, 1800, 21_600))
SLOWER: Final = 2.0
LEAST_MS: Final = 100.0
HOUR_S: Final = 3600
DOWN_S: Final = 60.0
INTERVALS: Final = 2.5
NEAR_LIMIT: Final = 0.9
READ_S: Final = 120.0  # in which a human reads what else was alerted


@dataclass(frozen=True, slots=True, kw_only=True)
class _Alert:
    name: str
    service: str
    at_s: float


def alerted(recording: Recording) -> Watched:
    """The pages of these rules; each names the service of its alert."""
    fires: dict[tuple[str, str], Bools] = {}
    moments = np.arange(EVALUATED_EVERY_S, recording.seconds + 1, EVALUATED_EVERY_S, dtype=np.float64)
    for name, rule in (
        ("ErrorBudgetBurn", _burning),
        ("LatencyHigh", _slow),
        ("TargetDown", _down),
        ("MemoryNearLimit", _full),
    ):
        fires |= {(name, service): state for service, state in rule(recording, moments - SCRAPED_S).items()}
    alerts = [
        _Alert(name=name, service=service, at_s=at)
        for (name, service), state in fires.items()
        for at in _notified(state, moments)
        if at >= WARM_S
    ]
    alerts.sort(key=lambda alert: (alert.at_s, alert.name, alert.service))
    return Watched(pages=tuple(_page(recording, alert, alerts) for alert in alerts))


def _page(recording: Recording, alert: _Alert, alerts: Sequence[_Alert]) -> Page:
    """A page and what its reader takes from it: the service of its alert, then those of the alerts that follow."""
    soon = [one for one in alerts if alert.at_s <= one.at_s <= alert.at_s + READ_S and one is not alert]
    return Page(
        paged_s=alert.at_s,
        services=(alert.service,),
        summaries=(f"{alert.name} {alert.service}",),
        at_page=_names(recording, alert.at_s, [alert.service]),
        at_last=_names(recording, alert.at_s, [alert.service, *(one.service for one in soon)]),
    )


def _names(recording: Recording, at_s: float, services: Sequence[str]) -> Diagnosis:
    at = utc(recording.start + at_s)
    return Diagnosis(
        onset=at,
        made_at=at,
        suspects=tuple(Suspect(service=name, score=1.0, probability=1.0) for name in dict.fromkeys(services)),
        abstained=False,
        reason="alerts in the order in which they came",
        engine_version="none",
    )


def _notified(state: Bools, moments: Floats) -> list[float]:
    """When an alert that is pending in these moments notifies somebody."""
    notified: list[float] = []
    since: float | None = None
    fired: float | None = None
    for at, holds in zip(moments.tolist(), state.tolist(), strict=True):
        since = (at if since is None else since) if holds else None
        if since is None or at - since < FOR_S:
            continue
        if fired is None or at - fired > RESOLVED_S:
            notified.append(at + GROUP_WAIT_S)
        fired = at
    return notified


def _burning(recording: Recording, moments: Floats) -> dict[str, Bools]:
    calls = _by_service(recording, recording.red, "calls")
    errors = _by_service(recording, recording.red, "errors")
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
    table = recording.latency
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


def _by_service(recording: Recording, table: pa.Table, column: str) -> Mapping[str, Floats]:
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
