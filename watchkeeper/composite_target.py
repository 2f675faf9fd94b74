"""All of a configuration's targets as one: each question goes to the target that has the service.

    payments           in one target: that one is asked
    hosts/payments     in two: the target's name must stand before it, and `services` lists both that way

A target that does not answer hides no other: its services are missing from the list, or kept from before for routing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any, Final, Literal, TypeVar

from watchkeeper.errors import OutOfReachError, TargetError
from watchkeeper.target import Experience, HeldFault, HoldsNoFaults, Lease, ProbeSample, ServiceStatus, Target

T = TypeVar("T")
# How long the others wait for a target that does not answer.
PATIENCE_S: Final = 10.0
# After so long it is asked anew which target has which service.
ROUTES_HOLD_S: Final = 30.0


class CompositeTarget:
    """Several targets by name, behind the Protocol of one. `name` identifies them where there are several."""

    def __init__(self, targets: Mapping[str, Target], *, name: str) -> None:
        self._targets = dict(targets)
        self._name = name
        self._owned: dict[str, frozenset[str]] = {}
        self._asked_at = -ROUTES_HOLD_S
        self._unanswered: dict[str, TargetError] = {}

    @property
    def name(self) -> str:
        """The only target's own name, or one made of all addresses: the same whether they answer or not."""
        (first, *others) = self._targets.values()
        return self._name if others else first.name

    @property
    def unanswered(self) -> Mapping[str, str]:
        """The targets that did not answer the last `services`, each with the reason."""
        return {name: error.message for name, error in self._unanswered.items()}

    def count(self, name: str) -> int:
        """How many services a target was last known to have."""
        return len(self._owned.get(name, ()))

    def holds_faults(self, name: str) -> bool:
        """Whether a target is of a kind that holds faults by itself."""
        target = self._targets[name]
        return hasattr(target, "begin_fault") and not isinstance(target, HoldsNoFaults)

    @property
    def ambiguous(self) -> Mapping[str, tuple[str, ...]]:
        """Services that several targets are known to have, each with the names to write instead."""
        owners = self._owners()
        return {service: _written_out(service, names) for service, names in owners.items() if len(names) > 1}

    def services(self) -> Mapping[str, ServiceStatus]:
        """Of every target that answers. Raises TargetError where none does."""
        listed = self._look(PATIENCE_S)
        if not listed:
            raise _as_one(self._unanswered)
        owners = self._owners()
        found: dict[str, ServiceStatus] = {}
        for name, statuses in listed.items():
            for service, status in statuses.items():
                shown = service if len(owners[service]) == 1 else f"{name}/{service}"
                found[shown] = replace(status, service=shown)
        return found

    def status(self, service: str, *, timeout_s: float = 30.0) -> ServiceStatus:
        target, own = self._route(service, timeout_s)
        return replace(target.status(own, timeout_s=timeout_s), service=service)

    def act(self, service: str, verb: str, *, key: str, arguments: Mapping[str, object] | None = None) -> str:
        target, own = self._route(service)
        return target.act(own, verb, key=key, arguments=arguments)

    def lease(self, lease: Lease) -> str:
        target, own = self._route(lease.service)
        return self._own_id(target, target.lease(replace(lease, service=own)))

    def end_lease(self, lease_id: str) -> None:
        target, own = self._by_id(lease_id)
        target.end_lease(own)

    def probe(self, service: str, *, timeout_s: float = 1.5) -> ProbeSample:
        target, own = self._route(service)
        return target.probe(own, timeout_s=timeout_s)

    def experience(self) -> Experience | None:
        """What the customers of all targets saw, of those that measure it; the slowest p95."""
        answers, failures = self._ask_all(lambda target: target.experience(), PATIENCE_S)
        measured = [seen for seen in answers.values() if seen is not None]
        if not measured:
            if failures and not answers:
                raise _as_one(failures)
            return None
        return Experience(
            sent=sum(seen.sent for seen in measured),
            failed=sum(seen.failed for seen in measured),
            p95_ms=max(seen.p95_ms for seen in measured),
        )

    def begin_fault(
        self, service: str, fault: str, *, seconds: float, key: str, arguments: Mapping[str, float | str] | None = None
    ) -> str:
        target, own = self._route(service)
        begin = _offered(target, "begin_fault", f"the target of {service} holds no faults")
        return self._own_id(target, begin(own, fault, seconds=seconds, key=key, arguments=arguments))

    def fault(self, fault_id: str) -> HeldFault:
        target, own = self._by_id(fault_id)
        held: HeldFault = _offered(target, "fault", f"there is no fault {fault_id!r}")(own)
        return replace(held, id=fault_id)

    def end_fault(self, fault_id: str) -> None:
        target, own = self._by_id(fault_id)
        _offered(target, "end_fault", f"there is no fault {fault_id!r}")(own)

    def stop(self) -> None:
        """Stop every target, whatever the others answer. Raises TargetError that names those that did not."""
        self.ask_each("stop")

    def resume(self) -> None:
        self.ask_each("resume")

    def close(self) -> None:
        for target in self._targets.values():
            target.close()

    def ask_each(
        self, method: Literal["stop", "resume"], heard: Callable[[str, str], None] = lambda _name, _reason: None
    ) -> None:
        """Stop or resume every target at once: none waits for another.

        Args:
            heard: called as soon as a target answered, with its name, and why it did not do it (empty: it did).

        Raises:
            TargetError: names those that did not do it.
        """
        _, failures = self._ask_all(lambda target: getattr(target, method, lambda: None)(), PATIENCE_S, heard)
        if failures:
            raise _as_one(failures, named=True)

    def _look(self, within_s: float) -> Mapping[str, Mapping[str, ServiceStatus]]:
        """Ask every target for its services, and remember who has which."""
        listed, self._unanswered = self._ask_all(lambda target: target.services(), within_s)
        self._owned.update({name: frozenset(statuses) for name, statuses in listed.items()})
        self._asked_at = time.monotonic()
        return listed

    def _owners(self) -> dict[str, list[str]]:
        """Service → the targets that have it."""
        owners: dict[str, list[str]] = {}
        for name in self._targets:
            for service in self._owned.get(name, ()):
                owners.setdefault(service, []).append(name)
        return owners

    def _route(self, service: str, within_s: float = PATIENCE_S) -> tuple[Target, str]:
        """The target that has a service, and the service's name there."""
        name, slash, own = service.partition("/")
        if slash and name in self._targets:
            return self._targets[name], own
        if len(self._targets) == 1:
            return next(iter(self._targets.values())), service
        names = self._owners().get(service, [])
        if not names or time.monotonic() - self._asked_at > ROUTES_HOLD_S:
            self._look(min(within_s, PATIENCE_S))
            names = self._owners().get(service, [])
        if len(names) > 1:
            written = " or ".join(_written_out(service, names))
            raise TargetError(f"{service} is a service of several targets; write {written}")
        if names:
            return self._targets[names[0]], service
        if self._unanswered:
            raise _as_one(self._unanswered)
        raise OutOfReachError(f"no target has a service {service!r}; the targets are {', '.join(self._targets)}")

    def _own_id(self, target: Target, given: str) -> str:
        """The id of a lease or a fault, with the target's name before it."""
        return f"{next(name for name, each in self._targets.items() if each is target)}/{given}"

    def _by_id(self, own_id: str) -> tuple[Target, str]:
        name, _, given = own_id.partition("/")
        if name not in self._targets:
            raise TargetError(f"{own_id!r} is of none of the targets {', '.join(self._targets)}")
        return self._targets[name], given

    def _ask_all(
        self,
        question: Callable[[Target], T],
        within_s: float,
        heard: Callable[[str, str], None] = lambda _name, _reason: None,
    ) -> tuple[dict[str, T], dict[str, TargetError]]:
        """Ask all at once; what they answered, and why the others did not."""
        answers: dict[str, T] = {}
        failures: dict[str, TargetError] = {}
        pool = ThreadPoolExecutor(max_workers=len(self._targets), thread_name_prefix="target")
        waiting = {pool.submit(question, target): name for name, target in self._targets.items()}
        deadline = time.monotonic() + within_s
        while waiting and (left_s := deadline - time.monotonic()) > 0:
            for future in wait(waiting, left_s, FIRST_COMPLETED).done:
                name = waiting.pop(future)
                if error := _failure(name, future):
                    failures[name] = error
                else:
                    answers[name] = future.result()
                heard(name, error.message if error else "")
        for name in waiting.values():
            failures[name] = TargetError(f"the target {name} does not answer within {within_s:g} s", retry=True)
            heard(name, failures[name].message)
        pool.shutdown(wait=False, cancel_futures=True)
        return {name: answers[name] for name in self._targets if name in answers}, {
            name: failures[name] for name in self._targets if name in failures
        }


def _failure(name: str, future: Future[T]) -> TargetError | None:
    """Why a target that was asked did not answer; None where it did."""
    error = future.exception()
    if isinstance(error, TargetError):
        return TargetError(error.message, retry=error.retry)
    # Another package's target must not hide the others.
    return TargetError(f"the target {name} cannot be asked: {type(error).__name__}: {error}") if error else None


def _written_out(service: str, names: list[str]) -> tuple[str, ...]:
    return tuple(f"{name}/{service}" for name in names)


def _offered(target: Target, method: str, otherwise: str) -> Callable[..., Any]:
    """A method that a target may lack."""
    found: Callable[..., Any] | None = getattr(target, method, None)
    if found is None:
        raise TargetError(otherwise)
    return found


def _as_one(failures: Mapping[str, TargetError], *, named: bool = False) -> TargetError:
    words = "; ".join(
        f"{name}: {error.message}" if named or len(failures) > 1 else error.message for name, error in failures.items()
    )
    return TargetError(words, retry=any(error.retry for error in failures.values()))
