"""What is left of error budgets, for experiments that must not use them up."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from watchkeeper.errors import ChaosError
from watchkeeper.text import did_you_mean
from watchkeeper.vocabulary import Window

if TYPE_CHECKING:
    from datetime import datetime

    from chaos.toolkit.document import ExperimentFile
    from detectors.slo.openslo import Slo
    from watchkeeper.config import Config
    from watchkeeper.store.telemetry import Telemetry

# The probes that name an objective.
PROBES: Final = "chaos.toolkit.probes"
ABOUT_OBJECTIVES: Final = ("slo", "met")
SECOND: Final = timedelta(seconds=1)


def budgets_left(
    config: Config, telemetry: Telemetry, now: datetime, names: Collection[str] = ()
) -> dict[str, float | None]:
    """The share of each objective's error budget that is left: 1 untouched, below 0 overdrawn, None not measured.

    `names` chooses some of the objectives under `slo` in the configuration.

    Raises:
        ChaosError: an objective of `names` is not configured, or none is.
        StoreError: the store cannot be read.
    """
    # The one thing that experiments borrow from detection: what an objective is, and how its budget is counted.
    from detectors.slo.openslo import read

    objectives = {slo.name: slo for slo in read(config.slo)}
    if unknown := sorted(set(names) - set(objectives)):
        raise ChaosError(f"no objective {unknown[0]!r} under `slo`{did_you_mean(unknown[0], objectives)}")
    if not objectives:
        raise ChaosError("no objective is configured: name OpenSLO files under `slo`")
    return {name: _left(slo, telemetry, now) for name, slo in objectives.items() if not names or name in names}


def burn_rate(config: Config, telemetry: Telemetry, now: datetime, name: str, window_s: float) -> float | None:
    """How fast an objective's error budget burned in the last seconds; 1 uses it up exactly. None: no request.

    Raises:
        ChaosError: no objective of that name is configured.
        StoreError: the store cannot be read.
    """
    from detectors.slo.openslo import burned, read

    objectives = {slo.name: slo for slo in read(config.slo)}
    slo = objectives.get(name)
    if slo is None:
        raise ChaosError(f"no objective {name!r} under `slo`{did_you_mean(name, objectives)}")
    _, rate = burned(slo, telemetry.served, Window(start=now - timedelta(seconds=window_s), end=now + SECOND))
    return rate


def unknown_objectives(config: Config, experiment: ExperimentFile) -> Iterator[str]:
    """A line for each objective that an experiment names and that is not configured. Raises ConfigError."""
    from detectors.slo.openslo import read

    known = [slo.name for slo in read(config.slo)]
    named = [("abort.budgets", name) for name in experiment.extension.abort.budgets]
    for place, activity in experiment.activities():
        provider = activity.get("provider", {})
        if provider.get("module") == PROBES and provider.get("func") in ABOUT_OBJECTIVES:
            named.append((f"{place}: {activity.get('name')}", str((provider.get("arguments") or {}).get("objective"))))
    for where, name in named:
        if name not in known and "${" not in name:
            yield f"{experiment.source}: {where}: no objective {name!r} under `slo`{did_you_mean(name, known)}"


def budgets_by_service(config: Config, telemetry: Telemetry, now: datetime) -> dict[str, float]:
    """The smallest share that is left of each service's budgets, from 0 to 1; what is not measured is left out.

    Raises:
        StoreError: the store cannot be read.
    """
    from detectors.slo.openslo import read

    left: dict[str, float] = {}
    for slo in read(config.slo):
        share = _left(slo, telemetry, now)
        if share is not None:
            left[slo.service] = min(left.get(slo.service, 1.0), max(0.0, share))
    return left


def _left(slo: Slo, telemetry: Telemetry, now: datetime) -> float | None:
    window = Window(start=now - timedelta(seconds=slo.window_s), end=now + timedelta(seconds=1))
    served = telemetry.served(slo.service, slo.operation, window)
    total, bad = (float(sum(served[column].to_pylist())) for column in ("total", "bad"))
    return min(1.0, 1.0 - bad / (total * (1 - slo.target))) if total else None
