"""From a pack's tables to a `Case`: which tables there are decides what the engine is given."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from rca.case import Case, Series, text
from rca.metric_flows import metric_flows
from rca.pack import NS, Pack, Tables
from rca.spans import read_spans, span_calls, span_flows, span_links, span_logs

STEP_S = 10.0


def pack_case(pack: Pack, tables: Tables) -> Case:
    """The case as the engine takes it. Raises DiagnosisError where nothing can be blamed."""
    header = tables.header
    calls = pack.calls(header.system)
    series = _series(tables.own.get("metrics"))
    series_reference = _series(tables.reference.get("metrics"))
    nodes = {str(name) for table in tables.own.values() for name in _services(table)} | {
        n for pair in calls for n in pair
    }
    onset = header.onset if header.onset is not None else (header.start or 0.0)
    traces = tables.own.get("traces")
    spans = read_spans(traces, tables.reference.get("traces"), onset) if traces is not None and len(traces) else None
    flows = metric_flows(series) if series is not None else None
    flows_reference = metric_flows(series_reference) if series_reference is not None else None
    links = links_reference = None
    if spans is not None:
        calls |= span_calls(spans)
        own = np.arange(spans.size) < len(traces)
        flows, flows_reference = span_flows(spans, own, STEP_S), span_flows(spans, ~own, STEP_S)
        links, links_reference = span_links(spans, own, STEP_S), span_links(spans, ~own, STEP_S)
    return Case(
        id=header.id,
        onset=onset,
        end=header.end if header.end is not None else onset,
        candidates=tuple(sorted(nodes)),
        calls=calls,
        flows=flows,
        flows_reference=flows_reference,
        links=links,
        links_reference=links_reference,
        spans=spans,
        span_logs=span_logs(spans, tables.own.get("logs"), tables.reference.get("logs")) if spans else None,
        series=series,
        series_reference=series_reference,
        alerts=(str(header.alert["service"]),) if "service" in header.alert else (),
        notes=tables.notes,
    )


def _services(table: pa.Table) -> list[str]:
    return (
        [name for name in table.column("service").unique().to_pylist() if name]
        if "service" in table.column_names
        else []
    )


def _series(table: pa.Table | None) -> Series | None:
    if table is None or len(table) == 0:
        return None
    return Series(
        time=np.asarray(table.column("timestamp").to_numpy(), dtype=np.float64) / NS,
        node=text(table.column("service").to_pylist()),
        metric=text(table.column("metric").to_pylist()),
        value=np.asarray(table.column("value").to_numpy(), dtype=np.float64),
    )
