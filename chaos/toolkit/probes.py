"""Probes for experiments in Chaos Toolkit's format: `provider: {type: python, module: chaos.toolkit.probes}`.

Each returns a value for a tolerance. The environment variable WATCHKEEPER_CONFIG names the configuration file under
`chaos`, the tool; `watchkeeper chaos run` sets it.
"""

from __future__ import annotations

import time
from contextlib import closing

from chaos.experiment import LOOK_EVERY_S, STEADY_STATE, deviating
from chaos.objectives import budgets_left, burn_rate
from chaos.surroundings import Surroundings
from chaos.toolkit import stopping
from chaos.toolkit.guards import single_number
from watchkeeper.clock import SystemClock
from watchkeeper.errors import ChaosError
from watchkeeper.store.telemetry import Telemetry


def steady(within_s: float = 15.0, shop: str = "", config: str = "") -> bool:
    """Whether the target's customers are served well, twice in a row: at once, or within `within_s` seconds.

    Tolerance: `true`.
    """
    deadline = time.monotonic() + within_s
    well = 0
    with closing(Surroundings.from_environment(shop, config).target()) as target:
        while True:
            off = deviating(STEADY_STATE, target)
            well = 0 if off else well + 1
            if well == 2:
                return True
            if time.monotonic() > deadline or stopping.is_requested():
                return False
            stopping.wait(LOOK_EVERY_S)


def answers(service: str, timeout_s: float = 1.5, shop: str = "", config: str = "") -> float:
    """How many seconds one real request to a service took. A failed request is an error.

    Tolerance: a range, such as `{type: range, range: [0, 0.5]}`.
    """
    with closing(Surroundings.from_environment(shop, config).target()) as target:
        sample = target.probe(service, timeout_s=timeout_s)
    if not sample.ok:
        raise ChaosError(f"a request to {service} failed: {sample.reason or sample.status}")
    return sample.seconds


def query(sql: str, config: str = "") -> float:
    """The number that a query of the telemetry store gives; it can only read.

    Tolerance: a range.
    """
    return single_number(Telemetry.connect(Surroundings.from_environment("", config).config), sql)


def slo(objective: str, config: str = "") -> float:
    """The share of an objective's error budget that is left: 1 untouched, below 0 overdrawn.

    Tolerance: a range, such as `{type: range, range: [0.2, 1]}`. An objective without requests cannot be measured,
    which is an error.
    """
    settings = Surroundings.from_environment("", config).config
    left = budgets_left(settings, Telemetry.connect(settings), SystemClock().now(), (objective,))[objective]
    if left is None:
        raise ChaosError(f"the objective {objective} had no request in its window")
    return left


def met(objective: str, window_s: float = 60.0, within_s: float = 15.0, config: str = "") -> bool:
    """Whether an objective of the configuration is met over the last `window_s` seconds: at once, or within `within_s`.

    It is met while its error budget burns no faster than it lasts. Tolerance: `true`. An objective without requests
    cannot be measured, which is an error.
    """
    settings = Surroundings.from_environment("", config).config
    telemetry, deadline = Telemetry.connect(settings), time.monotonic() + within_s
    while True:
        rate = burn_rate(settings, telemetry, SystemClock().now(), objective, window_s)
        if rate is not None and rate <= 1:
            return True
        if time.monotonic() > deadline or stopping.is_requested():
            if rate is None:
                raise ChaosError(f"the objective {objective} had no request within {window_s:g} s")
            return False
        stopping.wait(LOOK_EVERY_S)
