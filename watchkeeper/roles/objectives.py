"""The objectives of the configuration, for runbooks: detection knows what they are, and remediation waits for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from detectors.slo.openslo import Slo, burned, read
from runbooks.library import load_runbooks
from runbooks.objectives import objective_mistakes
from runbooks.step import Burn
from watchkeeper.config import Config, ReadConfig
from watchkeeper.errors import ConfigError, RunbookError
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.text import did_you_mean
from watchkeeper.vocabulary import Window


def objectives_of(config: Config) -> dict[str, Slo]:
    """Every objective under `slo`, by name. Raises ConfigError where a file cannot be read."""
    return {slo.name: slo for slo in read(config.slo)}


def burn_rates(config: Config, telemetry: Telemetry) -> Callable[[str, float], Burn | None]:
    """How fast an objective's error budget burned in the last seconds; see `runbooks.step.Surroundings`."""

    def burn(name: str, window_s: float) -> Burn | None:
        known = objectives_of(config)
        slo = known.get(name)
        if slo is None:
            raise RunbookError(f"no objective {name!r} under `slo`{did_you_mean(name, known)}")
        end = datetime.now(UTC)
        window = Window(start=end - timedelta(seconds=window_s), end=end)
        requests, rate = burned(slo, telemetry.served, window)
        return None if rate is None else Burn(requests=requests, rate=rate)

    return burn


def runbook_objective_mistakes(file: ReadConfig) -> Iterator[str]:
    """Runbooks that wait for an objective that is not configured, a line each."""
    try:
        library, known = load_runbooks(file.config.runbooks.dir), objectives_of(file.config)
    except (RunbookError, ConfigError):
        return  # said by the checks of those files
    for line in objective_mistakes(library, known):
        yield f"{file.where('runbooks', 'dir')}: {line}"
