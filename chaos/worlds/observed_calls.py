"""What client spans say of a system: who called whom, how long it took for the caller, and what got no reply."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from chaos.worlds.counts import Counts, ended
from chaos.worlds.habits import Instrumentation
from chaos.worlds.observed import stamps, words
from chaos.worlds.physics import REFUSED_MS, Flows
from chaos.worlds.recording import STEP_S
from chaos.worlds.system import F64, I64

_Key = tuple[str, str, str]  # caller, callee, source


@dataclass(slots=True)
class _Calls:
    calls: I64
    errors: I64
    client_ms: F64
    server_ms: F64


@dataclass(slots=True)
class ClientSpans:
    """Turns counts into tables of calls."""

    rng: np.random.Generator
    start: int
    flows: Flows
    counts: Counts
    instrumentation: Instrumentation
    _waited: dict[tuple[str, str], F64] = field(default_factory=dict)

    def tables(self) -> tuple[pa.Table, pa.Table]:
        """The tables `edges` and `unanswered` of a recording."""
        counts, system = self.counts, self.flows.system
        timeout_ms = np.array([call.timeout_s * 1000 for call in system.calls])[:, None] + np.zeros(
            (1, self.flows.buckets)
        )
        replied, client_ms = ended(counts.replied, counts.client_ms, self.rng)
        silent, silent_ms = ended(counts.silent, timeout_ms, self.rng)
        share = np.divide(counts.call_failed, counts.replied, out=np.zeros_like(client_ms), where=counts.replied > 0)
        failed = np.where(
            replied == counts.replied, counts.call_failed, self.rng.binomial(replied, np.clip(share, 0, 1))
        )
        rows: dict[_Key, _Calls] = {}
        lost: dict[tuple[str, str], list[I64]] = {}
        for at, call in enumerate(system.calls):
            if not self.instrumentation.sees(at):
                continue
            caller = self.instrumentation.name(system.operations[call.caller].node)
            for callee, source, operation in self._callees(at):
                server = (
                    replied[at] * self._mean_ms(operation)
                    if operation is not None
                    else np.full(self.flows.buckets, np.nan)
                )
                _add(
                    rows,
                    (caller, callee, source),
                    replied[at],
                    np.minimum(failed[at], replied[at]),
                    client_ms[at],
                    server,
                )
                unanswered = silent[at] + counts.refused[at]
                if unanswered.any():
                    missing = np.full(self.flows.buckets, np.nan)
                    known = "peer" if source == "span" else source
                    waited = silent_ms[at] + counts.refused[at] * REFUSED_MS
                    _add(rows, (caller, callee, known), unanswered, unanswered, waited, missing)
                    before = lost.setdefault((caller, callee), [np.zeros_like(unanswered)] * 2)
                    lost[caller, callee] = [before[0] + counts.refused[at], before[1] + silent[at]]
                    self._waited.setdefault((caller, callee), np.zeros(self.flows.buckets))
                    self._waited[caller, callee] = self._waited[caller, callee] + waited / 1000
        return self._edges(rows), self._unanswered(lost)

    def _callees(self, at: int) -> Iterator[tuple[str, str, int | None]]:
        """Under which names a call's callee is known, how, and the operation that reports it: behind proxies, too."""
        known, system = self.instrumentation, self.flows.system
        callee = system.calls[at].callee
        node = system.operations[callee].node
        if known.traced(node):
            yield known.name(node), "span", callee
            return
        behind = [system.calls[number] for number in system.operations[callee].calls]
        forwards = system.nodes[node].kind in ("queue", "sidecar", "gateway")
        found = False
        for call in behind if forwards else ():
            to = system.operations[call.callee].node
            habit = known.habits[to]
            if known.traced(to) and not (call.deferred and habit is not None and habit.linked):
                found = True
                yield known.name(to), "span", call.callee
        if not found:
            yield known.peer(system.calls[at]), "attribute", None

    def _mean_ms(self, operation: int) -> F64:
        counts = self.counts
        bad = counts.early[operation] + counts.failed[operation]
        good = counts.answered[operation] - bad
        total = good * counts.ok_ms[operation] + bad * counts.fail_ms[operation]
        return np.asarray(total / np.maximum(counts.answered[operation], 1))

    def _edges(self, rows: dict[_Key, _Calls]) -> pa.Table:
        if not rows:
            fields = [("bucket", pa.timestamp("s", "UTC")), *((n, pa.string()) for n in ("caller", "callee", "source"))]
            fields += [("calls", pa.int64()), ("errors", pa.int64())]
            return pa.schema(
                [*fields, ("client_mean_ms", pa.float64()), ("server_mean_ms", pa.float64())]
            ).empty_table()
        keys = list(rows)
        calls = np.stack([row.calls for row in rows.values()])
        at, row = np.nonzero(calls.T)
        number = calls[row, at]

        def column(name: str) -> F64:
            return np.stack([getattr(one, name) for one in rows.values()])[row, at]

        return pa.table(
            {
                "bucket": stamps(self.start, at, STEP_S),
                "caller": words([key[0] for key in keys], row),
                "callee": words([key[1] for key in keys], row),
                "source": words([key[2] for key in keys], row),
                "calls": number,
                "errors": column("errors").astype(np.int64),
                "client_mean_ms": np.maximum(column("client_ms") / number, 0.001),
                "server_mean_ms": column("server_ms") / number,
            }
        )

    def _unanswered(self, lost: dict[tuple[str, str], list[I64]]) -> pa.Table:
        keys = list(lost) or [("", "")]
        refused = np.stack([lost[key][0] for key in lost]) if lost else np.zeros((1, 1), dtype=np.int64)
        silent = np.stack([lost[key][1] for key in lost]) if lost else np.zeros((1, 1), dtype=np.int64)
        waited = np.stack([self._waited[key] for key in lost]) if lost else np.zeros((1, 1))
        at, row = np.nonzero((refused + silent).T)
        return pa.table(
            {
                "bucket": stamps(self.start, at, STEP_S),
                "caller": words([key[0] for key in keys], row),
                "callee": words([key[1] for key in keys], row),
                "calls": (refused + silent)[row, at],
                "waited_s": waited[row, at],
                "refused": refused[row, at],
                "timed_out": silent[row, at],
            }
        )


def _add(rows: dict[_Key, _Calls], key: _Key, calls: I64, errors: I64, client_ms: F64, server_ms: F64) -> None:
    before = rows.get(key)
    if before is None:
        rows[key] = _Calls(calls, errors, client_ms, server_ms)
        return
    before.calls, before.errors = before.calls + calls, before.errors + errors
    before.client_ms, before.server_ms = before.client_ms + client_ms, before.server_ms + server_ms
