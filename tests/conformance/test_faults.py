"""Every registered fault passes the suite in a real shop, and the suite refuses faults that break its rules."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from chaos import conformance
from chaos.conformance import Reach
from chaos.fault import Baseline, do, services_for
from chaos.faults.bad_deploy import BadDeploy
from chaos.faults.hang import Hang
from chaos.registry import accept_fault
from chaos.shop.running import running_shop, started_shop
from watchkeeper.conformance import fault_suite
from watchkeeper.target import ProbeSample, Target

pytestmark = pytest.mark.xdist_group("shop")


@pytest.fixture(scope="module")
def reach(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reach]:
    """One real shop for all tests of this file."""
    folder: Path = tmp_path_factory.mktemp("shop")
    with started_shop(folder):
        yield partial(running_shop, folder)


class TestFaults(fault_suite()):  # type: ignore[misc]
    @pytest.fixture(scope="class")
    @classmethod
    def reach(cls, reach: Reach) -> Reach:
        """The shop of this file."""
        return reach


@dataclass(frozen=True, slots=True, kw_only=True)
class Harmless(BadDeploy):
    """A deploy that harms nobody."""

    @contextmanager
    def inject(self, target: Target, service: str, bound_s: float) -> Iterator[None]:
        yield


@dataclass(frozen=True, slots=True, kw_only=True)
class Untidy(BadDeploy):
    """Does not take its version back."""

    @contextmanager
    def inject(self, target: Target, service: str, bound_s: float) -> Iterator[None]:
        do(target, service, "deploy", defect="errors")
        yield


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarmist(BadDeploy):
    """Sees harm where there is none."""

    def harmed(self, target: Target, service: str, before: Baseline, sample: ProbeSample) -> str:
        return "it looks odd"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(Harmless(), "harms nobody"), (Untidy(), "does not leave"), (Alarmist(), "while the service is well")],
    ids=lambda value: type(value).__name__,
)
def test_it_refuses_a_fault_that_breaks_a_rule(fault: BadDeploy, reason: str, reach: Reach) -> None:
    """Each of these differs from a good fault in one thing; what it leaves behind is taken back here."""
    with pytest.raises(AssertionError, match=reason):
        conformance.check_harms_and_reverts(fault, reach, patience_s=2.0)
    _roll_back(reach())


def test_it_refuses_a_fault_that_outlives_its_injector(reach: Reach) -> None:
    """Without a lease the service stays broken."""
    with pytest.raises(AssertionError, match="Take out a lease"):
        conformance.check_ends_by_itself(Untidy(), reach, patience_s=2.0)
    _roll_back(reach())


def test_it_refuses_a_fault_that_no_service_can_have(reach: Reach) -> None:
    """A capability that the target lacks is named."""
    fault = Hang(needs=frozenset({"teleport"}))
    with pytest.raises(AssertionError, match="needs teleport"):
        conformance.check_harms_and_reverts(fault, reach)


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (object(), "has inject and harmed"),
        (BadDeploy(name="other"), "`name` must be 'x'"),
        (BadDeploy(name="x", mechanism="gremlins"), "`mechanism` must be one of"),  # type: ignore[arg-type]
        (BadDeploy(name="x", description=" "), "`description` must be"),
        (BadDeploy(name="x", needs="deploy"), "`needs` must be a frozenset"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_fault_is_not_registered(part: object, reason: str) -> None:
    """The reason is what `watchkeeper parts` shows."""
    with pytest.raises((TypeError, ValueError), match=reason):
        accept_fault("x", part)


def _roll_back(target: Target) -> None:
    for service in services_for(BadDeploy(), target):
        if target.status(service).previous_version:
            do(target, service, "rollback")
    target.close()
