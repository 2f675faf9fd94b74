"""Faults that a target holds by itself: an agent on the service's host breaks, bounds, proves and reverts them.

begin_fault ─► starting ─► holding, with an effect ─► end_fault ─► ending ─► ended, and nothing remains
                                  │ whatever becomes of us, the network or the agent
                                  └─► it ends by itself after the bound
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, TypeVar

from chaos.fault import Baseline, Fault, held_name, is_held
from watchkeeper.errors import ChaosError, TargetError
from watchkeeper.target import FAULT, PROBE, HeldFault, ProbeSample, Target
from watchkeeper.vocabulary import Mechanism

BEGINS_WITHIN_S: Final = 30.0  # a restart under another clock takes as long on a busy host
ENDS_WITHIN_S: Final = 30.0
ASK_AGAIN_S: Final = 5.0  # how long a begin or an end is asked for again where the target does not answer
LOOK_EVERY_S: Final = 0.1
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class OnHost:
    """A fault that the service's target holds.

    Attributes:
        held_as: the target's name of it, where that is another one.
        is_felt: every request to the service shows it. Then the proof is a failed request beside what shows on the
            host; else what shows on the host is enough, such as memory that is taken.
        arguments: what the target is asked for besides; its own defaults hold for the rest.
    """

    name: str
    mechanism: Mechanism
    description: str
    held_as: str = ""
    is_felt: bool = False
    arguments: Mapping[str, float | str] = field(default_factory=lambda: MappingProxyType({}))
    # Service → the id of the fault that holds it now, and what it cuts the service off from.
    _holding: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    _dependency: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({FAULT + (self.held_as or self.name)})

    @contextmanager
    def inject(self, target: Target, service: str, bound_s: float) -> Iterator[None]:
        """Have the target begin it, and end it on exit.

        Raises:
            ChaosError: it could not begin, or the host is not as it was after the end.
        """
        fault, key = self.held_as or self.name, f"chaos-{uuid.uuid4().hex}"
        try:
            fault_id = _insist(
                lambda: target.begin_fault(service, fault, seconds=bound_s, key=key, arguments=self.arguments)
            )
        except TargetError as error:
            if not error.retry:
                raise
            words = f"{service} may be broken by {fault}, and is not after {bound_s:g} s at the latest"
            raise ChaosError(f"{words}: {error.message}") from error
        try:
            _await_begin(target, fault_id)
            self._holding[service] = fault_id
            yield
        finally:
            self._holding.pop(service, None)
            self._dependency.pop(service, None)
            end_held(target, fault_id)

    def harmed(self, target: Target, service: str, before: Baseline, sample: ProbeSample) -> str:
        if service not in self._holding:
            return ""
        held = target.fault(self._holding[service])
        self._dependency[service] = held.dependency
        if held.state != "holding" or not held.effect:
            return ""
        if sample.ok:
            is_expected_to_fail = self.is_felt and PROBE in before.state.capabilities
            return "" if is_expected_to_fail else held.effect
        return f"{held.effect}, and a request ends in {sample.reason or sample.status}"

    def dependency_of(self, service: str) -> str:
        """What the service is cut off from, as its target says; empty: it is broken itself."""
        return self._dependency.get(service, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class EitherWay:
    """A fault that is held by the target where it offers that, and done from here elsewhere."""

    from_here: Fault
    on_host: OnHost
    given: Mapping[str, float | str] = field(default_factory=lambda: MappingProxyType({}))
    _held: set[str] = field(default_factory=set, repr=False, compare=False)

    @property
    def name(self) -> str:
        return self.from_here.name

    @property
    def mechanism(self) -> Mechanism:
        return self.from_here.mechanism

    @property
    def description(self) -> str:
        return self.from_here.description

    @property
    def needs(self) -> frozenset[str]:
        return self.from_here.needs

    @property
    def held_as(self) -> str:
        return self.on_host.held_as

    @contextmanager
    def inject(self, target: Target, service: str, bound_s: float) -> Iterator[None]:
        if not is_held(self.from_here, target.status(service)):
            if self.given:
                words = f"{self.name} takes no arguments for {service}: its target does not hold the fault"
                raise ChaosError(f"{words}, so {', '.join(self.given)} cannot be set")
            with self.from_here.inject(target, service, bound_s):
                yield
            return
        self._held.add(service)
        try:
            with self.on_host.inject(target, service, bound_s):
                yield
        finally:
            self._held.discard(service)

    def harmed(self, target: Target, service: str, before: Baseline, sample: ProbeSample) -> str:
        way: Fault = self.on_host if service in self._held else self.from_here
        return way.harmed(target, service, before, sample)


def either_way(fault: Fault, arguments: Mapping[str, float | str] | None = None) -> Fault:
    """A fault that also works where the target holds it. `arguments` are for such a target: others refuse them."""
    if not isinstance(arguments or {}, Mapping):
        raise ChaosError(f"the arguments of {fault.name} must be names and values, such as {{delay_ms: 300}}")
    given = MappingProxyType(dict(arguments or {}))
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ChaosError(f"the argument {name} of {fault.name} must be a number or a text, not {value!r}")
    if isinstance(fault, OnHost):
        return OnHost(
            name=fault.name,
            mechanism=fault.mechanism,
            description=fault.description,
            held_as=fault.held_as,
            is_felt=fault.is_felt,
            arguments=MappingProxyType({**fault.arguments, **given}),
        )
    on_host = OnHost(
        name=fault.name,
        mechanism=fault.mechanism,
        description=fault.description,
        held_as=held_name(fault),
        is_felt=fault.mechanism in ("killed", "hung"),
        arguments=MappingProxyType({**getattr(fault, "held_arguments", {}), **given}),
    )
    return EitherWay(from_here=fault, on_host=on_host, given=given)


def end_held(target: Target, fault_id: str) -> HeldFault:
    """End a fault that a target holds, and wait until the host is as it was.

    Raises:
        ChaosError: the target does not answer, or something of the fault remains.
    """
    try:
        _insist(lambda: target.end_fault(fault_id))
    except TargetError as error:
        raise ChaosError(f"the fault {fault_id} could not be ended, and ends by itself: {error.message}") from error
    held = _await_state(target, fault_id, ("ended", "stuck"), ENDS_WITHIN_S)
    if held.state != "ended" or held.remains:
        left = ", ".join(held.remains) or held.error or f"it is still {held.state}"
        raise ChaosError(f"{held.fault} in {held.service} is not undone on its host: {left}. The agent tries again.")
    return held


def _insist(ask: Callable[[], T]) -> T:
    """Ask a target again for a while, from its first silence on: the answer may be lost, and the work done."""
    deadline: float | None = None
    while True:
        try:
            return ask()
        except TargetError as error:
            deadline = deadline or time.monotonic() + ASK_AGAIN_S
            if not error.retry or time.monotonic() > deadline:
                raise
            time.sleep(LOOK_EVERY_S)


def _await_begin(target: Target, fault_id: str) -> None:
    held = _await_state(target, fault_id, ("holding", "ending", "ended", "stuck"), BEGINS_WITHIN_S)
    if held.state != "holding":
        at = f"{datetime.fromtimestamp(held.ends_at, UTC):%H:%M:%S} UTC"
        why = held.error or f"it is {held.state}, and ends by {at} at the latest"
        raise ChaosError(f"{held.fault} in {held.service} did not begin: {why}")


def _await_state(target: Target, fault_id: str, states: tuple[str, ...], within_s: float) -> HeldFault:
    """The fault in one of these states; as it is last seen, if none of them comes in time."""
    deadline = time.monotonic() + within_s
    while (held := target.fault(fault_id)).state not in states and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY_S)
    return held
