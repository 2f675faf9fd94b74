"""From a pack's tables to a `Case`: which tables there are decides what the engine is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rca.case import Case, Flows, Links, Series, text
from rca.edge_metrics import metric_links, with_requests
from rca.metric_flows import metric_flows
from rca.metric_words import concept_of, meaning
from rca.packs.changes import read_changes, read_log_lines
from rca.packs.reader import NS, Header, Pack, Tables
from rca.past_incidents import Anomalies, PastIncidents, gather
from rca.series_changes import concept, resources
from rca.spans import read_spans, span_calls, span_flows, span_links, span_logs

STEP_S = 10.0  # of the roll-up of a case's spans: windows are minutes long, operations have some requests a second


def pack_case(pack: Pack, tables: Tables) -> Case:
    """The case as the engine takes it. Raises DiagnosisError where nothing can be blamed."""
    header = tables.header
    calls = pack.calls(header.system)
    series = _series(tables.own.get("metrics"))
    before = pack.remembered(header.reference, lambda: reference_metrics(tables))
    named = set(header.instances)
    nodes = named or {str(name) for table in tables.own.values() for name in _services(table)} | {
        n for pair in calls for n in pair
    }
    onset = header.onset if header.onset is not None else (header.start or 0.0)
    traces = tables.own.get("traces")
    spans = read_spans(traces, tables.reference.get("traces"), onset) if traces is not None and len(traces) else None
    flows = metric_flows(series) if series is not None else None
    flows_reference = before.flows
    links = links_reference = None
    if spans is not None:
        calls |= span_calls(spans)
        own = np.arange(spans.size) < spans.own
        flows, flows_reference = span_flows(spans, own, STEP_S), span_flows(spans, ~own, STEP_S)
        links, links_reference = span_links(spans, own, STEP_S), span_links(spans, ~own, STEP_S)
    else:
        links, links_reference = _edge_links(tables.own, flows), _edge_links(tables.reference, flows_reference)
        calls |= frozenset(zip(links.caller, links.callee, strict=True)) if links is not None else frozenset()
    changes, change_notes = read_changes(tables.documents)
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
        series_reference=before.resources,
        changes=changes,
        alert_texts=tuple(str(header.alert[name]) for name in ("summary", "metric") if header.alert.get(name)),
        logs=read_log_lines(
            tables.own.get("logs")
            if spans is None or not len(spans.identity) or "patterns" in tables.documents
            else None,
            tables.documents.get("patterns"),
            header.start or onset,
            onset,
            header.end or onset,
        ),
        past=pack.remembered(header.files, lambda: past_incidents(pack, header)) if header.instances else None,
        alerts=(str(header.alert["service"]),) if "service" in header.alert else (),
        notes=tables.notes + change_notes,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceMetrics:
    """The fault-free metrics of a reference, prepared once for all cases that share them."""

    flows: Flows | None
    resources: Series | None


def reference_metrics(tables: Tables) -> ReferenceMetrics:
    series = _series(_of_known_meaning(tables.reference.get("metrics")))
    if series is None:
        return ReferenceMetrics(flows=None, resources=None)
    return ReferenceMetrics(flows=metric_flows(series), resources=resources(series))


def _of_known_meaning(table: pa.Table | None) -> pa.Table | None:
    """The rows of metrics whose names tell what they measure: a reference also has a day of all the others."""
    if table is None:
        return None
    names = table.column("metric").unique().to_pylist()
    wanted = [name for name in names if name and (concept(name) or meaning(name))]
    return table.filter(pc.is_in(table.column("metric").cast(pa.string()), pa.array(wanted, pa.string())))


def node_services(tables: Tables) -> dict[str, str]:
    """The service of each instance, where the tables tell them apart."""
    found: dict[str, str] = {}
    for table in tables.own.values():
        if {"instance", "service"} <= set(table.column_names):
            found |= dict(zip(table.column("instance").to_pylist(), table.column("service").to_pylist(), strict=True))
    # An instance without a row of its own is named after its service, as its siblings are.
    services = sorted(set(found.values()), key=len, reverse=True)
    for name in tables.header.instances:
        if name not in found:
            found[name] = next((service for service in services if name.startswith(service)), name)
    return found


def _services(table: pa.Table) -> list[str]:
    if "service" not in table.column_names:
        return []
    return [name for name in table.column("service").unique().to_pylist() if name]


def _edge_links(tables: Mapping[str, pa.Table], flows: Flows | None) -> Links | None:
    table = tables.get("edge_metrics")
    if table is None or len(table) == 0:
        return None
    links = metric_links(
        np.asarray(table.column("timestamp").to_numpy(), dtype=np.float64) / NS,
        text(table.column("service")),
        text(table.column("peer")),
        text(table.column("metric")),
        np.asarray(table.column("value").to_numpy(), dtype=np.float64),
    )
    return with_requests(links, flows) if links is not None else None


def _series(table: pa.Table | None) -> Series | None:
    if table is None or len(table) == 0:
        return None
    return Series(
        time=np.asarray(table.column("timestamp").to_numpy(), dtype=np.float64) / NS,
        node=text(table.column("service")),
        metric=text(table.column("metric")),
        value=np.asarray(table.column("value").to_numpy(), dtype=np.float64),
    )


def anomalies(table: pa.Table) -> Anomalies:
    """The anomaly events of a system's incidents. A trace event counts for the callee, and as a caller's for the peer.

    The caller's side is kept by kind alone: which operation of another node failed is little evidence about the caller.
    """
    incident, node, event, concept = [], [], [], []
    for row in table.to_pylist():
        name, detail = str(row["name"]), str(row.get("detail") or "")
        if row["signal"] == "metric":
            what, kind = f"{name} {detail}".strip(), f"{concept_of(name)} {detail}".strip()
        elif row["signal"] == "trace":
            what, kind = f"{detail} of {name}".strip(), "calls served"
            peer = row.get("peer")
            if peer and peer != row["instance"]:
                incident.append(row["id"])
                node.append(str(peer))
                event.append(f"{detail} at a callee".strip())
                concept.append("calls made")
        else:
            what, kind = f"log {name}", "logs"
        incident.append(row["id"])
        node.append(str(row["instance"]))
        event.append(what)
        concept.append(kind)
    return Anomalies(incident=text(incident), node=text(node), event=text(event), concept=text(concept))


def past_incidents(pack: Pack, header: Header) -> PastIncidents | None:
    """What all incidents of the case's system showed, from its events file; None if it has none."""
    name = next((name for name in header.files if name.rsplit("/", 1)[-1] == "events.parquet"), None)
    if name is None or (table := pack.shared_table(name)) is None:
        return None
    services = dict(zip(table.column("instance").to_pylist(), table.column("service").to_pylist(), strict=True))
    members = frozenset(one.id for one in pack.headers if name in one.files)
    return gather(anomalies(table), services, members)
