"""Faults that lie between services or below them: paths, stores, queues, hosts, third parties, crowds."""

from __future__ import annotations

from typing import Final

import numpy as np

from chaos.worlds.physics import STEP_S
from chaos.worlds.recording import Event
from chaos.worlds.stage import Kind, Stage
from watchkeeper.vocabulary import Mechanism


def slow_dependency(stage: Stage) -> Event | None:
    """A store or third party is slow for everybody who calls it; it reports nothing itself."""
    node = stage.backing("database", "cache", "third_party")
    if node is None:
        return None
    ms, share = stage.log_uniform(100, 3000), stage.share()
    stage.slow(("node", node), ms, share, stage.shape())
    return stage.fault(node, _mechanism(stage, node, "latency"), f"{share:.0%} of calls to it take {ms:.0f} ms longer.")


def failing_dependency(stage: Stage) -> Event | None:
    """A store or third party fails for everybody who calls it."""
    node = stage.backing("database", "cache", "third_party", "queue")
    if node is None:
        return None
    share = float(stage.rng.uniform(0.2, 1.0))
    stage.act("fail", ("node", node), share * stage.shape())
    return stage.fault(node, _mechanism(stage, node, "errors"), f"{share:.0%} of calls to it fail.")


def dead_dependency(stage: Stage) -> Event | None:
    """A store or broker is down: connections are refused, or never answered."""
    node = stage.backing("database", "cache", "queue")
    if node is None:
        return None
    hangs = stage.rng.random() < 0.4
    stage.act("mute" if hangs else "down", ("node", node), stage.shape(0))
    return stage.fault(node, "hung" if hangs else "killed", "It never answers." if hangs else "It refuses connections.")


def _mechanism(stage: Stage, node: int, other: Mechanism) -> Mechanism:
    return "database" if stage.system.nodes[node].kind == "database" else other


def lock(stage: Stage) -> Event | None:
    """A lock in a database makes some queries wait for seconds."""
    node = stage.backing("database")
    if node is None:
        return None
    ms, share = stage.log_uniform(800, 8000), float(stage.rng.uniform(0.3, 0.9))
    stage.slow(("node", node), ms, share, stage.shape(0))
    return stage.fault(node, "database", f"{share:.0%} of queries wait {ms:.0f} ms for a lock.")


def exhausted_pool(stage: Stage) -> Event | None:
    """A service does not give back its connections to a database, until none is left."""
    path = stage.path(lambda caller, callee: (caller, callee) in stage.system.pools)
    if path is None:
        return None
    caller, callee = path
    shape = stage.shape(float(stage.rng.uniform(20, 180)))
    used = float(np.nan_to_num(stage.usual.pool_used[path]).mean()) / stage.system.pools[path]
    stage.act("leaked", ("path", *path), np.minimum(shape * 1.02, 1 - used * float(stage.rng.uniform(0.0, 0.5))))
    stage.act("leaked", ("path", *path), np.where(shape >= 0.98, 0.99, 0.0))
    stage.write_lines(caller, "ERROR", "timed out waiting for a connection from the pool after # ms", 0.3)
    full = stage.begins_s + float(np.count_nonzero((shape > 0) & (shape < 0.98))) * STEP_S
    return stage.fault(caller, "database", "It leaks its connections to the database.", [callee], full)


def partition(stage: Stage) -> Event | None:
    """Nothing comes through between a caller and a callee."""
    path = stage.path()
    if path is None:
        return None
    share = 1.0 if stage.rng.random() < 0.6 else float(stage.rng.uniform(0.4, 0.9))
    stage.act("mute", ("path", *path), share * stage.shape(0))
    return stage.fault(path[1], "network", f"{share:.0%} of calls on the path are lost.", [path[0]])


def packet_loss(stage: Stage) -> Event | None:
    """Packets are lost on a path, so that some calls wait for another try and a few never come through."""
    path = stage.path()
    if path is None:
        return None
    loss = float(stage.rng.uniform(0.1, 0.5))
    stage.slow(("path", *path), stage.log_uniform(200, 1500), min(2 * loss, 0.9), stage.shape())
    stage.act("mute", ("path", *path), loss**3 * stage.shape())
    return stage.fault(path[1], "network", f"{loss:.0%} of packets on the path are lost.", [path[0]])


def dns(stage: Stage) -> Event | None:
    """A caller cannot resolve a callee's name, or only after seconds."""
    path = stage.path()
    if path is None:
        return None
    share = stage.share()
    slow = stage.rng.random() < 0.4
    if slow:
        stage.slow(("path", *path), float(stage.rng.choice([2500.0, 5000.0])), share, stage.shape(0))
    else:
        stage.act("down", ("path", *path), share * stage.shape(0))
        stage.write_lines(path[0], "ERROR", f"lookup {stage.system.nodes[path[1]].address}: no such host", 0.3)
    return stage.fault(path[1], "network", f"Its name {'resolves late' if slow else 'is unknown'}.", [path[0]])


def expired_certificate(stage: Stage) -> Event | None:
    """A callee's certificate expires: connections are refused from then on, as the open ones end."""
    path = stage.path()
    if path is None:
        return None
    callee = path[1]
    shape = stage.shape(float(stage.rng.choice([0.0, 60.0, 150.0])))
    callers = [caller for caller, other in stage.system.paths if other == callee]
    for caller in callers:
        stage.act("down", ("path", caller, callee), shape)
        stage.write_lines(caller, "ERROR", "tls: failed to verify certificate: certificate has expired at #", 0.2)
    return stage.fault(
        callee, "network", "Its certificate expired.", callers if len(callers) == 1 else (), stage.begins_s
    )


def poison_message(stage: Stage) -> Event | None:
    """A message that its consumer cannot handle comes back again and again."""
    node = stage.pick(lambda number, node: node.kind == "consumer" and stage.instrumentation.habits[number] is not None)
    if node is None:
        return None
    share = float(stage.rng.uniform(0.3, 1.0))
    stage.act("fail", ("node", node), share * stage.shape(0))
    for path in stage.system.paths:
        if path[1] == node:
            stage.act("calls", ("path", *path), 1 + share * stage.shape(0))
    stage.write_lines(node, "ERROR", "cannot deserialize message at offset #, it is delivered again", 0.5)
    return stage.fault(node, "errors", f"{share:.0%} of deliveries fail and are repeated.")


def stalled_consumer(stage: Stage) -> Event | None:
    """A consumer no longer takes messages; its queue fills."""
    node = stage.pick(lambda number, node: node.kind == "consumer" and stage.instrumentation.habits[number] is not None)
    if node is None:
        return None
    stage.act("mute", ("node", node), stage.shape(0))
    return stage.fault(node, "hung", "It takes no message.")


def thundering_herd(stage: Stage) -> Event | None:
    """Far more users come at once than the system can serve."""
    system, usual = stage.system, stage.usual
    node = system.operations[stage.rng.choice(system.entries)].node
    if not stage.instrumentation.callee_names(node):
        return None
    busiest = float(usual.busy.mean(axis=1).max())
    held = usual.held.mean(axis=1) / np.array([n.threads * n.instances for n in system.nodes])
    room = max(busiest, float(held.max()), 1e-9)
    times = float(stage.rng.uniform(1.2, 2.0)) / room
    if times > 60:
        return None  # nobody has so many users
    for number in system.entries:
        stage.act("traffic", ("op", number), 1 + (times - 1) * stage.shape(10.0))
    full = int(np.argmax(np.maximum(usual.busy.mean(axis=1), held)))
    entries = {system.operations[number].node for number in system.entries}
    return stage.fault(node, "traffic", f"{times:.1f} times as many requests come.", [full, *sorted(entries)])


def noisy_neighbour(stage: Stage) -> Event | None:
    """Something else on a host takes its processors."""
    node = stage.service()
    if node is None:
        return None
    shape, stolen = stage.shape(), float(stage.rng.uniform(0.5, 0.9))
    host = stage.system.nodes[node].host
    near = sorted(stage.system.near(node))
    room = sum(stage.system.nodes[number].cores * stage.system.nodes[number].instances for number in near)
    stage.act("cores", ("host", host), 2 * max(room, 2.0) * shape)
    times, ms = float(stage.rng.uniform(2, 6)), stage.log_uniform(40, 500)
    for number in near:
        stage.act("stolen", ("node", number), stolen * shape)
        stage.act("slow", ("node", number), 1 + times * shape)
        stage.slow(("node", number), ms, 0.6, shape)
    return stage.fault(node, "cpu", "Another program uses up the processors of its host.", near)


SHARED_FAULTS: Final[dict[str, Kind]] = {
    "slow dependency": slow_dependency,
    "failing dependency": failing_dependency,
    "dead dependency": dead_dependency,
    "lock": lock,
    "exhausted pool": exhausted_pool,
    "partition": partition,
    "packet loss": packet_loss,
    "dns": dns,
    "expired certificate": expired_certificate,
    "poison message": poison_message,
    "stalled consumer": stalled_consumer,
    "thundering herd": thundering_herd,
    "noisy neighbour": noisy_neighbour,
}
