"""Draws a system: its services and what they depend on, who calls whom, and machines that suffice for its traffic."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, get_args

import numpy as np

from chaos.worlds.names import Namer
from chaos.worlds.system import BACKING, F64, Call, Language, Node, NodeKind, Operation, System

SMALLEST, LARGEST = 3, 80  # services in a system
SLOWEST, FASTEST = 0.05, 2000.0  # requests a second at all entry points
MOST_OF_A_REQUEST: Final = 12.0  # requests to one operation that one request from outside brings about
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
_DATABASES: Final = (("postgresql", 5432), ("mysql", 3306), ("mongodb", 27017), ("mssql", 1433), ("cassandra", 9042))
_CACHES: Final = (("redis", 6379), ("memcached", 11211))
_QUEUES: Final = (("kafka", 9092), ("rabbitmq", 5672), ("nats", 4222))
_TIMEOUTS_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0)


@dataclass(slots=True)
class _Op:
    node: int
    operation: Operation
    calls: list[tuple[_Op, Call]] = field(default_factory=list)


@dataclass(slots=True)
class _Draft:
    rng: np.random.Generator
    names: Namer
    nodes: list[Node] = field(default_factory=list)
    ops: list[_Op] = field(default_factory=list)

    def node(self, kind: NodeKind, product: tuple[str, int] = ("", 0)) -> int:
        name = self.names.service()
        self.nodes.append(
            Node(
                name=name,
                kind=kind,
                language=LANGUAGES[self.rng.choice(6, p=(0.27, 0.2, 0.2, 0.17, 0.11, 0.05))],
                product=product[0],
                schema=f"{self.names.thing()}s" if kind == "database" else "",
                address=self.names.host() if kind != "third_party" else f"api.{self.names.thing()}.example",
                port=product[1] or (443 if kind == "third_party" else int(self.rng.choice([80, 8080, 3000, 9000]))),
            )
        )
        return len(self.nodes) - 1

    def op(self, node: int, rpc: bool, own_ms: float, *, verb: str = "", route: str = "") -> _Op:
        rng = self.rng
        drawn = self.names.operation(rpc) if not route else (verb, route)
        while any(one.node == node and (one.operation.verb, one.operation.route) == drawn for one in self.ops):
            drawn = self.names.operation(rpc)
        quiet = self.nodes[node].kind in BACKING
        self.ops.append(
            _Op(
                node,
                Operation(
                    node=node,
                    verb=drawn[0],
                    route=drawn[1],
                    own_ms=own_ms,
                    own_spread=float(rng.uniform(0.3, 0.9)),
                    cpu_ms=0.3 * own_ms if not quiet else 0.15 * own_ms,
                    parallel=bool(rng.random() < 0.25),
                    failing=float(10 ** rng.uniform(-5, -2.5)) if rng.random() < 0.6 else 0.0,
                    refusing=float(10 ** rng.uniform(-3, -1)) if rng.random() < 0.3 and not quiet else 0.0,
                ),
            )
        )
        return self.ops[-1]

    def call(self, caller: _Op, callee: _Op, **more: object) -> None:
        rng = self.rng
        backing = self.nodes[callee.node].kind in BACKING
        drawn: dict[str, object] = {
            "times": int(rng.choice([1, 1, 1, 1, 2, 3])) if backing else 1,
            "chance": 1.0 if rng.random() < 0.6 else float(rng.uniform(0.2, 0.95)),
            "net_ms": float(rng.uniform(0.1, 1.5)),
            "timeout_s": float(rng.choice(_TIMEOUTS_S, p=(0.15, 0.2, 0.25, 0.25, 0.15))),
            "retries": int(rng.choice([0, 0, 0, 1, 2])) if not backing else int(rng.random() < 0.15),
            "tolerated": bool(rng.random() < 0.05),
            "breaker": bool(rng.random() < 0.12),
        }
        caller.calls.append((callee, Call(caller=0, callee=0, **(drawn | more))))  # type: ignore[arg-type]


def draw_system(rng: np.random.Generator) -> System:
    """Draw a system of 3 to 80 nodes; smaller ones are more frequent."""
    size = round(float(np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST)))))
    draft = _Draft(rng, Namer(rng))
    backing = round(size * rng.uniform(0.15, 0.4)) if size > 3 else int(rng.random() < 0.5)
    layers = _services(draft, max(size - backing, 2))
    _backing(draft, layers, backing)
    _side_operations(draft)
    rate = float(np.exp(rng.uniform(np.log(SLOWEST), np.log(FASTEST))))
    return _sized(rng, draft, _ordered(draft.ops), rate)


def _services(draft: _Draft, count: int) -> list[list[_Op]]:
    """Draw services in layers, each called by those above it, and return the layers' operations."""
    rng = draft.rng
    style = ("chain", "fan-out", "layers", "diamonds")[rng.choice(4, p=(0.2, 0.2, 0.35, 0.25))]
    depth = {"chain": min(count, 7), "fan-out": min(count, 3)}.get(style, min(count, int(rng.integers(3, 7))))
    gateway = count >= 4 and rng.random() < 0.45
    first = 1 if gateway or count < 6 else int(rng.integers(1, min(4, count // 3) + 1))
    widths = [first] + [0] * (depth - 1)
    for index in range(count - first):
        widths[1 + index % max(depth - 1, 1)] += 1
    layers: list[list[_Op]] = []
    for level, width in enumerate(widths):
        layer: list[_Op] = []
        for _ in range(width):
            kind: NodeKind = "gateway" if gateway and level == 0 else "service"
            node = draft.node(kind)
            rpc = bool(rng.random() < 0.3) and level > 0
            own = float(np.exp(rng.normal(np.log(4.0), 0.9)))
            ops = [draft.op(node, rpc, own * rng.uniform(0.5, 2)) for _ in range(int(rng.integers(1, 5)))]
            if level:
                _connect(draft, layers, ops, style)
            layer += ops
        layers.append(layer)
    return layers


def _connect(draft: _Draft, layers: list[list[_Op]], ops: list[_Op], style: str) -> None:
    """Give each of a service's operations callers in the layers above it, behind a sidecar now and then."""
    rng = draft.rng
    if rng.random() < 0.06:
        proxy = draft.node("sidecar")
        fronts = [draft.op(proxy, False, 0.4, verb=op.operation.verb, route=op.operation.route) for op in ops]
        for front, op in zip(fronts, ops, strict=True):
            draft.call(front, op, chance=1.0, net_ms=0.1, retries=0, tolerated=False, timeout_s=30.0)
        ops = fronts
    # Some services are a luxury: all of their callers can do without.
    luxury: dict[str, object] = {"tolerated": True} if rng.random() < 0.12 else {}
    most = {"chain": 1, "fan-out": 1, "layers": 2, "diamonds": 3}[style]
    for op in ops:
        for _ in range(int(rng.integers(1, most + 1))):
            above = layers[-1] if rng.random() < 0.85 else layers[rng.integers(len(layers))]
            free = [one for one in above if len(one.calls) < 8] or above
            # The least busy half: so no operation is without calls for long.
            free.sort(key=lambda one: len(one.calls))
            caller = free[rng.integers(max(len(free) // 2, 1))]
            if all(callee is not op for callee, _ in caller.calls):
                draft.call(caller, op, **luxury)


def _backing(draft: _Draft, layers: list[list[_Op]], count: int) -> None:
    """Draw what services depend on: databases, caches, queues with consumers, third parties; scheduled jobs."""
    rng = draft.rng
    services = [op for layer in layers for op in layer]
    inner = [op for layer in layers[1:] for op in layer] or services
    stores: list[_Op] = []
    for index in range(count):
        kind: NodeKind = "database"
        if index:
            kinds: tuple[NodeKind, ...] = ("database", "cache", "queue", "third_party", "cron")
            kind = kinds[rng.choice(5, p=(0.35, 0.22, 0.18, 0.18, 0.07))]
        if kind == "database":
            node = draft.node(kind, _DATABASES[rng.choice(5, p=(0.45, 0.2, 0.2, 0.08, 0.07))])
            store = draft.op(node, False, float(rng.uniform(0.8, 8)), verb="query", route=draft.nodes[node].schema)
            stores.append(store)
            # A shared one has many callers.
            for op in _some(rng, inner, 0.15 if rng.random() < 0.5 else 0.6):
                draft.call(op, store)
        elif kind == "cache":
            node = draft.node(kind, _CACHES[int(rng.random() < 0.2)])
            cache = draft.op(node, False, float(rng.uniform(0.2, 1)), verb="get", route="keys")
            for op in _some(rng, inner, 0.3):
                _cache(draft, op, cache)
        elif kind == "queue":
            _queue(draft, _some(rng, services, 0.15), stores)
        elif kind == "third_party":
            node = draft.node(kind)
            for op in _some(rng, inner, 0.08):
                there = draft.op(node, False, float(rng.uniform(30, 300)))
                draft.call(op, there, chance=float(rng.uniform(0.2, 1)), times=1, net_ms=float(rng.uniform(5, 40)))
        else:
            node = draft.node("cron")
            job = draft.op(node, False, float(rng.uniform(20, 400)), verb="run", route=draft.names.topic())
            job.operation = replace(job.operation, every_s=float(rng.choice([60, 120, 300, 600])), refusing=0.0)
            for op in _some(rng, [*stores, *inner], 0.1):
                draft.call(job, op, times=int(rng.integers(1, 20)), chance=1.0)


def _some(rng: np.random.Generator, ops: list[_Op], share: float) -> list[_Op]:
    chosen = [op for op in ops if rng.random() < share and len(op.calls) < 10]
    return chosen or [ops[rng.integers(len(ops))]]


def _cache(draft: _Draft, op: _Op, cache: _Op) -> None:
    """Let a call to a cache come before the first call to a database, which a hit makes needless."""
    at = next((i for i, (to, _) in enumerate(op.calls) if draft.nodes[to.node].kind == "database"), None)
    draft.call(op, cache, times=1, chance=1.0, tolerated=True, retries=0, hits=float(draft.rng.uniform(0.6, 0.97)))
    if at is not None:
        entry = op.calls.pop()
        op.calls.insert(at, entry)
        to, call = op.calls[at + 1]
        op.calls[at + 1] = (to, replace(call, spared_by=-1))  # the call just before it


def _queue(draft: _Draft, publishers: list[_Op], stores: list[_Op]) -> None:
    """A queue, those that publish to it, and a consumer that writes to a store."""
    rng = draft.rng
    node = draft.node("queue", _QUEUES[rng.choice(3, p=(0.5, 0.35, 0.15))])
    topic = draft.op(node, False, float(rng.uniform(0.5, 3)), verb="publish", route=draft.names.topic())
    for op in publishers:
        draft.call(op, topic, times=1)
    for _ in range(int(rng.integers(1, 3))):
        consumer = draft.node("consumer")
        handler = draft.op(consumer, False, float(rng.uniform(3, 40)), verb="process", route=topic.operation.route)
        draft.call(topic, handler, deferred=True, chance=1.0, times=1, net_ms=1.0, retries=0, tolerated=True)
        if stores:
            draft.call(handler, stores[rng.integers(len(stores))])


def _side_operations(draft: _Draft) -> None:
    """Operations that users never reach: health checks, streams that stay open, probes that are meant to fail."""
    rng = draft.rng
    for node in [number for number, node in enumerate(draft.nodes) if node.kind == "service"]:
        if rng.random() < 0.4:
            path = ("/healthz", "/health", "/ready", "/ping", "/actuator/health")[rng.integers(5)]
            health = draft.op(node, False, float(rng.uniform(0.3, 2)), verb="GET", route=path)
            health.operation = replace(
                health.operation, every_s=float(rng.choice([1, 2, 5, 10])), failing=0.0, refusing=0.0
            )
        if rng.random() < 0.06:
            stream = draft.op(node, False, float(rng.uniform(8_000, 30_000)), verb="GET", route="/stream/{topic}")
            stream.operation = replace(stream.operation, every_s=float(rng.uniform(0.5, 10)), cpu_ms=1.0, failing=0.0)
        if rng.random() < 0.06:
            probe = draft.op(node, False, 3.0, verb="POST", route="/selftest/fault")
            probe.operation = replace(probe.operation, every_s=float(rng.uniform(2, 20)), failing=0.97)


def _ordered(ops: list[_Op]) -> list[_Op]:
    """Operations so that callees come after their callers."""
    waiting = {id(op): 0 for op in ops}
    for op in ops:
        for callee, _ in op.calls:
            waiting[id(callee)] += 1
    ready = [op for op in ops if not waiting[id(op)]]
    found: list[_Op] = []
    while ready:
        op = ready.pop(0)
        found.append(op)
        for callee, _ in op.calls:
            waiting[id(callee)] -= 1
            if not waiting[id(callee)]:
                ready.append(callee)
    return found


def _sized(rng: np.random.Generator, draft: _Draft, ops: list[_Op], rate: float) -> System:
    """Number everything, keep requests from multiplying without bound, and give each node what its load needs."""
    number = {id(op): index for index, op in enumerate(ops)}
    first = next(op.node for op in ops if draft.nodes[op.node].kind in ("gateway", "service"))
    called = {id(callee) for op in ops for callee, _ in op.calls}
    users = [op for op in ops if id(op) not in called and not op.operation.every_s]
    users = users or [op for op in ops if op.node == first]
    weights = rng.dirichlet(np.full(len(users), 0.8)) + 0.02
    for op, weight in zip(users, (weights / weights.sum()).tolist(), strict=True):
        op.operation = replace(op.operation, weight=weight)
    rates = np.array(
        [rate * op.operation.weight + (1 / op.operation.every_s if op.operation.every_s else 0) for op in ops]
    )
    calls: list[Call] = []
    for index, op in enumerate(ops):
        own: list[int] = []
        for callee, call in op.calls:
            to = number[id(callee)]
            spared = len(calls) - 1 if call.spared_by is not None else None
            missed = 1 - calls[spared].hits if spared is not None else 1.0
            times, chance = call.times, call.chance
            total = rates[to] + rates[index] * times * chance * missed
            # No operation serves hundreds of calls for each user's request.
            most = MOST_OF_A_REQUEST * max(rate, 0.2)
            if total > most:
                times, chance = 1, float(np.clip(chance * most / total / 4, 0.02, 1))
            rates[to] += rates[index] * times * chance * missed
            own.append(len(calls))
            calls.append(replace(call, caller=index, callee=to, times=times, chance=chance, spared_by=spared))
        op.operation = replace(op.operation, calls=tuple(own))
    operations = tuple(op.operation for op in ops)
    base = _base_latency(operations, calls)
    calls = [replace(call, timeout_s=_timeout(call, float(base[call.callee]))) for call in calls]
    nodes, hosts = _machines(rng, draft.nodes, operations, rates, base)
    return System(
        nodes=nodes,
        operations=operations,
        calls=tuple(calls),
        pools=_pools(rng, nodes, operations, calls, rates, base),
        entry_rate=rate,
        hosts=hosts,
    )


def _base_latency(operations: tuple[Operation, ...], calls: list[Call]) -> F64:
    """Roughly how long each operation takes, in ms: own time and that of all its calls."""
    base = np.zeros(len(operations))
    for index in range(len(operations) - 1, -1, -1):
        own = [calls[number] for number in operations[index].calls if not calls[number].deferred]
        base[index] = operations[index].own_ms + sum(c.times * c.chance * (base[c.callee] + c.net_ms) for c in own)
    return base


def _timeout(call: Call, base_ms: float) -> float:
    """The time-out that was drawn, or the next longer one that usual calls hardly ever reach."""
    return next((t for t in _TIMEOUTS_S if t >= call.timeout_s and t * 1000 > 12 * base_ms), 60.0)


def _machines(
    rng: np.random.Generator,
    nodes: list[Node],
    operations: tuple[Operation, ...],
    rates: F64,
    base: F64,
) -> tuple[tuple[Node, ...], int]:
    """Give each node processors, threads, memory and a host, so that usual load leaves room."""
    own_host = sum(node.kind in BACKING for node in nodes)
    shared = max(1, round((len(nodes) - own_host) / rng.uniform(2, 6)))
    sized: list[Node] = []
    for index, node in enumerate(nodes):
        ops = [number for number, operation in enumerate(operations) if operation.node == index]
        demand = sum(rates[number] * operations[number].cpu_ms / 1000 for number in ops)
        held = sum(rates[number] * base[number] / 1000 for number in ops)
        cores = float(rng.choice([1, 2, 4] if node.kind not in BACKING else [4, 8, 16]))
        instances = max(1, int(np.ceil(demand / (cores * rng.uniform(0.08, 0.25)))))
        if node.kind not in BACKING and instances < 3 and rng.random() < 0.5:
            instances = int(rng.integers(2, 4))
        # An event loop and green threads hold far more requests at once than threads of the system do.
        light = node.language in ("go", "node")
        fewest = int(rng.choice([16, 32, 64, 200])) * (40 if light else 1)
        threads = int(max(fewest, np.ceil((100 if light else 10) * held / instances)))
        sized.append(
            replace(
                node,
                host=shared + index if node.kind in BACKING else int(rng.integers(shared)),
                instances=instances,
                cores=cores,
                threads=threads,
                memory_mb=float(rng.choice([256, 512, 1024, 2048, 4096])),
            )
        )
    return tuple(sized), shared + len(nodes)


def _pools(
    rng: np.random.Generator,
    nodes: tuple[Node, ...],
    operations: tuple[Operation, ...],
    calls: list[Call],
    rates: F64,
    base: F64,
) -> dict[tuple[int, int], int]:
    """Connections that each node keeps to each database: at least four times as many as it uses."""
    used: dict[tuple[int, int], float] = {}
    for call in calls:
        caller, callee = operations[call.caller].node, operations[call.callee].node
        if nodes[callee].kind == "database":
            held = rates[call.caller] * call.times * call.chance * (base[call.callee] + call.net_ms) / 1000
            used[caller, callee] = used.get((caller, callee), 0.0) + held
    return {
        path: int(max(nodes[path[0]].instances * rng.choice([5, 10, 20]), np.ceil(4 * held)))
        for path, held in used.items()
    }
