"""Targets: what runbook steps act on and experiments break, behind one Protocol.

    runbook steps ─┐                     ┌─ all of `targets:` in one (watchkeeper/composite_target.py)
                   ├─► Target (here) ◄───┼─ an agent, a control API, Kubernetes (runbooks/targets/)
    faults ────────┘                     └─ any other kind, by entry point `watchkeeper.targets`

Steps and faults name verbs and other capabilities; each service lists its own. What a service does not list is not
asked of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, Protocol, cast, get_args

from watchkeeper.errors import OutOfReachError, TargetError, WatchkeeperError
from watchkeeper.parts import Registry, read_registry
from watchkeeper.text import one_line

if TYPE_CHECKING:
    from watchkeeper.config import Config

DEFAULT_KIND: Final = "control-api"
# Capabilities that are no verbs: the methods `lease` and `probe`, and that `ServiceStatus.host` is known.
LEASE: Final = "lease"
PROBE: Final = "probe"
HOST: Final = "host"
# Before the name of a fault that the target itself can hold: `fault:hang`.
FAULT: Final = "fault:"
# A target that holds no faults may leave out `begin_fault`, `fault`, `end_fault`, `stop` and `resume`.
_METHODS: Final = ("services", "status", "act", "lease", "end_lease", "probe", "experience", "close")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostAccess:
    """A service's instance on this machine, for faults that need more than verbs. `database`: its file, or empty.

    `reached_at` is the port that callers use. It differs from `port` while something stands in between.
    """

    pid: int
    port: int
    reached_at: int
    database: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """One service as its target reports it.

    Attributes:
        state: `running`, `stopped` (its process is suspended), `exited` or `absent`.
        instance: changes with every start; empty where there is none.
        previous_version: what a rollback leads to; empty where there is none.
        capabilities: the verbs that `act` takes for this service; `lease`, `probe`, `host`; and `fault:NAME` for each
            fault that `begin_fault` takes for it.
        may_break: the service's owner has opted in to experiments.
        stuck: a fault that the target could not put back, in words; empty: none.
        longest_fault_s: the longest that the target lets a fault hold, in seconds; 0: it names no bound.
        lacks: faults that the target allows and cannot hold for this service now, each with the reason.
    """

    service: str
    state: str
    version: str = ""
    previous_version: str = ""
    instance: str = ""
    capabilities: frozenset[str] = frozenset()
    may_break: bool = False
    longest_fault_s: float = 0.0
    lacks: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    stuck: str = ""
    host: HostAccess | None = None

    @property
    def held_faults(self) -> frozenset[str]:
        """The names of the faults that the target holds for this service."""
        return frozenset(each.removeprefix(FAULT) for each in self.capabilities if each.startswith(FAULT))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSample:
    """One real request: when it began (Unix seconds), how long it took, and how it ended."""

    at: float
    seconds: float
    status: int  # 0: no answer (refused, or timed out)
    reason: str = ""

    @property
    def ok(self) -> bool:
        return 0 < self.status < 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Experience:
    """What the target's customers saw within the last second."""

    sent: float
    failed: float
    p95_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A verb that the target does after `after_s` seconds unless the lease is ended before.

    Not done where the service runs another instance than `if_instance`, or the version `unless_version`; empty: always.
    """

    service: str
    verb: str
    after_s: float
    if_instance: str = ""
    unless_version: str = ""


HeldState = Literal["starting", "holding", "ending", "ended", "stuck"]
HELD_STATES: Final[tuple[HeldState, ...]] = get_args(HeldState)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldFault:
    """A fault that a target holds, as it reports it; times are Unix seconds, 0: not yet.

    Attributes:
        dependency: what the service is cut off from; empty: it is broken itself.
        state: `stuck` where something could not be put back; the target tries again.
        effect: what shows, on the host, that it works; empty: nothing yet.
        remains: what of it is still there after its end; empty: the host is as it was.
        error: why it could not begin or end.
    """

    id: str
    service: str
    fault: str
    state: HeldState
    dependency: str = ""
    effect: str = ""
    effect_at: float = 0.0
    ends_at: float = 0.0
    ended_at: float = 0.0
    remains: tuple[str, ...] = ()
    error: str = ""


class Target(Protocol):
    """A system of services. Every method raises TargetError where the target refuses or does not answer."""

    @property
    def name(self) -> str:
        """Identifies the system; the same for everybody who reaches it."""
        ...

    def services(self) -> Mapping[str, ServiceStatus]:
        """Every service by name."""
        ...

    def status(self, service: str, *, timeout_s: float = 30.0) -> ServiceStatus:
        """One service, within `timeout_s` seconds. Raises TargetError for an unknown one."""
        ...

    def act(self, service: str, verb: str, *, key: str, arguments: Mapping[str, object] | None = None) -> str:
        """Do `verb` and describe what was done. With the same key again, only describe it.

        Raises:
            TargetError: `retry` is set where asking again, with the same key, can help.
        """
        ...

    def lease(self, lease: Lease) -> str:
        """Have the target do a verb later, whatever becomes of us. Returns the lease's id."""
        ...

    def end_lease(self, lease_id: str) -> None:
        """Cancel a lease; nothing happens where it is over."""
        ...

    def probe(self, service: str, *, timeout_s: float = 1.5) -> ProbeSample:
        """Send the service one real request, the way its callers do. A failed request is a sample, not an error."""
        ...

    def experience(self) -> Experience | None:
        """What customers saw; None where the target does not measure it."""
        ...

    def begin_fault(
        self, service: str, fault: str, *, seconds: float, key: str, arguments: Mapping[str, float | str] | None = None
    ) -> str:
        """Have the target break the service for at most `seconds`, whatever becomes of us. Returns the fault's id.

        With the same key again, only the id is returned.
        """
        ...

    def fault(self, fault_id: str) -> HeldFault:
        """How a fault is now. Raises TargetError for an unknown one."""
        ...

    def end_fault(self, fault_id: str) -> None:
        """End a fault now; nothing happens where it is over. It has ended when `fault` says so."""
        ...

    def stop(self) -> None:
        """End every fault that the target holds, and have it refuse new ones until `resume`."""
        ...

    def resume(self) -> None:
        """Let the target take faults again after `stop`."""
        ...

    def close(self) -> None:
        """Give back connections."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSettings:
    """What the configuration says of a target: one entry of `targets`; `values` are its `settings`.

    Attributes:
        ca_file: the certificates that the target's own is checked with; None: the system's.
        cert_file: our own certificate, for a target that asks for one, with `key_file` where the key is not in it.
    """

    url: str | None = None
    token: str = ""
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    values: Mapping[str, str | int | float | bool] = field(default_factory=lambda: MappingProxyType({}))


TargetKind = Callable[[TargetSettings], Target]


class HoldsNoFaults:
    """The part of `Target` that is about faults, for a kind that holds none.

    Attributes:
        called: what it is called within a sentence.
        agents_place: where an agent would have to run to hold faults.
    """

    called: str
    agents_place: str

    def begin_fault(
        self,
        service: str,
        fault: str,
        *,
        seconds: float,  # noqa: ARG002
        key: str,  # noqa: ARG002
        arguments: Mapping[str, float | str] | None = None,  # noqa: ARG002
    ) -> str:
        raise TargetError(
            f"{self.called} holds no faults, such as {fault} for {service}. "
            f"Run an agent {self.agents_place}, and name it under `targets:` with kind: agent."
        )

    def fault(self, fault_id: str) -> HeldFault:
        raise TargetError(f"{self.called} has no fault {one_line(fault_id, 100)!r}")

    def end_fault(self, fault_id: str) -> None:
        raise TargetError(f"{self.called} has no fault {one_line(fault_id, 100)!r}")

    def stop(self) -> None:
        """It holds no faults: there is nothing to stop."""

    def resume(self) -> None:
        """Nothing was stopped."""


class NoTarget:
    """Stands for a target that cannot be used; every question is answered with the reason."""

    def __init__(self, reason: str, *, is_set: bool = True) -> None:
        self.name = "no target"
        self._reason = reason
        self._is_set = is_set

    def services(self) -> Mapping[str, ServiceStatus]:
        raise TargetError(self._reason)

    def status(self, service: str, *, timeout_s: float = 30.0) -> ServiceStatus:  # noqa: ARG002
        raise TargetError(self._reason) if self._is_set else OutOfReachError(self._reason)

    def act(self, service: str, verb: str, *, key: str, arguments: Mapping[str, object] | None = None) -> str:  # noqa: ARG002
        raise TargetError(self._reason)

    def lease(self, lease: Lease) -> str:  # noqa: ARG002
        raise TargetError(self._reason)

    def end_lease(self, lease_id: str) -> None:  # noqa: ARG002
        raise TargetError(self._reason)

    def probe(self, service: str, *, timeout_s: float = 1.5) -> ProbeSample:  # noqa: ARG002
        raise TargetError(self._reason)

    def experience(self) -> Experience | None:
        raise TargetError(self._reason)

    def begin_fault(
        self,
        service: str,  # noqa: ARG002
        fault: str,  # noqa: ARG002
        *,
        seconds: float,  # noqa: ARG002
        key: str,  # noqa: ARG002
        arguments: Mapping[str, float | str] | None = None,  # noqa: ARG002
    ) -> str:
        raise TargetError(self._reason)

    def fault(self, fault_id: str) -> HeldFault:  # noqa: ARG002
        raise TargetError(self._reason)

    def end_fault(self, fault_id: str) -> None:  # noqa: ARG002
        raise TargetError(self._reason)

    def stop(self) -> None:
        raise TargetError(self._reason)

    def resume(self) -> None:
        raise TargetError(self._reason)

    def close(self) -> None:
        """Nothing is open."""


def own_name(service: str) -> str:
    """A service's name as its telemetry has it: without the target's before it, where two have that name."""
    return service.rpartition("/")[2]


@cache
def target_registry() -> Registry[TargetKind]:
    """Every kind of target that is installed."""
    return read_registry("target", accept_target)


def accept_target(name: str, part: object) -> TargetKind:
    """A class that is made from `TargetSettings` and has the Protocol's methods. Raises TypeError for anything else."""
    missing = [method for method in _METHODS if not callable(getattr(part, method, None))]
    if not isinstance(part, type) or missing:
        lacks = f"; it lacks {', '.join(missing)}" if missing else ""
        raise TypeError(f"target {name} must be a class with the methods of watchkeeper.target.Target{lacks}")
    return cast("TargetKind", part)


def open_target(kind: str, settings: TargetSettings) -> Target:
    """A target of a registered kind.

    Raises:
        TargetError: there is no such kind, or it does not take these settings.
    """
    registry = target_registry()
    if kind not in registry.parts:
        broken = registry.broken_named(kind)
        raise TargetError(
            f"there is no target kind {kind!r}{f': {broken.reason}' if broken else ''}. "
            f"Choose one of {', '.join(registry.parts)}, or install the package that brings it."
        )
    return registry.parts[kind].value(settings)


def configured_target(config: Config) -> Target:
    """All that `targets` names, as one target; what cannot be used answers with the reason."""
    from watchkeeper.composite_target import CompositeTarget

    if not config.targets:
        return NoTarget(
            "no target is configured: name one under `targets:`, with its kind, url and token_env", is_set=False
        )
    opened = {name: _opened(config, name) for name in config.targets}
    addresses = [section.url or name for name, section in config.targets.items()]
    return CompositeTarget(opened, name=" + ".join(sorted(addresses)))


def _opened(config: Config, name: str) -> Target:
    section = config.targets[name]
    try:
        settings = TargetSettings(
            url=section.url,
            token=config.target_token(name),
            ca_file=section.ca_file,
            cert_file=section.cert_file,
            key_file=section.key_file,
            values=section.settings,
        )
        return open_target(section.kind, settings)
    except WatchkeeperError as error:
        return NoTarget(f"targets.{name}: {error.message}")
    except Exception as error:  # noqa: BLE001 - another package's target must not keep a role from starting
        return NoTarget(f"targets.{name} of kind {section.kind} cannot be used: {type(error).__name__}: {error}")
