"""The registered kinds of target pass the suite against a real shop, and the suite refuses what breaks its rules."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from runbooks import conformance
from runbooks.targets.agent import Agent
from runbooks.targets.control_api import ControlApi
from tests.bare_host import BareService
from tests.running_agent import TOKEN, RunningAgent, allowed
from tests.running_shop import start_shop
from watchkeeper.conformance import target_suite
from watchkeeper.errors import TargetError
from watchkeeper.target import (
    Experience,
    HostAccess,
    Lease,
    NoTarget,
    ProbeSample,
    ServiceStatus,
    TargetSettings,
    accept_target,
)

pytestmark = pytest.mark.xdist_group("shop")


class TestTargets(target_suite({"control-api": ControlApi})):  # type: ignore[misc]
    @pytest.fixture(scope="class")
    @classmethod
    def settings(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TargetSettings]:
        """A real shop."""
        with start_shop(tmp_path_factory.mktemp("shop")) as shop:
            yield TargetSettings(url=shop.control_url, token=shop.token)


class TestAgents(target_suite({"agent": Agent})):  # type: ignore[misc]
    @pytest.fixture(scope="class")
    @classmethod
    def settings(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TargetSettings]:
        """A real agent beside a process that no supervisor looks after."""
        service = BareService()
        service.start()
        agent = RunningAgent(tmp_path_factory.mktemp("agent"), allowed(service))
        agent.start()
        try:
            yield TargetSettings(url=agent.url, token=TOKEN)
        finally:
            agent.stop()
            service.end()


class Memory(NoTarget):
    """One service that can be restarted; each broken kind below changes one thing."""

    def __init__(self) -> None:
        super().__init__("no such question")
        self._count = itertools.count()
        self._status = ServiceStatus(
            service="a", state="running", version="1", instance="0", capabilities=frozenset({"restart", "probe"})
        )
        self._answers: dict[str, str] = {}

    def services(self) -> Mapping[str, ServiceStatus]:
        return {"a": self._status}

    def status(self, service: str, *, timeout_s: float = 30.0) -> ServiceStatus:
        if service != "a":
            raise TargetError(f"no service {service}")
        return self._status

    def act(self, service: str, verb: str, *, key: str, arguments: Mapping[str, object] | None = None) -> str:
        self.status(service)
        if verb != "restart":
            raise TargetError(f"no verb {verb}")
        if key not in self._answers:
            self._status = replace(self._status, instance=str(next(self._count) + 1))
            self._answers[key] = "restarted"
        return self._answers[key]

    def probe(self, service: str, *, timeout_s: float = 1.5) -> ProbeSample:
        return ProbeSample(at=time.time(), seconds=0.001, status=200)

    def experience(self) -> Experience | None:
        return None


class Repeating(Memory):
    """Does a key again."""

    def act(self, service: str, verb: str, *, key: str, arguments: Mapping[str, object] | None = None) -> str:
        return super().act(service, verb, key=f"{key}-{next(self._count)}")


class Agreeable(Memory):
    """Knows every service."""

    def status(self, service: str, *, timeout_s: float = 30.0) -> ServiceStatus:
        return replace(self._status, service=service)


class Forgetful(Memory):
    """Takes a lease, and forgets it."""

    def __init__(self) -> None:
        super().__init__()
        self._status = replace(self._status, capabilities=frozenset({"restart", "lease"}))

    def lease(self, lease: Lease) -> str:
        return "lease-1"

    def end_lease(self, lease_id: str) -> None:
        """Nothing to end."""


class Poetic(Memory):
    """Has states of its own."""

    def services(self) -> Mapping[str, ServiceStatus]:
        return {"a": replace(self._status, state="blooming")}


class Remote(Memory):
    """Lists a process that is not on this machine."""

    def services(self) -> Mapping[str, ServiceStatus]:
        return {"a": replace(self._status, host=HostAccess(pid=1, port=1, reached_at=1))}


class Gloomy(Memory):
    """Customers see less than nothing."""

    def experience(self) -> Experience | None:
        return Experience(sent=-1, failed=0, p95_ms=0)


class Dead(Memory):
    """Its probe never succeeds."""

    def probe(self, service: str, *, timeout_s: float = 1.5) -> ProbeSample:
        return ProbeSample(at=0.0, seconds=0.0, status=0)


@pytest.mark.parametrize("check", conformance.TARGET_CHECKS, ids=lambda check: check.__name__)
def test_a_small_target_passes(check: conformance.TargetCheck) -> None:
    """Neither leases nor host access are asked of a target that does not list them."""
    check(Memory(), "restart")


@pytest.mark.parametrize(
    ("target", "check"),
    [
        (Repeating(), conformance.check_a_key_is_done_once),
        (Agreeable(), conformance.check_strange_questions_are_refused),
        (Forgetful(), conformance.check_a_lease_is_kept),
        (Poetic(), conformance.check_services_are_listed),
        (Remote(), conformance.check_what_is_local_is_there),
        (Gloomy(), conformance.check_experience_is_plausible),
        (Dead(), conformance.check_probes_are_real),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Memory) else "",
)
def test_it_refuses_a_target_that_breaks_a_rule(
    target: Memory, check: conformance.TargetCheck, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of these differs from the small target in one thing."""
    monkeypatch.setattr(conformance, "PATIENCE_S", 0.5)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check(target, "restart")


def test_what_is_no_target_is_not_registered() -> None:
    """The reason names what is missing."""
    with pytest.raises(TypeError, match="it lacks services, status, act"):
        accept_target("x", object())
