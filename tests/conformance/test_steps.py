"""Every registered step passes the suite, and the suite refuses steps that break its rules."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from runbooks import conformance
from runbooks.bound import BoundStep
from runbooks.conformance import example_of
from runbooks.registry import accept_step
from runbooks.step import Step
from watchkeeper.conformance import step_suite
from watchkeeper.errors import TargetError
from watchkeeper.target import ServiceStatus, Target


class Good:
    """Drains a service."""

    needs = frozenset({"drain"})

    def plan(self, service: str, status: ServiceStatus | None) -> str:
        return f"drain {service}" + (f" (now: {status.state})" if status else "")

    def run(self, target: Target, service: str, key: str) -> str:
        return target.act(service, "drain", key=key)


class Undone(Good):
    """Can be taken back."""

    needs = frozenset({"drain"})

    def undo(self, target: Target, service: str, key: str) -> str:
        return target.act(service, "drain", key=key)


class OwnKey(Good):
    """Ignores its key."""

    def run(self, target: Target, service: str, key: str) -> str:
        return target.act(service, "drain", key=f"{key}:{id(object())}:{socket.gethostname()}:{next(_COUNT)}")


class FixedKey(Good):
    """One key for all runs: the second run does nothing."""

    def run(self, target: Target, service: str, key: str) -> str:
        return target.act(service, "drain", key="drain")


class Undeclared(Good):
    """Needs more than it declares."""

    needs = frozenset[str]()


class Elsewhere(Good):
    """Acts on another service."""

    def run(self, target: Target, service: str, key: str) -> str:
        return target.act(f"{service}-2", "drain", key=key)


class Silent(Good):
    """Takes a refusal for success."""

    def run(self, target: Target, service: str, key: str) -> str:
        try:
            return target.act(service, "drain", key=key)
        except TargetError:
            return f"drained {service}"


class Looking(Good):
    """Connects while it plans."""

    def plan(self, service: str, status: ServiceStatus | None) -> str:
        with socket.socket() as connection:
            connection.connect(("127.0.0.1", 9))
        return f"drain {service}"


class Pretending(Good):
    """Has an undo that undoes nothing."""

    def undo(self, target: Target, service: str, key: str) -> str:
        return f"nothing to undo in {service}"


_COUNT = iter(range(1000))

TestSteps = step_suite()
TestGoodSteps = step_suite({"good": Good(), "undone": Undone()})


@pytest.mark.parametrize(
    ("step", "check"),
    [
        (OwnKey(), conformance.check_runs_once_for_each_key),
        (FixedKey(), conformance.check_runs_once_for_each_key),
        (Undeclared(), conformance.check_runs_once_for_each_key),
        (Elsewhere(), conformance.check_runs_once_for_each_key),
        (Silent(), conformance.check_refusal_is_failure),
        (Pretending(), conformance.check_undoes_once),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Good) else "",
)
def test_it_refuses_a_step_that_breaks_a_rule(step: Step, check: Callable[[BoundStep], None]) -> None:
    """Each of these differs from a good step in one thing."""
    with pytest.raises((AssertionError, pytest.fail.Exception, TargetError)):
        check(example_of("strange", step))


def test_it_refuses_a_plan_that_touches_something(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run is shown on every page about an incident: it must never connect."""
    with pytest.raises(AssertionError, match="must not touch"):
        conformance.check_plan_is_pure(example_of("looking", Looking()), monkeypatch)


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (object(), "lacks plan and run"),
        (type("NoNeeds", (Good,), {"needs": None}), "`needs` must be a frozenset"),
        (type("NoUndo", (Good,), {"undo": None}), "leave it out"),
    ],
)
def test_what_is_no_step_is_not_registered(part: object, reason: str) -> None:
    """The reason is what `watchkeeper parts` shows."""
    with pytest.raises(TypeError, match=reason):
        accept_step("x", part)
