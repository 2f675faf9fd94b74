"""What client spans say of a system: who called whom, how long it took for the caller, and what got no reply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from chaos.worlds.counts import Counts, ended, skewed
from chaos.worlds.flows import Flows
from chaos.worlds.habits import Instrumentation
from chaos.worlds.observed import empty_table, stamps, words
from chaos.worlds.physics import REFUSED_MS
from chaos.worlds.recording import STEP_S
from chaos.worlds.system import F64, I64

_Key = tuple[str, str, str]  # caller, callee, source
_Way = tuple[str, str, int | None, str]  # callee, source, the operation that reports it, which of the calls


@dataclass(slots=True)
class _Calls:
    calls: I64
    errors: I64
    client_ms: F64
    server_ms: F64


@dataclass(slots=True)
class _Lost:
    refused: I64
    silent: I64
    waited_s: F64


@dataclass(slots=True)
class ClientSpans:
    """Turns counts into tables of calls."""

    rng: np.random.Generator
    start: int
    flows: Flows
    counts: Counts
    instrumentation: Instrumentation
    clocks_s: Mapping[str, float]

    def tables(self) -> tuple[pa.Table, pa.Table]:
        """The tables `edges` and `unanswered` of a recording."""
        counts, system, buckets = self.counts, self.flows.system, self.flows.buckets
        timeout_ms = np.outer([call.timeout_s * 1000 for call in system.calls], np.ones(buckets))
        replied, client_ms = ended(counts.replied, counts.client_ms, self.rng)
        silent, silent_ms = ended(counts.silent, timeout_ms, self.rng)
        share = np.divide(counts.call_failed, counts.replied, out=np.zeros_like(client_ms), where=counts.replied > 0)
        drawn = self.rng.binomial(replied, np.clip(share, 0, 1))
        failed = np.minimum(np.where(replied == counts.replied, counts.call_failed, drawn), replied)
        rows: dict[_Key, _Calls] = {}
        lost: dict[tuple[str, str], _Lost] = {}
        missing = np.full(buckets, np.nan)
        for at, call in enumerate(system.calls):
            if not self.instrumentation.sees(at):
                continue
            caller = self.instrumentation.name(system.operations[call.caller].node)
            ways, unseen = self._ways(at)
            mean_ms = client_ms[at] / np.maximum(replied[at], 1)
            for callee, source, operation, part in ways:
                number = {"all": replied[at], "good": replied[at] - failed[at], "bad": failed[at]}[part]
                errors = failed[at] if part != "good" else np.zeros_like(number)
                server_ms = missing if operation is None else number * self._mean_ms(operation)
                _add(rows, (caller, callee, source), number, errors, number * mean_ms, server_ms)
            unanswered = silent[at] + counts.refused[at]
            if unanswered.any():
                waited_ms = silent_ms[at] + counts.refused[at] * REFUSED_MS
                _add(rows, (caller, *unseen), unanswered, unanswered, waited_ms, missing)
                key = (caller, unseen[0])
                none = np.zeros_like(unanswered)
                before = lost.get(key) or _Lost(none, none, np.zeros(buckets))
                refused = before.refused + counts.refused[at]
                lost[key] = _Lost(refused, before.silent + silent[at], before.waited_s + waited_ms / 1000)
        return self._edges({key: self._by_clock(key[0], row) for key, row in rows.items()}), self._unanswered(lost)

    def _ways(self, at: int) -> tuple[list[_Way], tuple[str, str]]:
        """How a call appears: answered by whom, and, for calls without any reply, the callee's name and source.

        Who forwards without reporting is not seen: what lies behind it is. A broker is known by its address where a
        message did not get through, or where its consumers only link to it.
        """
        known, system = self.instrumentation, self.flows.system
        call = system.calls[at]
        node = system.operations[call.callee].node
        if known.traced(node):
            return [(known.name(node), "span", call.callee, "all")], (known.name(node), "peer")
        peer = known.peer(call)
        behind = [system.calls[number] for number in system.operations[call.callee].calls]
        if system.nodes[node].kind == "queue":
            consumers = [one.callee for one in behind if known.continues(one)]
            if consumers:
                names = [(known.name(system.operations[to].node), "span", to, "good") for to in consumers]
                return [*names, (peer, "attribute", None, "bad")], (peer, "attribute")
        elif system.nodes[node].kind in ("sidecar", "gateway") and behind and known.continues(behind[0]):
            name = known.name(system.operations[behind[0].callee].node)
            return [(name, "span", behind[0].callee, "all")], (name, "peer")
        return [(peer, "attribute", None, "all")], (peer, "attribute")

    def _by_clock(self, caller: str, row: _Calls) -> _Calls:
        """What a caller whose clock is wrong says."""
        ahead_s = self.clocks_s.get(caller, 0.0)
        if not ahead_s:
            return row
        calls, client_ms = skewed(row.calls, row.client_ms, ahead_s, self.rng)
        errors, _ = skewed(row.errors, row.client_ms, ahead_s, self.rng)
        mean_ms = np.divide(row.server_ms, row.calls, out=np.full(len(calls), np.nan), where=row.calls > 0)
        before = np.roll(mean_ms, int(np.sign(ahead_s)))
        server_ms = calls * np.where(np.isnan(mean_ms), before, mean_ms)
        return _Calls(calls, np.minimum(errors, calls), client_ms, server_ms)

    def _mean_ms(self, operation: int) -> F64:
        counts = self.counts
        bad = counts.early[operation] + counts.failed[operation]
        good = counts.answered[operation] - bad
        total = good * counts.ok_ms[operation] + bad * counts.fail_ms[operation]
        return np.asarray(total / np.maximum(counts.answered[operation], 1))

    def _edges(self, rows: dict[_Key, _Calls]) -> pa.Table:
        if not rows:
            means = ("client_mean_ms", "server_mean_ms")
            return empty_table(("caller", "callee", "source"), ("calls", "errors"), means)
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

    def _unanswered(self, lost: dict[tuple[str, str], _Lost]) -> pa.Table:
        none = np.zeros((1, self.flows.buckets), dtype=np.int64)
        refused = np.stack([one.refused for one in lost.values()]) if lost else none
        silent = np.stack([one.silent for one in lost.values()]) if lost else none
        waited_s = np.stack([one.waited_s for one in lost.values()]) if lost else none * 1.0
        keys = list(lost) or [("", "")]
        at, row = np.nonzero((refused + silent).T)
        return pa.table(
            {
                "bucket": stamps(self.start, at, STEP_S),
                "caller": words([key[0] for key in keys], row),
                "callee": words([key[1] for key in keys], row),
                "calls": (refused + silent)[row, at],
                "waited_s": waited_s[row, at],
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
