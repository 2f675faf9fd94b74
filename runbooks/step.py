"""What every step is: a plan in words, a run, and an undo where there is one.

    Step        one verb without inputs: `- restart`
    TypedStep   validated inputs of its own: `- scale: {to: 4, back_to: 2}`

Runbooks name both in the same way; `runbooks.bound` makes them one for whoever carries them out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel, ConfigDict

from watchkeeper.errors import RunbookError
from watchkeeper.target import ServiceStatus, Target
from watchkeeper.vocabulary import Actor

YES: Final = "yes"
NO: Final = "no"
# Stands for whoever did not answer in time, where the runbook says which answer that counts as.
NOBODY: Final = Actor(name="nobody", via="system")


class Step(Protocol):
    """One verb against one service. `run` does its work once for each key."""

    @property
    def needs(self) -> frozenset[str]:
        """The verbs that the target must take for the service."""
        ...

    def plan(self, service: str, status: ServiceStatus | None) -> str:
        """Describe what `run` would do. Pure: it touches nothing. `status` is None while it is unknown."""
        ...

    def run(self, target: Target, service: str, key: str) -> str:
        """Do it, and describe what was done. Raises RunbookError or TargetError."""
        ...


@runtime_checkable
class Undoable(Step, Protocol):
    """A step that a machine can take back. One that cannot has no `undo`: a human looks."""

    def undo(self, target: Target, service: str, key: str) -> str:
        """Take it back, once for each key, and describe that. Raises RunbookError or TargetError."""
        ...


class Inputs(BaseModel):
    """What a typed step takes; an unknown key is an error. Texts may hold `{service}` and other placeholders."""

    model_config = ConfigDict(frozen=True, extra="forbid")


G = TypeVar("G", bound=Inputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A step did its work. Later steps and conditions can use `outputs`, as `{outputs.<id>.<name>}`."""

    text: str
    outputs: Mapping[str, str | int | float | bool] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """What a step waits for is not there yet: ask it again after `again_s` seconds. Nobody is held up meanwhile."""

    why: str
    again_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A human must answer before the step can go on; their answer, one of `choices`, is in the next `Call`.

    Choices in `confirm` are asked about once more before they count. If the step's time is over without an answer,
    `unanswered` counts as one; where that is empty, the step has failed.
    """

    question: str
    choices: tuple[str, ...] = (YES, NO)
    confirm: tuple[str, ...] = ()
    unanswered: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseAccess:
    """A database that the policy names: the environment variable with its URL, and whether it may be written."""

    url_env: str
    write: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """How a service's requests do: how many there were, which share failed, and their 95th percentile."""

    requests: int
    error_share: float
    p95_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Burn:
    """How fast an objective's error budget burns: at a rate of 1, it lasts exactly for the objective's window."""

    requests: int
    rate: float


def _no_burn(objective: str, window_s: float) -> Burn | None:  # noqa: ARG001
    raise RunbookError(f"no telemetry store can be asked here about the objective {objective}")


def _no_level(service: str, window_s: float) -> Level | None:  # noqa: ARG001
    raise RunbookError(f"no telemetry store can be asked here about {service}")


def _no_telemetry(sql: str) -> Any:
    raise RunbookError(f"no telemetry store can be asked here: {sql[:80]}")


def _no_variable(name: str) -> str:
    raise RunbookError(f"the environment variable {name} cannot be read here")


def _no_notice(text: str, key: str) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What steps can reach beside the target, as the policy and the role that runs them allow.

    Attributes:
        query: the rows of one SELECT on the telemetry store, as a list of tuples. Raises StoreError.
        level: a service's requests within the last seconds; None: there were none. Raises StoreError.
        burn: how fast an objective's budget burned in the last seconds; None: it had no requests. Raises RunbookError
            for an unknown objective, and StoreError.
        notify: tell whoever follows the run; once for each key.
        http_hosts: `host` or `host:port` that HTTP steps may call.
        databases: what SQL steps may use, by name.
        environment: the value of a variable. Raises ConfigError where it is not set.
    """

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    query: Callable[[str], list[tuple[Any, ...]]] = _no_telemetry
    level: Callable[[str, float], Level | None] = _no_level
    burn: Callable[[str, float], Burn | None] = _no_burn
    notify: Callable[[str, str], None] = _no_notice
    http_hosts: tuple[str, ...] = ()
    databases: Mapping[str, DatabaseAccess] = field(default_factory=lambda: MappingProxyType({}))
    environment: Callable[[str], str] = _no_variable


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[G]):
    """One execution of a typed step.

    Attributes:
        given: its inputs, placeholders filled.
        key: the same for every execution of one step of one run; a target does it once.
        began: when the step began, also where it was interrupted since.
        answer: what a human answered to its question, with `answered_by`; empty: nothing yet.
        seconds_left: until the step's time-out; None: it has none.
    """

    target: Target
    service: str
    given: G
    key: str
    around: Surroundings
    began: datetime
    answer: str = ""
    answered_by: str = ""
    seconds_left: float | None = None


class TypedStep(Protocol[G]):
    """A step with inputs. What has a body here is what most steps want; a step may say otherwise."""

    inputs: type[G]
    # Inputs that are valid, for tests and documentation.
    example: ClassVar[Mapping[str, Any]]
    # It changes nothing, so there is nothing to undo.
    reads_only: bool = False

    def needs(self, given: G) -> frozenset[str]:
        """The verbs that the target must take for the service."""
        del given
        return frozenset()

    def plan(self, given: G, service: str, status: ServiceStatus | None) -> str:
        """Describe what `run` would do, in one line. Pure: it touches nothing."""
        ...

    def run(self, call: Call[G]) -> Done | Wait | Ask:
        """Do it. Raises RunbookError or TargetError; `retry` where it may have happened, or asking again can help."""
        ...

    def repeats(self, given: G) -> bool:
        """Whether it may be asked again under the same key after an interruption. If not, a human is asked."""
        del given
        return True

    def undo_plan(self, given: G, service: str) -> str:
        """What `undo` would do, in words; empty: there is no undo by machine."""
        del given, service
        return ""

    def undo(self, call: Call[G]) -> str:
        """Take it back, and describe that. Raises RunbookError or TargetError."""
        raise RunbookError(f"this step has no undo ({call.service})")

    def undo_repeats(self, given: G) -> bool:
        """Whether `undo` may be asked again under the same key after an interruption."""
        del given
        return True


AnyStep = Step | TypedStep[Any]
