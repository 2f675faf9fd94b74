"""The part of OpenSLO v1 that can be done, as models: a key that is not here is refused by name.

Names of keys are OpenSLO's own, in its own spelling.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from watchkeeper.config_messages import follows as follows_from_items
from watchkeeper.config_values import Text

SECONDS: Final = {"m": 60, "h": 3600, "d": 86400, "w": 604800, "M": 30 * 86400, "Q": 90 * 86400, "Y": 365 * 86400}
LONGEST_S: Final = 90 * 86400  # of a window: counts of a quarter are 130,000 numbers an objective


def window_seconds(text: str) -> int:
    """OpenSLO's shorthand in seconds: m is minutes, M is months (of 30 days)."""
    match = re.fullmatch(r"([0-9]{1,9})([mhdwMQY])", text)
    if not match:
        raise ValueError(f"the duration {text!r} is not a number with m, h, d, w, M, Q or Y")
    seconds = int(match[1]) * SECONDS[match[2]]
    if not 3600 <= seconds <= LONGEST_S:
        raise ValueError(f"the window {text} must be from 1h to 90d")
    return seconds


def _duration(text: str) -> str:
    window_seconds(text)
    return text


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _true_is_no_number(cls, data: Any) -> Any:
        """YAML's yes and true are not targets."""
        if isinstance(data, dict) and any(isinstance(data.get(key), bool) for key in ("target", "targetPercent")):
            raise ValueError("the target must be a number")
        return data


class Metadata(_Part):
    """What a document is called. Labels and annotations are for other tools."""

    name: Annotated[Text, Field(max_length=48)]  # it is part of a finding's key, a column of 64
    displayName: str | None = None
    labels: Any = None
    annotations: Any = None


class WatchkeeperEvents(_Part):
    """Requests of a service, or of one of its operations."""

    service: Text
    operation: str = ""
    signal: Literal["calls", "successes", "errors"]


class MetricSource(_Part):
    """Where events are counted: only here."""

    type: Literal["watchkeeper"]
    spec: WatchkeeperEvents


class Metric(_Part):
    """One side of a ratio."""

    metricSource: MetricSource


class RatioMetric(_Part):
    """Good or bad events of all."""

    counter: bool = True
    good: Metric | None = None
    bad: Metric | None = None
    total: Metric

    @model_validator(mode="after")
    def _is_one_ratio(self) -> RatioMetric:
        if (self.good is None) == (self.bad is None):
            raise ValueError("needs good or bad, and not both")
        sides: Mapping[str, tuple[Metric | None, str]] = {
            "good": (self.good, "successes"),
            "bad": (self.bad, "errors"),
            "total": (self.total, "calls"),
        }
        for name, (metric, signal) in sides.items():
            if metric and metric.metricSource.spec.signal != signal:
                raise ValueError(f"{name}.metricSource.spec.signal must be {signal}")
        part, total = (self.good or self.bad or self.total).metricSource.spec, self.total.metricSource.spec
        if (part.service, part.operation) != (total.service, total.operation):
            raise ValueError("both sides must be of the same service and operation")
        return self


class Indicator(_Part):
    """What is measured: a ratio."""

    description: Any = None
    ratioMetric: RatioMetric

    def events(self) -> WatchkeeperEvents:
        """All events of the ratio."""
        return self.ratioMetric.total.metricSource.spec


class InlineSli(_Part):
    """An SLI inside an SLO."""

    metadata: Metadata | None = None
    spec: Indicator


class SliDocument(_Part):
    """An SLI of its own, for SLOs that name it."""

    apiVersion: str
    kind: str
    metadata: Metadata
    spec: Indicator


class TimeWindow(_Part):
    """A rolling window."""

    duration: Annotated[str, AfterValidator(_duration)]
    isRolling: Literal[True]

    def seconds(self) -> int:
        """How long it is."""
        return window_seconds(self.duration)


class Objective(_Part):
    """The share of good events that is promised."""

    displayName: Any = None
    target: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] | None = None
    targetPercent: Annotated[float, Field(gt=0, lt=100, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _has_one_target(self) -> Objective:
        if (self.target is None) == (self.targetPercent is None):
            raise ValueError("needs target or targetPercent, and not both")
        return self

    def share(self) -> float:
        """Above 0 and below 1."""
        return self.target if self.target is not None else round((self.targetPercent or 0.0) / 100, 12)


class SloSpec(_Part):
    """What is promised of what, over which window."""

    description: Any = None
    service: Text | None = None
    indicator: InlineSli | None = None
    indicatorRef: str | None = None
    timeWindow: Annotated[tuple[TimeWindow, ...], Field(min_length=1, max_length=1)]
    budgetingMethod: Literal["Occurrences"] = "Occurrences"
    objectives: Annotated[tuple[Objective, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _has_one_indicator(self) -> SloSpec:
        if (self.indicator is None) == (self.indicatorRef is None):
            raise ValueError("needs indicator or indicatorRef, and not both")
        return self


class SloDocument(_Part):
    """An SLO."""

    apiVersion: str
    kind: str
    metadata: Metadata
    spec: SloSpec


WORDS: Final = {
    "extra_forbidden": "is not supported, or no such key; remove it",
    "missing": "is required; add it",
    "model_type": "must hold keys and values",
    "tuple_type": "must be a list",
    "string_type": "must be text",
    "too_short": "must not be empty",
}
BY_KEY: Final = {
    "budgetingMethod": "only the budgetingMethod Occurrences is supported",
    "isRolling": "only rolling windows are supported (isRolling: true), no calendar",
    "timeWindow": "must be one rolling window",
    "type": "the metric source must be `watchkeeper`",
    "target": "must be above 0 and below 1 (99.9 % is target: 0.999, or targetPercent: 99.9)",
    "targetPercent": "must be above 0 and below 100",
}


def follows(error: Any, errors: Sequence[Any]) -> bool:
    """Whether a mistake only follows from others: in a list, or in the settings of a source that is not ours."""
    where = error["loc"]
    foreign = {other["loc"][:-1] for other in errors if other["loc"][-2:] == ("metricSource", "type")}
    return follows_from_items(error, errors) or any(where[: len(at) + 1] == (*at, "spec") for at in foreign)


def plain(error: Any) -> str:
    """A mistake in the words of somebody who edits an SLO."""
    last = error["loc"][-1] if error["loc"] else ""
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] in ("extra_forbidden", "missing"):
        return WORDS[error["type"]]
    message = BY_KEY.get(str(last)) or WORDS.get(error["type"]) or message
    found = error["input"]
    return message if isinstance(found, dict | list) else f"{message} (found {found!r:.80})"
