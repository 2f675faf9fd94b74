"""What a simulated system is made of: nodes on hosts, operations, and the calls between them. No behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

NodeKind = Literal["gateway", "service", "sidecar", "cron", "consumer", "database", "cache", "queue", "third_party"]
Language = Literal["java", "go", "node", "python", "dotnet", "other"]
BACKING: frozenset[NodeKind] = frozenset({"database", "cache", "queue", "third_party"})  # run no code of the team's


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A program, as many instances of it as there are, or a store or third party that services depend on.

    Attributes:
        product: what a backing node is (`postgresql`), empty of a service.
        address, port: where it answers.
        host: the number of the machine that its instances share with others.
        instances: how many run at the start.
        cores, threads: of one instance: processors, and requests that it serves at once.
        memory_mb: the limit of one instance.
    """

    name: str
    kind: NodeKind
    language: Language = "other"
    product: str = ""
    schema: str = ""
    address: str = ""
    port: int = 0
    host: int = 0
    instances: int = 1
    cores: float = 1.0
    threads: int = 50
    memory_mb: float = 512.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What a node serves.

    Attributes:
        own_ms, own_spread: mean of its own time without load, and the standard deviation of its logarithm.
        cpu_ms: processor time that a request takes.
        calls: numbers of the calls that it makes, in order.
        parallel: whether it makes them at once.
        failing, refusing: usual shares of requests that fail, and that are the client's own fault (4xx).
        weight: its share of outside traffic among all entry operations; 0 if only other services call it.
        every_s: seconds between the runs of a scheduled job; 0 of everything else.
    """

    node: int
    verb: str
    route: str
    own_ms: float
    own_spread: float
    cpu_ms: float
    calls: tuple[int, ...] = ()
    parallel: bool = False
    failing: float = 0.0
    refusing: float = 0.0
    weight: float = 0.0
    every_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One operation calls another.

    Attributes:
        caller, callee: numbers of operations; a callee's is always the larger.
        times, chance: how often, and with which probability, in one request.
        net_ms: what the way takes, there and back.
        timeout_s, retries: when the caller gives up, and how often it tries again.
        tolerated: whether the caller succeeds without it.
        breaker: whether the caller stops calling where most calls fail.
        deferred: whether it is a message that is handled later; the caller doesn't wait.
        spared_by: number of the call to a cache that makes this one needless on a hit.
        hits: of a call to a cache, how often it is a hit.
    """

    caller: int
    callee: int
    times: int = 1
    chance: float = 1.0
    net_ms: float = 0.5
    timeout_s: float = 10.0
    retries: int = 0
    tolerated: bool = False
    breaker: bool = False
    deferred: bool = False
    spared_by: int | None = None
    hits: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class System:
    """A whole system. Operations are in topological order: callees come after their callers.

    Attributes:
        pools: connections that a node keeps to a database, all instances together, by (caller, callee) node.
        entry_rate: requests a second from outside, in the mean.
    """

    nodes: tuple[Node, ...]
    operations: tuple[Operation, ...]
    calls: tuple[Call, ...]
    pools: dict[tuple[int, int], int]
    entry_rate: float
    hosts: int

    @cached_property
    def called_by(self) -> tuple[tuple[int, ...], ...]:
        """Numbers of the calls that end at each operation."""
        found: list[list[int]] = [[] for _ in self.operations]
        for number, call in enumerate(self.calls):
            found[call.callee].append(number)
        return tuple(map(tuple, found))

    @cached_property
    def operations_of(self) -> tuple[tuple[int, ...], ...]:
        """Numbers of the operations of each node."""
        found: list[list[int]] = [[] for _ in self.nodes]
        for number, operation in enumerate(self.operations):
            found[operation.node].append(number)
        return tuple(map(tuple, found))

    @cached_property
    def paths(self) -> dict[tuple[int, int], tuple[int, ...]]:
        """Numbers of the calls on each path, by (caller, callee) node."""
        found: dict[tuple[int, int], list[int]] = {}
        for number, call in enumerate(self.calls):
            key = self.operations[call.caller].node, self.operations[call.callee].node
            found.setdefault(key, []).append(number)
        return {key: tuple(numbers) for key, numbers in found.items()}

    @cached_property
    def entries(self) -> tuple[int, ...]:
        """Numbers of the operations that users reach."""
        return tuple(number for number, operation in enumerate(self.operations) if operation.weight > 0)

    def near(self, node: int) -> set[int]:
        """Nodes on the same host."""
        return {number for number, other in enumerate(self.nodes) if other.host == self.nodes[node].host}
