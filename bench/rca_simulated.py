"""Incidents of made-up systems that record metrics alone: what public packs of that kind look like, made at will.

Ten services, a call graph that is not recorded, seven metrics each, one fault whose effect its callers feel. Every
variant makes another thing hard. They are no benchmark of the real world: they show that nothing depends on names,
and that noisy or faint series don't fool the engine where the largest spread does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rca.case import F64, Case, Series

SERVICES = tuple(f"s{number}" for number in range(10))
FAULTS = ("latency", "errors", "cpu", "memory", "disk", "handles")
CALLS = {0: (1, 2, 3), 1: (4, 5), 2: (5, 6), 3: (7,), 6: (8,), 7: (9,)}
MEANINGFUL = {
    "cpu": "cpu_usage_percent",
    "memory": "memory_usage_bytes",
    "disk": "disk_written_bytes",
    "handles": "open_sockets",
    "latency": "latency_p90_seconds",
    "requests": "requests_per_second",
    "errors": "errors_per_second",
}
BLANK = {metric: f"m{number}" for number, metric in enumerate(MEANINGFUL)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What is hard. `noisy`: share of samples with a burst that has no meaning; `faint`: how strong faults are."""

    name: str
    before: int = 40
    after: int = 20
    step_s: float = 15.0
    noisy: float = 0.0
    faint: float = 1.0
    meaningful: bool = True


VARIANTS = (
    Variant(name="plain"),
    Variant(name="noisy", noisy=0.03),
    Variant(name="faint", faint=0.35),
    Variant(name="faint and noisy", faint=0.35, noisy=0.03),
    Variant(name="seven samples", before=3, after=4, step_s=300.0),
    Variant(name="meaningless names", meaningful=False),
)


def incidents(variant: Variant) -> Iterator[tuple[Case, str]]:
    """Sixty incidents with the name of the culprit: every fault in every service."""
    for kind, fault in enumerate(FAULTS):
        for culprit, name in enumerate(SERVICES):
            yield incident(variant, fault, culprit, seed=100 * kind + culprit), name


def incident(variant: Variant, fault: str, culprit: int, seed: int) -> Case:
    """One fault in one service. The same arguments give the same numbers."""
    dice = np.random.default_rng(seed)
    count, steps = len(SERVICES), variant.before + variant.after
    on = (np.arange(steps) >= variant.before) * variant.faint
    values = _calm(dice, count, steps)
    own = dice.lognormal(-4.5, 0.5, (count, 1)) * dice.lognormal(0, 0.1, (count, steps))
    match fault:
        case "latency":
            own[culprit] += on * 0.1
        case "errors":
            values["errors"][culprit] += on * 2.0
        case "cpu":
            values["cpu"][culprit] += on * 60.0
            own[culprit] *= 1 + on * 0.5
        case "memory":
            values["memory"][culprit] *= 1 + on * 0.8
        case "disk":
            values["disk"][culprit] += on * 300_000.0
        case _:
            values["handles"][culprit] += on * 150.0
    for caller in sorted(CALLS, reverse=True):
        for callee in CALLS[caller]:
            own[caller] = own[caller] + 0.8 * own[callee]
            values["errors"][caller] += 0.6 * values["errors"][callee]
    values["latency"] = own
    if variant.noisy:
        for metric, table in values.items():
            bursts = (dice.random(table.shape) < variant.noisy) * np.abs(dice.standard_t(1.5, table.shape))
            moved = dice.choice(count, 2, replace=False)  # services whose level happens to move at the onset
            shifted = table + bursts * 0.5 * np.median(table, axis=1, keepdims=True)
            shifted[moved] *= 1 + (on > 0) * dice.uniform(0.1, 0.4)
            values[metric] = shifted
    return _case(variant, f"{fault}-{culprit}", values, MEANINGFUL if variant.meaningful else BLANK)


def _calm(dice: np.random.Generator, count: int, steps: int) -> dict[str, F64]:
    shape = (count, steps)
    return {
        "cpu": dice.lognormal(2, 0.6, (count, 1)) * dice.lognormal(0, 0.1, shape),
        "memory": dice.lognormal(19, 0.5, (count, 1)) * (1 + 0.002 * np.cumsum(dice.normal(0, 1, shape), 1)),
        "disk": dice.lognormal(9, 1, (count, 1)) * dice.lognormal(0, 0.4, shape),
        "handles": np.round(dice.lognormal(3, 0.5, (count, 1)) * dice.lognormal(0, 0.05, shape)),
        "requests": 20 * dice.lognormal(0, 0.1, shape),
        "errors": np.zeros(shape),
    }


def _case(variant: Variant, name: str, values: dict[str, F64], names: dict[str, str]) -> Case:
    steps = variant.before + variant.after
    rows = [(service, metric) for metric in values for service in range(len(SERVICES))]
    return Case(
        id=name,
        onset=variant.before * variant.step_s,
        end=steps * variant.step_s,
        candidates=SERVICES,
        series=Series(
            time=np.tile(np.arange(steps) * variant.step_s, len(rows)),
            node=np.repeat(np.array([SERVICES[service] for service, _ in rows], dtype=object), steps),
            metric=np.repeat(np.array([names[metric] for _, metric in rows], dtype=object), steps),
            value=np.concatenate([values[metric][service] for service, metric in rows]),
        ),
    )
