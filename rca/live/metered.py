"""Requests of a system without spans, put together from the metrics that count and time them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rca.case import F64, Flows, Links, Mask, Text, text
from watchkeeper.metric_names import attributes_of
from watchkeeper.request_metrics import (
    Role,
    called,
    counts_failures,
    in_milliseconds,
    operation_of,
    role_of,
    role_of_made,
)

CALLS, ERRORS, TOOK, TIMED = range(4)
COLUMNS: Final = ("service", "metric", "attributes", "kind", "second", "value")
Reading = tuple[Role | None, bool, str]
RoleOf = Callable[[str], Role | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counted:
    """One row per service, what its attributes name, and bucket with requests. All columns `(n,)`."""

    second: F64
    service: Text
    named: Text
    counted: Mask
    calls: F64
    errors: F64
    busy: F64


def metered_flows(table: pa.Table, step_s: float) -> Flows | None:
    """Requests that services served: one row per service, operation and bucket; None if no metric is of any.

    Where a service times its requests and does not count them, each bucket stands for one.

    Args:
        table: columns service, metric, attributes (JSON text), value, kind (`rate` counts, others time), `second`
            (Unix seconds), and unit, if it is known.
        step_s: seconds in a bucket.
    """
    rows = _counted(table, step_s, role_of, operation_of)
    if rows is None:
        return None
    return Flows(
        time=rows.second,
        node=rows.service,
        operation=rows.named,
        calls=rows.calls,
        errors=rows.errors,
        busy=rows.busy,
        step=step_s,
    )


def metered_links(table: pa.Table, step_s: float, served: Flows | None) -> Links | None:
    """Requests that services made, by whom they were made to; None if no metric is of any. As `metered_flows`.

    An address is the service of its first label, where a service has that name. A service that does not count them
    makes one for each request that it serves, which are `served`.
    """
    rows = _counted(table, step_s, role_of_made, called)
    if rows is None:
        return None
    factor = _served_beside(rows, served)
    services = frozenset(pc.unique(table["service"]).to_pylist())
    owner = {name: _service(name, services) for name in set(map(str, rows.named))}
    return Links(
        time=rows.second,
        caller=rows.service,
        callee=text([owner[str(name)] for name in rows.named]),
        calls=rows.calls * factor,
        errors=rows.errors,
        waited=rows.busy * factor,
        served=np.full(len(rows.second), np.nan),
        step=step_s,
    )


def _served_beside(rows: _Counted, served: Flows | None) -> F64:
    """What each row that was not counted stands for: the requests that its service serves in a bucket; 1 for others."""
    if served is None:
        return np.ones(len(rows.second))
    usual: dict[str, float] = {}
    for service in set(map(str, rows.service[~rows.counted])):
        own = served.node == service
        usual[service] = float(served.calls[own].sum() / max(len(np.unique(served.time[own])), 1)) or 1.0
    return np.array(
        [1.0 if known else usual[str(service)] for service, known in zip(rows.service, rows.counted, strict=True)]
    )


def _service(address: str, services: frozenset[str]) -> str:
    first = address.split(":")[0].split(".")[0]
    return address if address in services or first not in services else first


def _counted(
    table: pa.Table, step_s: float, role_of: RoleOf, named: Callable[[Mapping[str, str]], str]
) -> _Counted | None:
    roles = {metric: role_of(metric) for metric in pc.unique(table["metric"]).to_pylist()}
    of_requests = [metric for metric, role in roles.items() if role is not None]
    table = table.filter(pc.is_in(table["metric"], value_set=pa.array(of_requests, pa.string())))
    scales = _seconds_in(table, roles)
    read: dict[tuple[str, str, str], Reading] = {}
    cells: defaultdict[tuple[str, str, float], list[float]] = defaultdict(lambda: [0.0] * 4)
    for service, metric, attributes, kind, second, value in zip(
        *(table[name].to_pylist() for name in COLUMNS), strict=True
    ):
        if (metric, attributes, kind) not in read:
            read[metric, attributes, kind] = _read(metric, roles[metric], attributes, kind, named)
        role, failed, name = read[metric, attributes, kind]
        if role is None or value is None or not np.isfinite(value):
            continue
        cell = cells[service, name, second]
        if role == "duration":
            cell[TOOK] += value * scales[service, metric]
            cell[TIMED] += 1.0
            continue
        cell[CALLS] += value * step_s if role == "calls" else 0.0
        cell[ERRORS] += value * step_s if failed else 0.0
    counting = {service for (service, _, _), cell in cells.items() if cell[CALLS] > 0}
    kept = {
        key: (cell[CALLS] if key[0] in counting else 1.0, cell)
        for key, cell in sorted(cells.items())
        if cell[CALLS] > 0 or (key[0] not in counting and cell[TIMED])
    }
    if not kept:
        return None
    return _Counted(
        second=np.array([second for _, _, second in kept], dtype=np.float64),
        service=text([service for service, _, _ in kept]),
        named=text([name for _, name, _ in kept]),
        counted=np.array([service in counting for service, _, _ in kept], dtype=bool),
        calls=np.array([calls for calls, _ in kept.values()]),
        errors=np.array([min(cell[ERRORS], calls) for calls, cell in kept.values()]),
        busy=np.array([calls * cell[TOOK] / cell[TIMED] if cell[TIMED] else 0.0 for calls, cell in kept.values()]),
    )


def _read(
    metric: str, role: Role | None, attributes: str, kind: str, named: Callable[[Mapping[str, str]], str]
) -> Reading:
    """What a series measures, whether of requests that failed, and what its attributes name."""
    if role is None or (role != "duration") != (kind == "rate"):
        return None, False, ""
    labels = attributes_of(attributes)
    failed = counts_failures(metric, role, labels)
    # A request that fails at once is not fast.
    return None if failed and role == "duration" else role, failed, named(labels)


def _seconds_in(table: pa.Table, roles: Mapping[str, Role | None]) -> dict[tuple[str, str], float]:
    """How many seconds one is in each service's durations."""
    units = table["unit"].to_pylist() if "unit" in table.column_names else [""] * len(table)
    values: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    unit_of: dict[tuple[str, str], str] = {}
    for service, metric, value, unit in zip(
        table["service"].to_pylist(), table["metric"].to_pylist(), table["value"].to_pylist(), units, strict=True
    ):
        if roles[metric] == "duration" and value is not None and np.isfinite(value):
            values[service, metric].append(value)
            unit_of[service, metric] = unit or ""
    return {
        of: 1e-3 if in_milliseconds(of[1], unit_of[of], float(np.median(own))) else 1.0 for of, own in values.items()
    }
