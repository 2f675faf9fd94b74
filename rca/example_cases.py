"""Small made-up incidents that hold every table, with one culprit: what kinds of evidence are tried on.

Six nodes in a chain of calls, one of them broken in every way that a table can show. Whoever brings a kind of evidence
can start from `example_case` and replace the tables that it reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from rca.case import F64, Case, Flows, Heartbeats, Limit, Links, LogLines, Series, Text, Unanswered, text
from rca.past_incidents import Anomalies, gather
from rca.spans import read_spans, span_logs
from watchkeeper.vocabulary import ChangeEvent, utc

NODES = tuple(f"node-{number}" for number in range(6))
ONSET = 1_790_000_000.0
BEFORE, AFTER, STEP_S = 24, 6, 10.0  # steps on both sides of the onset
TRACES = 40  # on each side of the onset


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A case and the candidate that caused it."""

    case: Case
    culprit: str


def example_case(seed: int) -> Example:
    """An incident with every table. The same seed gives the same one; seeds in a row take turns at the culprit."""
    dice = np.random.default_rng(seed)
    place = seed % len(NODES)
    culprit = NODES[place]
    # From the entry down to the culprit and on: whoever is above the culprit waits for it.
    chain = [*dice.permutation([name for name in NODES if name != culprit]).tolist()]
    chain.insert(3, culprit)
    calls = frozenset(pairwise(chain))
    spans, logs = _traces(chain, culprit)
    case = Case(
        id=f"example-{seed}",
        onset=ONSET,
        end=ONSET + AFTER * STEP_S,
        candidates=NODES,
        calls=calls - {(chain[3], chain[4])},  # nobody depends on the last two
        flows=_flows(chain, culprit, dice),
        links=_links(chain, culprit, dice),
        spans=spans,
        span_logs=span_logs(spans, logs),
        unanswered=Unanswered(
            caller=text([chain[2]]), callee=text([culprit]), calls=np.array([20.0]), waited=np.array([40.0]),
            usual=np.array([0.05]), refused=np.array([0.0]), timed_out=np.array([20.0]),
        ),
        series=_series(culprit, dice),
        heartbeats=Heartbeats(
            node=text(list(NODES)),
            last=np.array([ONSET if name == culprit else ONSET + AFTER * STEP_S for name in NODES]),
            period=np.full(len(NODES), 5.0),
            horizon=ONSET + AFTER * STEP_S,
        ),
        logs=LogLines(
            node=text([culprit, chain[0]]),
            template=text(["cannot write batch #", "slow request"]),
            severity=text(["ERROR", "WARN"]),
            before=np.array([0.0, 0.1]),
            after=np.array([60.0, 7.0]),
            sample=text(["cannot write batch 7", "slow request"]),
        ),
        past=_past(f"example-{seed}", culprit, dice),
        changes=(
            ChangeEvent(id="d", at=utc(ONSET - 20), kind="deploy", service=culprit, title="Version 2"),
        ),
        alerts=(chain[0],),
        limits=(Limit(node=culprit, metric="process.memory.usage", sentence="process memory usage: 97% of its limit"),),
    )  # fmt: skip
    return Example(case=case, culprit=culprit)


def unlinked_case(seed: int) -> Example:
    """The same incident as a system without traces and call graph records it."""
    example = example_case(seed)
    bare = replace(example.case, calls=frozenset(), flows=None, links=None, spans=None, span_logs=None, unanswered=None)
    return Example(case=bare, culprit=example.culprit)


def eventful_case(seed: int) -> Example:
    """The same incident as a system records it that keeps anomalies and no requests."""
    example = example_case(seed)
    return Example(case=replace(example.case, flows=None), culprit=example.culprit)


def metered_case(seed: int) -> Example:
    """The same incident as a system without spans records it that counts and times its requests in metrics."""
    example = unlinked_case(seed)
    flows = example_case(seed).case.flows
    assert flows is not None  # noqa: S101 - the example has every table
    deepest = (flows.node == example.culprit) & (flows.time >= ONSET)
    served = replace(
        flows, busy=np.where(deepest, 2.0, 1.0) * flows.busy, errors=np.where(deepest, 1.5, 1.0) * flows.errors
    )
    return Example(case=replace(example.case, metered=served), culprit=example.culprit)


def surge_case(seed: int) -> Example:
    """The same incident, with ten times the requests, which come in at the node that alerted."""
    case = example_case(seed).case
    flows, links = case.flows, case.links
    assert flows is not None  # noqa: S101 - the example has every table
    assert links is not None  # noqa: S101
    served, called = (np.where(table.time >= ONSET, 10.0, 1.0) for table in (flows, links))
    more_flows = replace(flows, calls=flows.calls * served, errors=flows.errors * served, busy=flows.busy * served)
    more_links = replace(links, calls=links.calls * called, errors=links.errors * called, waited=links.waited * called)
    return Example(case=replace(case, flows=more_flows, links=more_links), culprit=case.alerts[0])


def full_disk_case(seed: int) -> Example:
    """The same incident, in which the culprit's log lines name what it has too little of."""
    example = example_case(seed)
    logs = example.case.logs
    assert logs is not None  # noqa: S101 - the example has every table
    lines = text(["cannot write batch 7: no space left on device", "slow request"])
    return Example(case=replace(example.case, logs=replace(logs, sample=lines)), culprit=example.culprit)


def commit_case(seed: int) -> Example:
    """The same incident with five commits, of which one removed what the log lines complain of."""
    example = example_case(seed)
    files = ("README.md", "src/payments/charge.py", "src/batch/writer.py", "src/cart/view.py", "docs/guide.md")
    harmful = 2
    commits = tuple(
        ChangeEvent(
            id=f"{number + 1:040x}",
            at=utc(ONSET) - timedelta(minutes=10 + number),
            kind="commit",
            service=NODES[number],
            title="Simplify the batch writer" if number == harmful else f"Tidy up {name}",
            files=(name,),
            attributes={"diff": "-batch = write(batch, retry=3)\n+pass" if number == harmful else "-a = 1\n+a = 2"},
        )
        for number, name in enumerate(files)
    )
    case = replace(example.case, changes=commits, alert_texts=("batch writes fail",))
    return Example(case=case, culprit=commits[harmful].id)


def without(case: Case, *tables: str) -> Case:
    """The case without some tables."""
    none: dict[str, Any] = dict.fromkeys(tables)
    empty: dict[str, Any] = {"changes": (), "calls": frozenset(), "alerts": (), "alert_texts": (), "limits": ()}
    return replace(case, **{table: empty.get(table, value) for table, value in none.items()})


def renamed(case: Case, names: Mapping[str, str]) -> Case:
    """The case with other names of its nodes."""

    def column(values: Text) -> Text:
        return text([names.get(value, value) for value in values])

    def table(value: Any, *columns: str) -> Any:
        return None if value is None else replace(value, **{name: column(getattr(value, name)) for name in columns})

    def name(node: str) -> str:
        return names.get(node, node)

    past = case.past
    return replace(
        case,
        candidates=tuple(sorted(map(name, case.candidates))),
        calls=frozenset((name(caller), name(callee)) for caller, callee in case.calls),
        flows=table(case.flows, "node"),
        flows_reference=table(case.flows_reference, "node"),
        metered=table(case.metered, "node"),
        metered_links=table(case.metered_links, "caller", "callee"),
        links=table(case.links, "caller", "callee"),
        links_reference=table(case.links_reference, "caller", "callee"),
        spans=None if case.spans is None else replace(case.spans, nodes=tuple(map(name, case.spans.nodes))),
        unanswered=table(case.unanswered, "caller", "callee"),
        series=table(case.series, "node"),
        series_reference=table(case.series_reference, "node"),
        heartbeats=table(case.heartbeats, "node"),
        logs=table(case.logs, "node"),
        past=None if past is None else replace(past, nodes={name(node): code for node, code in past.nodes.items()}),
        changes=tuple(replace(change, service=name(change.service)) for change in case.changes),
        alerts=tuple(map(name, case.alerts)),
        limits=tuple(replace(limit, node=name(limit.node)) for limit in case.limits),
    )


def _times() -> F64:
    return np.asarray(ONSET + (np.arange(BEFORE + AFTER) - BEFORE) * STEP_S, dtype=np.float64)


def _flows(chain: list[str], culprit: str, dice: np.random.Generator) -> Flows:
    times = _times()
    late = times >= ONSET
    nodes, calls, errors, busy = [], [], [], []
    for place, node in enumerate(chain):
        above = place <= chain.index(culprit)
        nodes += [node] * len(times)
        calls.append(np.full(len(times), 50.0))
        errors.append(np.where(late & above, 20.0, 0.0))
        busy.append(50.0 * (0.01 * dice.lognormal(0, 0.05, len(times)) + (late & above) * 0.5))
    return Flows(
        time=np.tile(times, len(chain)), node=text(nodes), operation=text(["GET /"] * len(nodes)),
        calls=np.concatenate(calls), errors=np.concatenate(errors), busy=np.concatenate(busy), step=STEP_S,
    )  # fmt: skip


def _links(chain: list[str], culprit: str, dice: np.random.Generator) -> Links:
    times = _times()
    late = times >= ONSET
    callers, callees, errors, waited, served = [], [], [], [], []
    for caller, callee in pairwise(chain[:4]):
        slow = late & (chain.index(callee) <= chain.index(culprit))
        callers += [caller] * len(times)
        callees += [callee] * len(times)
        took = 0.01 * dice.lognormal(0, 0.05, len(times)) + slow * 0.5
        served.append(50.0 * took)
        waited.append(50.0 * (took + 0.001))
        errors.append(np.where(slow, 20.0, 0.0))
    return Links(
        time=np.tile(times, 3), caller=text(callers), callee=text(callees),
        calls=np.full(len(callers), 50.0), errors=np.concatenate(errors), waited=np.concatenate(waited),
        served=np.concatenate(served), step=STEP_S,
    )  # fmt: skip


def _series(culprit: str, dice: np.random.Generator) -> Series:
    times = _times()
    late = times >= ONSET
    rows: list[tuple[str, str, F64]] = []
    for node in NODES:
        broken = late & (node == culprit)
        rows += [
            (node, "process.cpu.utilization", 0.1 * dice.lognormal(0, 0.05, len(times)) + broken * 0.8),
            (node, "latency_seconds", 0.01 * dice.lognormal(0, 0.05, len(times)) + broken * 0.5),
            (node, "backlog", 10.0 * dice.lognormal(0, 0.05, len(times)) + broken * 400.0),
        ]
    return Series(
        time=np.tile(times, len(rows)),
        node=text([node for node, _, _ in rows for _ in times]),
        metric=text([metric for _, metric, _ in rows for _ in times]),
        value=np.concatenate([values for *_, values in rows]),
    )


def _traces(chain: list[str], culprit: str) -> tuple[Any, pa.Table]:
    """Each node works in two steps of its own and logs a line; since the onset the culprit stops after the first."""
    rows: list[tuple[int, str, str, str, str, int]] = []
    lines: list[tuple[str, str, str]] = []
    for trace in range(2 * TRACES):
        late = trace >= TRACES
        start = int((ONSET + (trace - TRACES) + 0.5) * 1e9)
        parent = ""
        for place, node in enumerate(chain):
            identity = f"{trace:08x}{place:04x}"
            rows.append((start, f"{identity}0000", parent, node, "GET /", 10_000_000))
            for step in range(1 if late and node == culprit else 2):
                own = f"{identity}{step + 1:04x}"
                rows.append((start + step + 1, own, f"{identity}0000", node, f"step {step}", 1_000_000))
            if late and node == culprit:
                lines.append((f"{identity}0000", "ERROR", "cannot write batch"))
            else:
                lines.append((f"{identity}0000", "INFO", "done"))
            parent = f"{identity}0000"
    names = ("timestamp", "span_id", "parent_span_id", "service", "span_name", "duration_ns")
    table = pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
    logs = pa.table(dict(zip(("span_id", "severity", "body"), map(list, zip(*lines, strict=True)), strict=True)))
    return read_spans(table, None, ONSET), logs


def _past(case: str, culprit: str, dice: np.random.Generator) -> Any:
    """Twenty incidents in which every node is slow now and then; this time the culprit is, and also lost its disk."""
    rows = [
        (f"past-{incident}", node, "latency up", "latency up")
        for incident in range(20)
        for node in NODES
        if dice.random() < 0.7
    ]
    rows += [(case, node, "latency up", "latency up") for node in NODES]
    rows += [(case, culprit, "disk up", "disk up")]
    incident, node, event, concept = (text(list(column)) for column in zip(*rows, strict=True))
    return gather(Anomalies(incident=incident, node=node, event=event, concept=concept), {}, frozenset({case}))
