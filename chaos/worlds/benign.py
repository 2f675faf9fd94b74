"""Harmless things that go on in a system: nobody must be paged for any of them."""

from __future__ import annotations

from typing import Final

import numpy as np

from chaos.worlds.physics import STEP_S
from chaos.worlds.recording import Event
from chaos.worlds.stage import Kind, Stage
from chaos.worlds.system import BACKING

MOST_OF_A_CALLER: Final = 0.25  # of a request's duration, that a service which comes or goes takes


def load_wave(stage: Stage) -> Event | None:
    """Traffic rises and falls again, smoothly."""
    length = stage.ends_s - stage.begins_s
    at = np.clip(stage.elapsed_s() / length, 0, 1)
    top = float(stage.rng.uniform(0.4, 1.2))
    for number in stage.system.entries:
        stage.act("traffic", ("op", number), 1 + top * np.sin(np.pi * at) ** 2)
    return stage.harmless(None, f"Traffic rises by up to {top:.0%}.")


def night(stage: Stage) -> Event | None:
    """Traffic falls for a while."""
    low = float(stage.rng.uniform(0.15, 0.6))
    for number in stage.system.entries:
        stage.act("traffic", ("op", number), 1 - (1 - low) * stage.shape(60.0))
    return stage.harmless(None, f"Traffic falls to {low:.0%}.")


def campaign(stage: Stage) -> Event | None:
    """One entry gets far more requests at once."""
    number = int(stage.rng.choice(stage.system.entries))
    times = float(stage.rng.uniform(1.5, 3))
    stage.act("traffic", ("op", number), 1 + (times - 1) * stage.shape(15.0))
    return stage.harmless(stage.system.operations[number].node, f"One operation gets {times:.1f} times the requests.")


def deploy(stage: Stage) -> Event | None:
    """A new version that is as good, with a few slow requests as it warms up; announced."""
    node = stage.service()
    if node is None:
        return None
    version = _release(stage, node)
    stage.announce("deploy", node, stage.begins_s, f"Deploy {version}", version)
    return stage.harmless(node, f"Version {version} is as good as the one before.")


def silent_deploy(stage: Stage) -> Event | None:
    """The same, and only resource attributes tell."""
    node = stage.service()
    if node is None:
        return None
    return stage.harmless(node, f"Version {_release(stage, node)} is as good as the one before.")


def _release(stage: Stage, node: int) -> str:
    stage.ends_s = min(stage.ends_s, stage.begins_s + 90)
    cold = stage.shape(0) * np.exp(-np.maximum(stage.elapsed_s(), 0) / 20)
    stage.act("slow", ("node", node), 1 + float(stage.rng.uniform(0.2, 1.5)) * cold)
    return stage.restart(node, stage.begins_s, deploy=True)


def restart(stage: Stage) -> Event | None:
    """One of several instances starts anew; the others serve meanwhile."""
    node = stage.pick(lambda number, node: node.instances > 1 and stage.instrumentation.habits[number] is not None)
    if node is None:
        return None
    stage.ends_s = min(stage.ends_s, stage.begins_s + 30)
    stage.act("instances", ("node", node), 1 - stage.shape(0) / stage.system.nodes[node].instances)
    stage.restart(node, stage.begins_s, deploy=False)
    return stage.harmless(node, "One instance starts anew.")


def cold_cache(stage: Stage) -> Event | None:
    """A cache is emptied and fills again."""
    paths = [path for path in stage.system.paths if stage.system.nodes[path[1]].kind == "cache"]
    if not paths:
        return None
    cache = paths[stage.rng.integers(len(paths))][1]
    stage.ends_s = min(stage.ends_s, stage.begins_s + 240)
    filling = stage.shape(0) * np.exp(-np.maximum(stage.elapsed_s(), 0) / 60)
    for path in paths:
        if path[1] == cache:
            stage.act("hits", ("path", *path), 1 - 0.8 * filling)
    return stage.harmless(cache, "A cache was emptied.")


def batch_job(stage: Stage) -> Event | None:
    """A job uses a database for some minutes, whose queries take a little longer."""
    node = stage.pick(lambda _, node: node.kind == "database")
    if node is None:
        return None
    able = stage.system.nodes[node].cores * stage.system.nodes[node].instances
    stage.act("cores", ("node", node), able * float(stage.rng.uniform(0.2, 0.5)) * stage.shape(0))
    stage.act("slow", ("node", node), 1 + float(stage.rng.uniform(0.1, 0.6)) * stage.shape(0))
    return stage.harmless(node, "A job reads much of a database.")


def garbage_collection(stage: Stage) -> Event | None:
    """A service pauses for some tenths of a second, now and then."""
    node = stage.service()
    if node is None:
        return None
    pause, share = float(stage.rng.uniform(50, 400)), float(stage.rng.uniform(0.01, 0.05))
    stage.slow(("node", node), pause, share, stage.shape(0))
    return stage.harmless(node, f"It pauses for {pause:.0f} ms, which {share:.0%} of its requests meet.")


def autoscaling(stage: Stage) -> Event | None:
    """A service gets more instances, or fewer that suffice."""
    node = stage.service()
    if node is None:
        return None
    instances = stage.system.nodes[node].instances
    after = max(1, instances + int(stage.rng.choice([-1, 1, 1, 2, 3])))
    stage.act("instances", ("node", node), 1 + (after / instances - 1) * stage.shape(0))
    stage.restart(node, stage.begins_s, deploy=False)
    return stage.harmless(node, f"It has {after} instances instead of {instances}.")


def new_service(stage: Stage) -> Event | None:
    """A service is called for the first time."""
    return _only(stage, before=False)


def retired_service(stage: Stage) -> Event | None:
    """A service is called no more."""
    return _only(stage, before=True)


def _only(stage: Stage, *, before: bool) -> Event | None:
    """Let a service be called before or after a second only; one that its callers hardly wait for."""
    system = stage.system
    slow = {
        system.operations[call.callee].node
        for number, call in enumerate(system.calls)
        if stage.usual.attempts[number].mean() * stage.usual.call_ok_ms[number].mean()
        > MOST_OF_A_CALLER * stage.usual.rate[call.caller].mean() * stage.usual.ok_ms[call.caller].mean()
    }
    entries = {system.operations[number].node for number in system.entries}
    node = stage.pick(
        lambda number, node: (
            node.kind == "service"
            and number not in entries
            and stage.instrumentation.habits[number] is not None
            and not any(system.operations[o].every_s for o in system.operations_of[number])
            and number not in slow
        )
    )
    if node is None:
        return None
    at = np.arange(stage.levers.buckets) * STEP_S
    called = (at < stage.begins_s) if before else (at >= stage.begins_s)
    for path in system.paths:
        if path[1] == node:
            stage.act("calls", ("path", *path), called.astype(np.float64))
    stage.ends_s = stage.begins_s + STEP_S
    return stage.harmless(node, "It is called no more." if before else "It is called for the first time.")


def renamed_operation(stage: Stage) -> Event | None:
    """An operation goes on under another name."""
    node = stage.service()
    if node is None:
        return None
    operation = stage.operation(node)
    stage.script.renamed[operation] = (stage.begins_s, stage.instrumentation.operation_name(operation) + ".v2")
    stage.restart(node, stage.begins_s, deploy=True)
    stage.ends_s = stage.begins_s + STEP_S
    return stage.harmless(node, "One of its operations has another name now.")


def client_errors(stage: Stage) -> Event | None:
    """Somebody sends requests that are refused with 401, 404 or 429."""
    number = int(stage.rng.choice(stage.system.entries))
    node, share = stage.system.operations[number].node, float(stage.rng.uniform(0.1, 0.5))
    habit = stage.instrumentation.habits[node]
    if habit is None or habit.strict:
        return None  # there, telemetry cannot tell it from failures
    stage.act("refuse_4xx", ("op", number), share * stage.shape(0))
    stage.act("traffic", ("op", number), 1 + share / (1 - share) * stage.shape(0))
    return stage.harmless(node, f"{share:.0%} of an operation's requests are the client's own fault.")


def tolerated_failure(stage: Stage) -> Event | None:
    """A callee fails whose callers succeed without it: a ticket, no page."""
    system = stage.system
    fallbacks = {
        system.operations[call.callee].node for call in system.calls if call.tolerated and not call.deferred
    } - {system.operations[call.callee].node for call in system.calls if not call.tolerated}
    known = stage.instrumentation.habits
    # Where a caller reports nothing, telemetry cannot tell whether it does without.
    unseen = {callee for caller, callee in system.paths if known[caller] is None}
    node = stage.pick(
        lambda number, node: (
            number in fallbacks - unseen
            and node.kind not in BACKING
            and stage.instrumentation.habits[number] is not None
        )
    )
    if node is None:
        return None
    share = float(stage.rng.uniform(0.2, 0.8))
    stage.act("fail", ("node", node), share * stage.shape(0))
    for caller in {caller for caller, callee in system.paths if callee == node}:
        stage.write_lines(caller, "WARN", f"{system.nodes[node].name} failed, the default is used (request #)", 0.3)
    return stage.harmless(node, f"{share:.0%} of its requests fail, and its callers do without.")


def config_change(stage: Stage) -> Event | None:
    """A change is announced that changes nothing that one could measure."""
    node = stage.service()
    if node is None:
        return None
    stage.announce("config", node, stage.begins_s, f"Limit {stage.rng.integers(100)} raised")
    stage.ends_s = stage.begins_s + STEP_S
    return stage.harmless(node, "A setting changed without effect.")


def chatty_logs(stage: Stage) -> Event | None:
    """A service begins to log a warning that nobody needs."""
    node = stage.service()
    if node is None:
        return None
    stage.write_lines(
        node, "WARN", "deprecated parameter # is still used by a client", float(stage.rng.uniform(0.05, 2))
    )
    return stage.harmless(node, "It logs a new warning.")


BENIGN: Final[dict[str, Kind]] = {
    "load wave": load_wave,
    "night": night,
    "campaign": campaign,
    "deploy": deploy,
    "silent deploy": silent_deploy,
    "restart": restart,
    "cold cache": cold_cache,
    "batch job": batch_job,
    "garbage collection": garbage_collection,
    "autoscaling": autoscaling,
    "new service": new_service,
    "retired service": retired_service,
    "renamed operation": renamed_operation,
    "client errors": client_errors,
    "tolerated failure": tolerated_failure,
    "config change": config_change,
    "chatty logs": chatty_logs,
}
