"""What spans say of a system: requests, durations and calls, under the names that its instrumentation gives them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from chaos.worlds.counts import Counts, ended, skewed
from chaos.worlds.flows import Flows
from chaos.worlds.habits import Instrumentation
from chaos.worlds.recording import SHAPE_STEP_S, STEP_S
from chaos.worlds.system import F64, I64

QUANTILES: Final = {"p50_ms": 0.0, "p90_ms": 1.2816, "p95_ms": 1.6449, "p99_ms": 2.3263}  # standard normal deviates
_QUANTILE_NOISE: Final = (1.25, 1.7, 2.1, 3.7)  # of one of these, in standard deviations of a sample's mean
FAILURES_SPREAD: Final = 0.5  # of the logarithm of a failure's duration


@dataclass(slots=True)
class _Row:
    """Requests of one operation name; sums of ms and of their squares, `(T,)`."""

    calls: I64
    direct: I64
    errors: I64
    ms: F64
    squares: F64

    def times(self, factor: I64) -> _Row:
        """Each bucket's requests so many times."""
        counts = self.calls * factor, self.direct * factor, self.errors * factor
        return _Row(*counts, self.ms * factor, self.squares * factor)

    def plus(self, other: _Row) -> _Row:
        """The requests of both."""
        counts = self.calls + other.calls, self.direct + other.direct, self.errors + other.errors
        return _Row(*counts, self.ms + other.ms, self.squares + other.squares)


@dataclass(slots=True)
class Spans:
    """Turns counts into tables of spans."""

    rng: np.random.Generator
    start: int
    flows: Flows
    counts: Counts
    instrumentation: Instrumentation

    def red(self) -> tuple[pa.Table, pa.Table]:
        """The tables `red` and `latency` of a recording."""
        rows: dict[tuple[str, str], _Row] = {}
        for number, name, requests in self._requests():
            self._renamed(rows, number, name, requests)
        known = self.instrumentation
        repeats = {known.name(number): habit.repeats for number, habit in enumerate(known.habits) if habit}
        for (service, _), row in rows.items():
            repeated = np.where(self.rng.random(self.flows.buckets) < repeats[service], 2, 1)
            row.calls, row.direct, row.errors = row.calls * repeated, row.direct * repeated, row.errors * repeated
            row.ms, row.squares = row.ms * repeated, row.squares * repeated
        return self._red_table(rows), self._latency_table(rows)

    def _requests(self) -> Iterator[tuple[int, str, _Row]]:
        """Of each traced operation and outcome: number, name, and its requests."""
        direct = self._direct()
        counts, flows, known = self.counts, self.flows, self.instrumentation
        good = counts.answered - counts.early - counts.failed
        ok_ends, ok_ms = ended(good, counts.ok_ms, self.rng)
        early_ends, early_ms = ended(counts.early, np.minimum(counts.fail_ms, 3.0), self.rng)
        bad_ends, bad_ms = ended(counts.failed, counts.fail_ms, self.rng)
        refused = self.rng.binomial(ok_ends, np.clip(flows.refused_4xx, 0, 1))
        square = 1 + flows.ok_var / np.maximum(flows.ok_ms, 1e-9) ** 2
        for number, operation in enumerate(flows.system.operations):
            habit = known.habits[operation.node]
            if habit is None or not habit.traced:
                continue
            early_name, bad_name = known.error_names(number)
            counted = not habit.attribute_only
            for name, calls, sums, errors, spread in (
                (
                    known.operation_name(number),
                    ok_ends[number],
                    ok_ms[number],
                    refused[number] * habit.strict,
                    square[number],
                ),
                (early_name, early_ends[number], early_ms[number], early_ends[number], np.exp(FAILURES_SPREAD**2)),
                (bad_name, bad_ends[number], bad_ms[number], bad_ends[number], np.exp(FAILURES_SPREAD**2)),
            ):
                if not calls.any():
                    continue
                seen, seen_ms = skewed(calls, sums, habit.clock_s, self.rng)
                seen_errors, _ = skewed(errors * counted, sums, habit.clock_s, self.rng)
                means = seen_ms / np.maximum(seen, 1)
                roots = np.diff(np.floor(np.cumsum(seen * direct[number]) + 1e-6), prepend=0.0).astype(np.int64)
                failed = np.minimum(seen_errors, seen)
                yield number, name, _Row(seen, roots, failed, seen_ms, seen * means**2 * spread)

    def _direct(self) -> F64:
        """The share of requests whose server span has no parent, `(operations, T)`.

        Callers without client spans pass on their own span, and what nobody instruments passes on what it was given.
        """
        flows, known = self.flows, self.instrumentation
        share = np.ones_like(flows.rate)
        for number, operation in enumerate(flows.system.operations):
            calls = [(at, call) for at, call in enumerate(flows.system.calls) if call.callee == number]
            given = np.zeros(flows.buckets)
            for at, call in calls:
                habit = known.habits[flows.system.operations[call.caller].node]
                arrive = flows.attempts[at] * (1.0 - flows.no_reply[at] - flows.call_refused[at])
                given += arrive * (1.0 if habit is not None and habit.traced else 1.0 - share[call.caller])
            if operation.weight:
                share[number] = np.clip(1.0 - given / np.maximum(flows.rate[number], 1e-9), 0.0, 1.0)
            elif calls:
                share[number] = np.where(given > 0, 0.0, share[[call.caller for _, call in calls]].max(axis=0))
            if flows.system.nodes[operation.node].kind in ("consumer", "cron"):
                share[number] = 0.0
        return share

    def _renamed(self, rows: dict[tuple[str, str], _Row], number: int, name: str, requests: _Row) -> None:
        service = self.instrumentation.name(self.flows.system.operations[number].node)
        renamed = self.instrumentation.renamed.get(number)
        if renamed is None or name != self.instrumentation.operation_name(number):
            _add(rows, (service, name), requests)
            return
        after = (np.arange(self.flows.buckets) * STEP_S >= renamed[0]).astype(np.int64)
        _add(rows, (service, name), requests.times(1 - after))
        _add(rows, (service, renamed[1]), requests.times(after))

    def _red_table(self, rows: dict[tuple[str, str], _Row]) -> pa.Table:
        keys = list(rows)
        if not keys:
            return empty_table(("service", "operation"), ("calls", "direct", "errors"), ("mean_ms",))
        calls = np.stack([row.calls for row in rows.values()])
        at, row = np.nonzero(calls.T)
        direct = np.stack([one.direct for one in rows.values()])[row, at]
        errors = np.stack([one.errors for one in rows.values()])[row, at]
        ms = np.stack([one.ms for one in rows.values()])[row, at]
        return pa.table(
            {
                "bucket": stamps(self.start, at, STEP_S),
                "service": words([service for service, _ in keys], row),
                "operation": words([operation for _, operation in keys], row),
                "calls": calls[row, at],
                "direct": np.minimum(direct, calls[row, at]),
                "errors": np.minimum(errors, calls[row, at]),
                "mean_ms": np.maximum(ms / calls[row, at], 0.001),
            }
        )

    def _latency_table(self, rows: dict[tuple[str, str], _Row]) -> pa.Table:
        keys = list(rows)
        if not keys:
            return empty_table(("service", "operation"), ("calls",), tuple(QUANTILES))
        per = SHAPE_STEP_S // STEP_S
        folded = self.flows.buckets // per * per

        def fold(values: Iterable[F64 | I64]) -> F64:
            stacked = np.stack([np.asarray(one)[:folded] for one in values])
            return np.asarray(stacked.reshape(len(keys), -1, per).sum(axis=2))

        calls = fold(row.calls for row in rows.values())
        at, row = np.nonzero(calls.T)
        number = calls[row, at]
        mean = fold(one.ms for one in rows.values())[row, at] / number
        second = fold(one.squares for one in rows.values())[row, at] / number
        spread = np.sqrt(np.log1p(np.maximum(second / np.maximum(mean, 1e-9) ** 2 - 1, 0.01)))
        columns = []
        for deviate, noise in zip(QUANTILES.values(), _QUANTILE_NOISE, strict=True):
            drawn = self.rng.normal(0, 1, len(mean)) * np.minimum(noise * spread / np.sqrt(number), 0.8)
            # Of few requests, the highest quantiles are the slowest of them.
            reachable = np.minimum(deviate, np.sqrt(2 * np.log(np.maximum(number, 1.5))))
            columns.append(mean * np.exp(reachable * spread - spread**2 / 2 + drawn))
        ordered = np.maximum.accumulate(np.stack(columns), axis=0)
        return pa.table(
            {
                "bucket": stamps(self.start, at, SHAPE_STEP_S),
                "service": words([service for service, _ in keys], row),
                "operation": words([operation for _, operation in keys], row),
                "calls": number.astype(np.int64),
                **dict(zip(QUANTILES, ordered, strict=True)),
            }
        )


def _add(rows: dict[tuple[str, str], _Row], key: tuple[str, str], requests: _Row) -> None:
    rows[key] = rows[key].plus(requests) if key in rows else requests


def stamps(start: int, at: I64, step_s: int) -> pa.Array:
    """Times of buckets, from their numbers."""
    return pa.array(start + np.asarray(at, dtype=np.int64) * step_s, pa.int64()).cast(pa.timestamp("s", "UTC"))


def words(texts: list[str], index: I64) -> pa.Array:
    """`texts[index]` as a column of text."""
    return pa.DictionaryArray.from_arrays(
        pa.array(np.asarray(index, dtype=np.int32)), pa.array(texts, pa.string())
    ).cast(pa.string())


def empty_table(texts: tuple[str, ...], counts: tuple[str, ...], floats: tuple[str, ...] = ()) -> pa.Table:
    """A table of buckets without rows: its columns by what they hold."""
    fields = [("bucket", pa.timestamp("s", "UTC"))]
    fields += [(name, pa.string()) for name in texts] + [(name, pa.int64()) for name in counts]
    return pa.schema([*fields, *((name, pa.float64()) for name in floats)]).empty_table()
