"""A recording as the store would answer: the roll-ups of the detectors and the queries of a diagnosis, up to now."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bench.worlds.recorded_rows import ARRIVES_S, Newest, RecordedRows, rebucketed, starts_of, summed
from bench.worlds.sampled_traces import Draw, SampledTraces
from chaos.worlds.recording import SHAPE_STEP_S, STEP_S, Recording
from watchkeeper.store import diagnosis_queries as sql
from watchkeeper.store.release_queries import NAMES, RELEASES
from watchkeeper.vocabulary import Window, utc

SLOW_STEP_S: Final = 10  # in which the detectors ask for metrics, calls and log lines
WARNINGS: Final = ("WARN", "ERROR", "FATAL")
AGREE_S: Final = 1.0  # clocks that differ by less give calls whose two sides overlap
OVER_S: Final = 1.0  # by which the last sign of what ended precedes the first of what replaces it


class Replay:
    """Telemetry of a recording as it is known at `now`, which whoever replays it moves on.

    It implements `detectors.histories.Rollups` and `rca.live.reading.Reader`. What costs more than a slice is computed
    once, here.
    """

    def __init__(self, recording: Recording, draw: Draw | None = None) -> None:
        """`draw` gives single requests as spans; without it there are none, as where nothing is traced."""
        self.now = float(recording.start)
        self._recording = recording
        names = {*recording.delays_s, *recording.clocks_s}
        # A service whose clock is ahead stamps its rows later than they happened, so they come early for their stamp.
        after = {name: recording.delays_s.get(name, 0.0) - recording.clocks_s.get(name, 0.0) for name in names}
        self._red = RecordedRows(recording.red, STEP_S, after)
        self._latency = RecordedRows(recording.latency, SHAPE_STEP_S, after)
        self._edges = {STEP_S: RecordedRows(recording.edges, STEP_S, after, "caller")}
        self._edges[SLOW_STEP_S] = RecordedRows(_calls(recording.edges), SLOW_STEP_S, after, "caller")
        self._metrics = {STEP_S: RecordedRows(recording.metrics, STEP_S, after)}
        self._metrics[SLOW_STEP_S] = RecordedRows(_levels(recording.metrics), SLOW_STEP_S, after)
        self._counts = RecordedRows(
            summed(recording.logs, ("bucket", "service", "severity"), ("lines", "sum")), STEP_S, after
        )
        self._bodies = RecordedRows(_bodies(recording.logs), SLOW_STEP_S, after)
        self._warnings = RecordedRows(_warnings(recording.logs), STEP_S, after)
        self._unanswered = RecordedRows(recording.unanswered, STEP_S, after, "caller")
        self._heartbeats = RecordedRows(recording.heartbeats, STEP_S, after)
        self._traces = SampledTraces(draw, recording.start, after)
        self._running = _running(recording.resources)
        self._newest = {
            "spans": Newest(self._red, "calls"),
            "logs": Newest(self._counts, "lines"),
            "metrics": Newest(self._metrics[STEP_S], None),
        }
        self._answers: dict[str, Callable[[Mapping[str, Any]], pa.Table]] = {
            sql.ADDRESSES: self._addresses,
            sql.NEWEST_CALLS: lambda _: _empty(NEWEST_CALLS),
            sql.FAILED: self._failed,
            sql.INSTANCES: lambda _: _empty(INSTANCES),
            sql.HEARTBEATS: self._beats,
            sql.LOGS: self._templates,
            RELEASES: self._releases,
            sql.SPANS: lambda asked: self._traces.count(asked, self.now),
            sql.TRACES: lambda asked: self._traces.spans(asked, self.now),
            sql.TRACE_LINES: lambda _: _empty(TRACE_LINES),
        }

    # What the detectors read

    def red_levels(self, window: Window) -> pa.Table:
        """As Telemetry's."""
        return self._red.of(window, self.now)

    def red(self, window: Window, step_s: int = SHAPE_STEP_S) -> pa.Table:
        """As Telemetry's, in the steps in which latency is recorded.

        Raises:
            ValueError: another step.
        """
        _only(SHAPE_STEP_S, step_s)
        return self._latency.of(window, self.now)

    def log_counts(self, window: Window, step_s: int = STEP_S) -> pa.Table:
        """As Telemetry's."""
        table = self._counts.of(window, self.now)
        if step_s == STEP_S:
            return table
        return summed(rebucketed(table, step_s), ("bucket", "service", "severity"), ("lines", "sum"))

    def log_bodies(self, window: Window, step_s: int = SLOW_STEP_S, limit: int = 20_000) -> pa.Table:
        """As Telemetry's, in buckets of ten seconds."""
        _only(SLOW_STEP_S, step_s)
        table = self._bodies.of(window, self.now)
        return table.sort_by([("lines", "descending"), ("service", "ascending"), ("body", "ascending")]).slice(0, limit)

    def metric_series(self, window: Window, step_s: int = STEP_S, service: str | None = None) -> pa.Table:
        """As Telemetry's."""
        table = _rows(self._metrics, step_s).of(window, self.now)
        return table if service is None else table.filter(pc.equal(table["service"], service))

    def edges(self, window: Window, step_s: int = STEP_S) -> pa.Table:
        """As Telemetry's; in larger buckets without durations, which nobody asks for there."""
        if step_s in self._edges:
            return self._edges[step_s].of(window, self.now)
        return _calls(self._edges[STEP_S].of(window, self.now), step_s)

    def served(self, service: str, operation: str, window: Window) -> pa.Table:
        """As Telemetry's."""
        table = self._red.of(window, self.now)
        own = pc.equal(table["service"], service)
        table = table.filter(pc.and_(own, pc.equal(table["operation"], operation)) if operation else own)
        minute = pa.array((starts_of(table) // 60 * 60).astype(np.int64))
        by_minute = summed(table.append_column("minute", minute), ("minute",), ("calls", "sum"), ("errors", "sum"))
        by_minute = by_minute.sort_by("minute")
        total, bad = (by_minute[name].cast(pa.float64()) for name in ("calls", "errors"))
        return pa.table({"minute": by_minute["minute"], "total": total, "bad": bad})

    def newest(self, signal: str, window: Window) -> pa.Table:
        """As Telemetry's."""
        return self._newest[signal].of(window, self.now)

    def call_offsets(self, window: Window) -> pa.Table:
        """As Telemetry's: how far the clocks of two who call each other are apart."""
        table = self._edges[STEP_S].of(window, self.now)
        table = summed(table.filter(pc.equal(table["source"], "span")), ("caller", "callee"), ("calls", "sum"))
        clocks = self._recording.clocks_s
        pairs = zip(table["caller"].to_pylist(), table["callee"].to_pylist(), strict=True)
        apart = [clocks.get(callee, 0.0) - clocks.get(caller, 0.0) for caller, callee in pairs]
        offset = pa.array([seconds if abs(seconds) > AGREE_S else 0.0 for seconds in apart], pa.float64())
        return table.append_column("offset_s", offset).sort_by([("caller", "ascending"), ("callee", "ascending")])

    # What a diagnosis asks

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """The rows of one of the queries that a diagnosis, or a look for releases, asks.

        Raises:
            KeyError: a query that a recording cannot answer yet.
        """
        try:
            answer = self._answers[sql]
        except KeyError:
            raise KeyError(f"a recording has no answer to this query; teach it in {__name__}: {sql}") from None
        return answer(parameters or {})

    def _addresses(self, asked: Mapping[str, Any]) -> pa.Table:
        """Callees that report answer under their own name."""
        table = self._edges[STEP_S].of(_window(asked), self.now)
        table = table.filter(pc.equal(table["source"], "span"))
        calls = pc.subtract(table["calls"], table["errors"])
        waited = pc.multiply(table["client_mean_ms"], pc.cast(calls, pa.float64()))
        table = pa.table({"service": table["callee"], "calls": calls, "waited": waited})
        table = summed(table.filter(pc.greater(calls, 0)), ("service",), ("calls", "sum"), ("waited", "sum"))
        mean = pc.divide(pc.divide(table["waited"], pc.cast(table["calls"], pa.float64())), 1000.0)
        return pa.table(
            {"destination": table["service"], "service": table["service"], "calls": table["calls"], "mean_s": mean}
        ).sort_by("destination")

    def _failed(self, asked: Mapping[str, Any]) -> pa.Table:
        table = self._unanswered.of(_window(asked), self.now)
        counted = [(name, "sum") for name in ("calls", "waited_s", "refused", "timed_out")]
        table = summed(table, ("caller", "callee"), *counted)
        renamed = {"callee": "destination", "waited_s": "waited"}
        table = table.rename_columns([renamed.get(name, name) for name in table.column_names])
        return table.sort_by([("caller", "ascending"), ("destination", "ascending")])

    def _beats(self, asked: Mapping[str, Any]) -> pa.Table:
        table = self._heartbeats.of(_window(asked), self.now)
        second = pa.array(starts_of(table).astype(np.int64))
        return pa.table({"service": table["service"], "second": second})

    def _releases(self, asked: Mapping[str, Any]) -> pa.Table:
        """What each process that ran in the window sent about itself."""
        start, end = asked["start"].timestamp(), min(asked["end"].timestamp(), self.now - ARRIVES_S)
        rows = [
            (*names, max(first, start), min(last, end))
            for *names, first, last in self._running
            if first < end and last > start
        ]
        columns = list(zip(*rows, strict=True)) or [()] * len(RELEASE_COLUMNS)
        return pa.table({n: pa.array(c, k) for (n, k), c in zip(RELEASE_COLUMNS.items(), columns, strict=True)})

    def _templates(self, asked: Mapping[str, Any]) -> pa.Table:
        table = self._warnings.of(_window(asked), self.now)
        late = starts_of(table) >= asked["onset"].timestamp()
        lines = np.asarray(table["lines"].to_numpy(), dtype=np.int64)
        table = table.append_column("before", pa.array(np.where(late, 0, lines)))
        table = table.append_column("after", pa.array(np.where(late, lines, 0)))
        keys = ("service", "severity", "template")
        table = summed(table, keys, ("before", "sum"), ("after", "sum"), ("sample", "max"))
        order = [("after", "descending"), *((name, "ascending") for name in keys)]
        return table.sort_by(order).slice(0, 2000)


NEWEST_CALLS: Final = {
    "bucket": pa.int64(),
    "caller": pa.string(),
    "callee": pa.string(),
    "peer": pa.string(),
    "calls": pa.int64(),
    "errors": pa.int64(),
    "waited": pa.float64(),
    "served": pa.float64(),
}
INSTANCES: Final = {"instance": pa.string(), "operation": pa.string(), "late": pa.int64()} | dict.fromkeys(
    ("calls", "errors", "log_mean", "log_var", "busy", "first", "last"), pa.float64()
)
TRACE_LINES: Final = dict.fromkeys(("span_id", "severity", "body"), pa.string())
RELEASE_COLUMNS: Final = dict.fromkeys(("service", "process", "attribute", "value"), pa.string()) | dict.fromkeys(
    ("first", "last"), pa.float64()
)


def _running(resources: pa.Table) -> list[tuple[str, str, str, str, float, float]]:
    """Service, process, attribute, value, and from when to when: until the service's instances begin anew.

    As in the store, a row without attribute stands for the process itself.
    """
    begun: defaultdict[str, set[float]] = defaultdict(set)
    processes: defaultdict[tuple[str, str, float], dict[str, str]] = defaultdict(dict)
    for row in resources.to_pylist():
        begun[row["service"]].add(float(row["at"]))
        processes[row["service"], row["instance"], float(row["at"])][row["attribute"]] = row["value"]
    running = []
    for (service, instance, at), attributes in processes.items():
        until = min((later - OVER_S for later in begun[service] if later > at), default=float("inf"))
        process = f"{instance} {attributes.get('process.pid', '')}".strip()
        told = {"": ""} | {name: value for name, value in attributes.items() if re.match(NAMES, name)}
        running += [(service, process, name, value, at, until) for name, value in told.items()]
    return running


def _empty(columns: Mapping[str, pa.DataType]) -> pa.Table:
    """No rows: the roll-up of calls of a recording is never behind, and neither instances nor lines are of a span."""
    return pa.table({name: pa.array([], kind) for name, kind in columns.items()})


def _window(asked: Mapping[str, Any]) -> Window:
    """The buckets that begin in the times asked for, which need not be those of a bucket."""
    start, end = (asked[name].timestamp() for name in ("start", "end"))
    return Window(start=utc(start // STEP_S * STEP_S), end=utc(max(end, start // STEP_S * STEP_S + 1.0)))


def _only(known: int, step_s: int) -> None:
    if step_s != known:
        raise ValueError(f"this is recorded in buckets of {known} s, not of {step_s}")


def _rows(by_step: Mapping[int, RecordedRows], step_s: int) -> RecordedRows:
    try:
        return by_step[step_s]
    except KeyError:
        raise ValueError(f"this is recorded in buckets of {sorted(by_step)} s, not of {step_s}") from None


def _calls(table: pa.Table, step_s: int = SLOW_STEP_S) -> pa.Table:
    keys = ("bucket", "caller", "callee", "source")
    return summed(rebucketed(table, step_s), keys, ("calls", "sum"), ("errors", "sum"))


def _levels(table: pa.Table) -> pa.Table:
    keys = ("bucket", "service", "metric", "attributes", "kind")
    return summed(rebucketed(table, SLOW_STEP_S), keys, ("value", "mean"))


def _bodies(logs: pa.Table) -> pa.Table:
    """Lines that differ in their numbers alone are counted together; one of them is shown."""
    body = pc.utf8_slice_codeunits(logs["body"], 0, 1000)
    table = logs.set_column(logs.schema.get_field_index("body"), "body", body)
    table = rebucketed(table, SLOW_STEP_S).append_column("same", _each(body, r"[0-9]+", "0"))
    keys = ("bucket", "service", "severity", "same")
    return summed(table, keys, ("body", "min"), ("lines", "sum")).drop_columns(["same"])


def _warnings(logs: pa.Table) -> pa.Table:
    table = logs.filter(pc.is_in(logs["severity"], value_set=pa.array(WARNINGS)))
    template = _each(pc.utf8_slice_codeunits(table["body"], 0, 200), r"[0-9a-fA-F]{8,}|[0-9]+", "#")
    sample = pc.utf8_slice_codeunits(table["body"], 0, 300)
    return table.append_column("template", template).append_column("sample", sample)


def _each(texts: pa.ChunkedArray, pattern: str, replacement: str) -> pa.ChunkedArray:
    """Every text with what matches replaced; each different text is looked at once."""
    code = pc.cast(texts, pa.string()).combine_chunks().dictionary_encode()
    known = pc.replace_substring_regex(code.dictionary, pattern=pattern, replacement=replacement)
    return pa.chunked_array([pc.take(known, code.indices)])
