"""OpenSLO v1 files to objectives: SLO documents, with their SLI inline or by name.

A ratio metric names its events by a metric source of the type `watchkeeper`:

    good (or bad) and total:
      metricSource: {type: watchkeeper, spec: {service: checkout, operation: "POST /orders", signal: calls}}

`signal` is `calls` (all), `successes` or `errors`; the operation may be left out. Everything that a file asks for and
that this reader cannot do is an error which names it: a silently ignored objective would be believed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from watchkeeper.errors import ConfigError

SECONDS: Final = {"m": 60, "h": 3600, "d": 86400, "w": 604800, "M": 30 * 86400, "Q": 90 * 86400, "Y": 365 * 86400}
LONGEST_S: Final = 90 * 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """One objective: the share of good events that is promised over a rolling window."""

    name: str
    title: str
    service: str
    operation: str
    target: float
    window_s: int

    def __post_init__(self) -> None:
        if not 0.0 < self.target < 1.0:
            raise ValueError(f"the target of {self.name} must be above 0 and below 1, not {self.target!r}")


def read(paths: Iterable[Path]) -> tuple[Slo, ...]:
    """Every objective of every file.

    Raises:
        ConfigError: a file cannot be read, or says what this reader cannot do.
    """
    found: list[Slo] = []
    for path in paths:
        try:
            documents = [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]
        except (OSError, yaml.YAMLError) as error:
            raise ConfigError(f"{path}: cannot be read as YAML: {error}") from error
        slis = {_name(one): one["spec"] for one in documents if isinstance(one, dict) and one.get("kind") == "SLI"}
        for document in documents:
            if not isinstance(document, dict) or document.get("apiVersion") != "openslo/v1":
                raise ConfigError(f"{path}: every document needs `apiVersion: openslo/v1`")
            if document.get("kind") == "SLO":
                try:
                    found += _objectives(document, slis)
                except (KeyError, TypeError, ValueError) as error:
                    raise ConfigError(f"{path}: SLO {_name(document)}: {_plain(error)}") from error
    names = [slo.name for slo in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"two objectives share the name {twice[0]!r}: rename one")
    return tuple(found)


def _objectives(document: Mapping[str, Any], slis: Mapping[str, Any]) -> list[Slo]:
    spec = document["spec"]
    if spec.get("budgetingMethod", "Occurrences") != "Occurrences":
        raise ValueError("only the budgetingMethod Occurrences is supported")
    windows = spec["timeWindow"]
    if len(windows) != 1 or not windows[0].get("isRolling", False):
        raise ValueError("timeWindow must be one rolling window (isRolling: true)")
    indicator = spec["indicator"]["spec"] if "indicator" in spec else slis[spec["indicatorRef"]]
    service, operation = _events(indicator)
    objectives = spec["objectives"]
    window_s = _duration(windows[0]["duration"])
    name = _name(document)
    title = str(document["metadata"].get("displayName") or name)
    return [
        Slo(
            name=name if len(objectives) == 1 else f"{name}:{i}",
            title=title,
            service=service,
            operation=operation,
            target=float(one["target"]) if "target" in one else float(one["targetPercent"]) / 100,
            window_s=window_s,
        )
        for i, one in enumerate(objectives)
    ]


def _events(indicator: Mapping[str, Any]) -> tuple[str, str]:
    """The service and operation that a ratio metric is about; both of its parts must be about the same."""
    ratio = indicator["ratioMetric"]
    part, signals = ("good", ("successes",)) if "good" in ratio else ("bad", ("errors",))
    places = []
    for name, allowed in ((part, signals), ("total", ("calls",))):
        source = ratio[name]["metricSource"]
        if source.get("type") != "watchkeeper":
            raise ValueError(f"{name}.metricSource.type must be `watchkeeper`, not {source.get('type')!r}")
        spec = source["spec"]
        if spec.get("signal") not in allowed:
            raise ValueError(f"{name}.metricSource.spec.signal must be {' or '.join(allowed)}")
        places.append((str(spec["service"]), str(spec.get("operation", ""))))
    if places[0] != places[1]:
        raise ValueError(f"{part} and total must be of the same service and operation")
    return places[0]


def _duration(text: str) -> int:
    """OpenSLO's shorthand in seconds: m is minutes, M is months (of 30 days)."""
    match = re.fullmatch(r"(\d+)([mhdwMQY])", str(text))
    if not match:
        raise ValueError(f"the duration {text!r} is not a number with m, h, d, w, M, Q or Y")
    seconds = int(match[1]) * SECONDS[match[2]]
    if not 3600 <= seconds <= LONGEST_S:
        raise ValueError(f"the window {text} must be from 1h to 90d")
    return seconds


def _name(document: Mapping[str, Any]) -> str:
    metadata = document.get("metadata")
    return str(metadata.get("name", "unnamed")) if isinstance(metadata, dict) else "unnamed"


def _plain(error: Exception) -> str:
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
