"""Where an event is staged: the system as it runs by itself, a span of time, and places from which to choose."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from chaos.worlds.flows import Flows
from chaos.worlds.habits import Instrumentation
from chaos.worlds.levers import Lever, Levers, Place
from chaos.worlds.physics import STEP_S
from chaos.worlds.recording import Event
from chaos.worlds.system import BACKING, F64, Node, System
from watchkeeper.vocabulary import ChangeEvent, ChangeKind, Mechanism

Kind = Callable[["Stage"], Event | None]
"""One kind of fault or harmless change: acts on a stage, or returns None where the system has no place for it."""


@dataclass(slots=True)
class Restart:
    """Instances that start anew at a second, with the version that they run from then on."""

    node: int
    at_s: float
    version: int


@dataclass(slots=True)
class Script:
    """Everything that was staged in a system beside its levers: restarts, announced changes, lines in logs."""

    start: int
    restarts: list[Restart] = field(default_factory=list)
    changes: list[ChangeEvent] = field(default_factory=list)
    lines: list[tuple[int, float, float, str, str, float]] = field(default_factory=list)
    renamed: dict[int, tuple[float, str]] = field(default_factory=dict)
    versions: dict[int, int] = field(default_factory=dict)

    def take(self, other: Script) -> None:
        """Add what another script holds."""
        self.restarts += other.restarts
        self.changes += other.changes
        self.lines += other.lines
        self.renamed |= other.renamed
        self.versions |= other.versions


@dataclass(slots=True)
class Stage:
    """One event's stage.

    Attributes:
        usual: the system as it runs without any event.
        begins_s, ends_s: when, in seconds from the start.
        gradual: whether the effect grows for a while.
    """

    kind: str
    rng: np.random.Generator
    system: System
    instrumentation: Instrumentation
    usual: Flows
    levers: Levers
    script: Script
    begins_s: float
    ends_s: float
    gradual: bool = False

    def shape(self, grows_s: float | None = None) -> F64:
        """How much of the effect there is in each bucket, 0 to 1, `(T,)`."""
        at = np.arange(self.levers.buckets) * STEP_S
        if grows_s is None:
            grows_s = min(float(self.rng.uniform(60, 240)), (self.ends_s - self.begins_s) / 2) if self.gradual else 0.0
        within = np.clip((np.minimum(at + STEP_S, self.ends_s) - np.maximum(at, self.begins_s)) / STEP_S, 0.0, 1.0)
        if grows_s <= 0:
            return np.asarray(within)
        return np.asarray(within * np.clip((at + STEP_S / 2 - self.begins_s) / grows_s, 0.0, 1.0))

    def elapsed_s(self) -> F64:
        """Seconds since it begins, of each bucket, `(T,)`; negative before."""
        return np.asarray(np.arange(self.levers.buckets) * STEP_S - self.begins_s)

    def slow(self, place: Place, ms: float, share: float, shape: F64) -> None:
        """Let a share of requests take `ms` longer."""
        share_then = share * (shape > 0)
        more = ms * shape
        self.levers.set("more_ms", place, share_then * more)
        self.levers.set("more_var", place, share_then * (1 - share_then) * more**2 + share_then * (0.3 * more) ** 2)

    def act(self, lever: Lever, place: Place, values: F64) -> None:
        """Let something act on a place."""
        self.levers.set(lever, place, values)

    def busy(self, node: int) -> float:
        """Requests a second that a node usually answers."""
        return float(self.usual.rate[list(self.system.operations_of[node])].mean(axis=1).sum())

    def pick(self, fits: Callable[[int, Node], bool]) -> int | None:
        """A node that telemetry knows by some name, rather one with traffic than one without; None if none fits."""
        found = [
            number
            for number, node in enumerate(self.system.nodes)
            if fits(number, node) and self.instrumentation.callee_names(number) and self.busy(number) > 0
        ]
        if not found:
            return None
        weights = np.array([self.busy(number) + 1e-6 for number in found]) ** 0.35
        return found[self.rng.choice(len(found), p=weights / weights.sum())]

    def service(self) -> int | None:
        """A service that reports something."""

        def fits(number: int, node: Node) -> bool:
            return node.kind not in BACKING and node.kind != "cron" and self.instrumentation.habits[number] is not None

        return self.pick(fits)

    def backing(self, *kinds: str) -> int | None:
        """A store or third party of one of these kinds that somebody is seen to call."""
        return self.pick(lambda _, node: node.kind in kinds)

    def path(self, fits: Callable[[int, int], bool] = lambda *_: True) -> tuple[int, int] | None:
        """A pair of caller and callee, both known by name, the caller reporting."""
        known = self.instrumentation
        found = [
            (caller, callee)
            for caller, callee in self.system.paths
            if known.habits[caller] is not None
            and known.callee_names(callee)
            and not any(self.system.calls[number].deferred for number in self.system.paths[caller, callee])
            and fits(caller, callee)
        ]
        if not found:
            return None
        weights = np.array([self.load(*path) + 1e-6 for path in found]) ** 0.35
        return found[self.rng.choice(len(found), p=weights / weights.sum())]

    def load(self, caller: int, callee: int) -> float:
        """Calls a second on a path, usually."""
        return float(self.usual.attempts[list(self.system.paths[caller, callee])].mean(axis=1).sum())

    def operation(self, node: int) -> int:
        """One of a node's operations, rather a busy one."""
        numbers = self.system.operations_of[node]
        weights = self.usual.rate[list(numbers)].mean(axis=1) + 1e-9
        return numbers[self.rng.choice(len(numbers), p=weights / weights.sum())]

    def share(self) -> float:
        """All, or a part."""
        return 1.0 if self.rng.random() < 0.5 else float(self.rng.uniform(0.3, 0.9))

    def log_uniform(self, low: float, high: float) -> float:
        """A number between two, its logarithm even."""
        return float(np.exp(self.rng.uniform(np.log(low), np.log(high))))

    def restart(self, node: int, at_s: float, *, deploy: bool) -> str:
        """Let a node's instances start anew, with the next version if it is a deploy; returns the version."""
        version = self.script.versions.get(node, 0) + deploy
        self.script.versions[node] = version
        self.script.restarts.append(Restart(node, at_s, version))
        return version_text(node, version)

    def announce(self, kind: ChangeKind, node: int, at_s: float, title: str, version: str = "") -> None:
        """Record a change event."""
        self.script.changes.append(
            ChangeEvent(
                id=f"{kind}-{node}-{int(at_s)}",
                at=datetime.fromtimestamp(self.script.start + int(at_s), UTC),
                kind=kind,
                service=self.instrumentation.name(node),
                title=title,
                version=version,
            )
        )

    def write_lines(self, node: int, severity: str, body: str, per_s: float) -> None:
        """Let a node log lines while the event lasts."""
        self.script.lines.append((node, self.begins_s, self.ends_s, severity, body, per_s))

    def fault(
        self, culprit: int, mechanism: Mechanism, detail: str, also: Iterable[int] = (), limit_at_s: float | None = None
    ) -> Event:
        """The truth about a fault; whether users felt it is computed afterwards."""
        names = self.instrumentation.callee_names(culprit)
        others = [*names[1:], *(name for node in also for name in self.instrumentation.callee_names(node))]
        return Event(
            kind=self.kind,
            harmful=True,
            culprit=names[0],
            also=tuple(dict.fromkeys(name for name in others if name != names[0])),
            mechanism=mechanism,
            begins_s=self.begins_s,
            ends_s=self.ends_s,
            limit_at_s=limit_at_s,
            detail=detail,
        )

    def harmless(self, node: int | None, detail: str) -> Event:
        """The truth about a harmless change."""
        names = self.instrumentation.callee_names(node) if node is not None else ()
        return Event(
            kind=self.kind,
            harmful=False,
            culprit=names[0] if names else "",
            begins_s=self.begins_s,
            ends_s=self.ends_s,
            detail=detail,
        )


def version_text(node: int, version: int) -> str:
    """The version that a node reports: some count releases, others name commits."""
    if node % 3 == 0:
        return f"{(node * 7919 + version * 104729) % 16**7:07x}"
    return f"{1 + node % 4}.{node % 9}.{version}"
