"""Faults inside one service: its code, its memory, its processors, its instances, its releases."""

from __future__ import annotations

from typing import Final

import numpy as np

from chaos.worlds.levers import Place
from chaos.worlds.physics import STEP_S
from chaos.worlds.recording import Event
from chaos.worlds.stage import Kind, Stage
from chaos.worlds.system import BACKING, F64, Node

FULL: Final = 0.45  # of its memory limit, an instance usually uses


def _scope(stage: Stage, node: int) -> Place:
    """The whole node, or one of its operations."""
    return ("node", node) if stage.rng.random() < 0.6 else ("op", stage.operation(node))


def latency(stage: Stage) -> Event | None:
    """A service takes longer."""
    node = stage.service()
    if node is None:
        return None
    ms, share = stage.log_uniform(150, 4000), stage.share()
    stage.slow(_scope(stage, node), ms, share, stage.shape())
    return stage.fault(node, "latency", f"{share:.0%} of its requests take {ms:.0f} ms longer.")


def jitter(stage: Stage) -> Event | None:
    """Some requests of a service take much longer, most don't."""
    node = stage.service()
    if node is None:
        return None
    ms, share = stage.log_uniform(500, 6000), float(stage.rng.uniform(0.1, 0.3))
    stage.slow(("node", node), ms, share, stage.shape())
    return stage.fault(node, "latency", f"{share:.0%} of its requests take {ms:.0f} ms longer.")


def errors(stage: Stage) -> Event | None:
    """A service's handlers fail."""
    node = stage.service()
    if node is None:
        return None
    share = float(stage.rng.uniform(0.15, 1.0))
    stage.act("fail", _scope(stage, node), share * stage.shape())
    stage.write_lines(node, "ERROR", "NullPointerException in handler: cannot read field #", 0.2)
    return stage.fault(node, "errors", f"{share:.0%} of its requests fail.")


def errors_before_routing(stage: Stage) -> Event | None:
    """A service fails before it has found a handler: a filter, a token check, a missing backend."""
    node = stage.service()
    if node is None:
        return None
    share = float(stage.rng.uniform(0.2, 1.0))
    stage.act("fail_early", ("node", node), share * stage.shape())
    stage.write_lines(node, "ERROR", "request filter failed: signing key # is not available", 0.3)
    return stage.fault(node, "errors", f"{share:.0%} of its requests fail before a handler is found.")


def crash(stage: Stage) -> Event | None:
    """A service's instances die and stay away, all or some of them."""
    node = stage.service()
    if node is None:
        return None
    instances = stage.system.nodes[node].instances
    if instances > 1 and stage.rng.random() < 0.35:
        # Until the balancer notices, connections to the dead one are refused.
        unnoticed = stage.shape(0) * (np.arange(stage.levers.buckets) * STEP_S < stage.begins_s + 30)
        stage.act("down", ("node", node), unnoticed / instances)
        stage.act("instances", ("node", node), 1 - stage.shape(0) / instances)
        return stage.fault(node, "killed", f"One of {instances} instances died.")
    stage.act("down", ("node", node), stage.shape(0))
    stage.restart(node, stage.ends_s, deploy=False)
    return stage.fault(node, "killed", "All of its instances died.")


def crash_loop(stage: Stage) -> Event | None:
    """A service dies again and again, shortly after each start."""
    node = stage.service()
    if node is None:
        return None
    period = float(stage.rng.uniform(25, 60))
    alive = float(stage.rng.uniform(0.1, 0.4))
    at = stage.elapsed_s()
    stage.act("down", ("node", node), stage.shape(0) * ((at % period) < period * (1 - alive)))
    for number in range(int((stage.ends_s - stage.begins_s) / period)):
        stage.restart(node, stage.begins_s + (number + 1 - alive) * period, deploy=False)
    stage.write_lines(node, "FATAL", "exit: configuration value # is missing", 1 / period)
    return stage.fault(node, "killed", f"It dies every {period:.0f} s and runs {alive:.0%} of the time.")


def hang(stage: Stage) -> Event | None:
    """A service's process no longer answers, but its port is open."""
    node = stage.service()
    if node is None:
        return None
    share = 1.0 if stage.rng.random() < 0.7 else float(stage.rng.uniform(0.3, 0.8))
    stage.act("mute", ("node", node), share * stage.shape(0))
    return stage.fault(node, "hung", f"{share:.0%} of its requests are never answered.")


def cpu(stage: Stage) -> Event | None:
    """Something in a service uses its processors up."""
    node = stage.service()
    if node is None:
        return None
    _burn(stage, node, stage.shape(), float(stage.rng.uniform(0.95, 1.1)))
    return stage.fault(node, "cpu", "A loop in it uses all of its processors.")


def _burn(stage: Stage, node: int, shape: F64, load: float) -> None:
    able = stage.system.nodes[node].cores * stage.system.nodes[node].instances
    stage.act("cores", ("node", node), able * np.maximum(load - stage.usual.busy[node], 0.0) * shape)
    # Time slices: what runs waits for its turn, however few requests there are.
    stage.act("slow", ("node", node), 1 + float(stage.rng.uniform(2, 8)) * shape)
    stage.slow(("node", node), stage.log_uniform(40, 400), 0.7, shape)


def stalled_caller(stage: Stage) -> Event | None:
    """A service's event loop or threads are busy, so that it takes every answer late: its callees look slow."""

    def fits(number: int, node: Node) -> bool:
        known = stage.instrumentation.habits[number]
        callees = {callee for caller, callee in stage.system.paths if caller == number}
        return known is not None and known.client_spans and len(callees) >= 2 and node.kind not in BACKING

    node = stage.pick(fits)
    if node is None:
        return None
    ms = stage.log_uniform(60, 600)
    shape = stage.shape()
    stage.act("stall_ms", ("node", node), ms * shape)
    able = stage.system.nodes[node].cores * stage.system.nodes[node].instances
    stage.act("cores", ("node", node), 0.6 * able * shape)
    return stage.fault(node, "cpu", f"It takes each answer {ms / 2:.0f} ms late.")


def memory_leak(stage: Stage) -> Event | None:
    """A service's memory grows until it is killed, starts anew, and grows again."""
    node = stage.service()
    if node is None:
        return None
    limit = stage.system.nodes[node].memory_mb
    fills = float(stage.rng.uniform(150, 420))
    at = stage.elapsed_s()
    within = stage.shape(0)
    dead = float(stage.rng.uniform(10, 25))
    phase = np.where(at >= 0, at % (fills + dead), 0.0)
    grown = np.clip(phase / fills, 0, 1)
    stage.act("memory_mb", ("node", node), within * np.where(phase < fills, grown * (1 - FULL) * limit, 0.0))
    stage.act("slow", ("node", node), 1 + within * 6 * np.clip((grown - 0.85) / 0.15, 0, 1) * (phase < fills))
    stage.act("down", ("node", node), within * (phase >= fills))
    killed = np.arange(stage.begins_s + fills, stage.ends_s, fills + dead)
    for when in killed.tolist():
        stage.restart(node, when + dead, deploy=False)
    limit_at = float(killed[0]) if len(killed) else stage.begins_s + fills
    return stage.fault(node, "memory", f"It leaks {limit * (1 - FULL) / fills:.1f} MB/s.", limit_at_s=limit_at)


def disk_full(stage: Stage) -> Event | None:
    """The disk of a service fills up; then it cannot write."""
    node = stage.pick(lambda number, node: node.kind not in BACKING and stage.instrumentation.measured(number))
    if node is None:
        node = stage.service()
    if node is None:
        return None
    fills = float(stage.rng.uniform(120, 400))
    at = stage.elapsed_s()
    within, share = stage.shape(0), float(stage.rng.uniform(0.4, 1.0))
    stage.act("disk", ("node", node), within * np.clip(at / fills, 0, 1))
    stage.act("fail", ("node", node), within * share * (at >= fills))
    stage.write_lines(node, "ERROR", "write failed: no space left on device", 0.3)
    return stage.fault(
        node, "errors", f"Its disk is full after {fills:.0f} s.", limit_at_s=min(stage.begins_s + fills, stage.ends_s)
    )


def _deploy(stage: Stage, *, announced: bool) -> Event | None:
    node = stage.service()
    if node is None:
        return None
    version = stage.restart(node, stage.begins_s, deploy=True)
    if announced:
        stage.announce("deploy", node, stage.begins_s, f"Deploy {version}", version)
    share = stage.share()
    harm = stage.rng.choice(["errors", "early", "latency", "cpu"])
    place = _scope(stage, node)
    if harm == "errors":
        stage.act("fail", place, share * stage.shape(0))
        stage.write_lines(node, "ERROR", "cannot map column # of result: unknown property", 0.3)
    elif harm == "early":
        stage.act("fail_early", place, share * stage.shape(0))
    elif harm == "latency":
        stage.slow(place, stage.log_uniform(150, 2500), share, stage.shape(0))
    else:
        _burn(stage, node, stage.shape(0), 0.98)
    # It ends with a roll-back: the version before, in a new process.
    stage.restart(node, stage.ends_s, deploy=False)
    return stage.fault(node, "deploy", f"Version {version} has {harm} in {share:.0%} of requests.")


def bad_deploy(stage: Stage) -> Event | None:
    """A new version of a service is worse, and its deploy was announced."""
    return _deploy(stage, announced=True)


def silent_bad_deploy(stage: Stage) -> Event | None:
    """A new version of a service is worse, and only its resource attributes say that it is new."""
    return _deploy(stage, announced=False)


def bad_flag(stage: Stage) -> Event | None:
    """A flag switches on code that fails or is slow, in one operation."""
    node = stage.service()
    if node is None:
        return None
    stage.announce("flag", node, stage.begins_s, f"Flag new-{stage.rng.integers(10, 99)}-flow switched on")
    operation, share = stage.operation(node), stage.share()
    if stage.rng.random() < 0.6:
        stage.act("fail", ("op", operation), share * stage.shape(0))
    else:
        stage.slow(("op", operation), stage.log_uniform(200, 3000), share, stage.shape(0))
    return stage.fault(node, "deploy", f"A flag does harm to {share:.0%} of one operation's requests.")


SERVICE_FAULTS: Final[dict[str, Kind]] = {
    "latency": latency,
    "jitter": jitter,
    "errors": errors,
    "errors before routing": errors_before_routing,
    "crash": crash,
    "crash loop": crash_loop,
    "hang": hang,
    "cpu": cpu,
    "stalled caller": stalled_caller,
    "memory leak": memory_leak,
    "disk full": disk_full,
    "bad deploy": bad_deploy,
    "silent bad deploy": silent_bad_deploy,
    "bad flag": bad_flag,
}
