"""What every fault must do, as tests: see `watchkeeper.conformance.fault_suite`.

The suite breaks services of a real shop that it starts. Against another target, give the class a fixture `reach`: a
function without arguments that opens the target. It must be picklable, since a killed injector needs it, too.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from chaos.fault import Baseline, Fault, measure_baseline, prove, services_for
from chaos.on_host import OnHost
from chaos.registry import accept_fault, faults
from chaos.shop.running import running_shop, started_shop
from watchkeeper.target import ServiceStatus, Target

Reach = Callable[[], Target]
HOLDS_S = 60.0  # the bound of a fault that is reverted before
BOUND_S = 5.0  # the bound of a fault whose injector is killed
PATIENCE_S = 120.0  # for what must come, on a machine that is busy with other things
WELL_SAMPLES = 4  # requests in a row without harm: then the service is well
LOOK_EVERY_S = 0.2


def fault_suite(parts: Mapping[str, Fault] | None = None) -> type:
    """The tests that every fault must pass, for these faults or all installed ones that are done from here.

    What an agent holds is tested beside the agent, by its own suite.
    """
    done_from_here = {name: fault for name, fault in faults().items() if not isinstance(fault, OnHost)}
    checked = done_from_here if parts is None else parts

    class FaultSuite:
        @pytest.fixture(scope="class")
        @classmethod
        def reach(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reach]:
            """Opens the target whose services are broken."""
            folder: Path = tmp_path_factory.mktemp("shop")
            with started_shop(folder):
                yield partial(running_shop, folder)

        @pytest.mark.parametrize("name", sorted(checked))
        def test_it_declares_what_it_does(self, name: str) -> None:
            accept_fault(name, checked[name])

        @pytest.mark.parametrize("name", sorted(checked))
        def test_it_harms_and_reverts(self, name: str, reach: Reach) -> None:
            check_harms_and_reverts(checked[name], reach)

        @pytest.mark.parametrize("name", sorted(checked))
        def test_it_ends_when_its_injector_is_killed(self, name: str, reach: Reach) -> None:
            check_ends_by_itself(checked[name], reach)

    return FaultSuite


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scene:
    """A fault, and a service of the target that is well."""

    fault: Fault
    target: Target
    service: str
    before: Baseline

    def samples_without_harm(self) -> bool:
        """Whether a few requests in a row succeed and show no harm."""
        for _ in range(WELL_SAMPLES):
            sample = self.target.probe(self.service)
            if not sample.ok or self.fault.harmed(self.target, self.service, self.before, sample):
                return False
        return True

    def is_as_before(self) -> bool:
        """Whether the service is well, in the version and on the way that it had."""
        return self.samples_without_harm() and _lasting(self.target.status(self.service)) == _lasting(self.before.state)


def check_harms_and_reverts(fault: Fault, reach: Reach, patience_s: float = PATIENCE_S) -> None:
    """Its harm is proved while it holds, absent before, and gone after its end. AssertionError says which is not so."""
    target = reach()
    try:
        scene = _scene(fault, target)
        assert _comes(scene.samples_without_harm, patience_s), f"{fault.name} shows harm while the service is well"
        with fault.inject(target, scene.service, HOLDS_S):
            effect = prove(fault, target, scene.service, scene.before)
        assert effect.proved, f"{fault.name} harms nobody: {effect.detail}"
        assert _comes(scene.is_as_before, patience_s), f"{fault.name} does not leave {scene.service} as it was"
    finally:
        target.close()


def check_ends_by_itself(fault: Fault, reach: Reach, patience_s: float = PATIENCE_S) -> None:
    """After kill -9 of its injector the fault ends within its bound, and then the service is as it was."""
    target = reach()
    try:
        scene = _scene(fault, target)
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        injector = context.Process(target=_inject_for_ever, args=(fault, reach, scene.service, theirs))
        injector.start()
        theirs.close()
        try:
            assert ours.poll(PATIENCE_S), f"{fault.name} is not injected"
            ours.recv()
        finally:
            injector.kill()
            injector.join()
        time.sleep(BOUND_S)
        assert _comes(scene.is_as_before, patience_s), (
            f"{fault.name} goes on when its injector is killed: {scene.service} is not as it was. "
            "Take out a lease, or bound it otherwise, before anything breaks."
        )
    finally:
        target.close()


def _inject_for_ever(fault: Fault, reach: Reach, service: str, injected: Connection) -> None:
    with fault.inject(reach(), service, BOUND_S):
        injected.send("injected")
        time.sleep(10 * PATIENCE_S)


def _scene(fault: Fault, target: Target) -> _Scene:
    services = services_for(fault, target)
    assert services, f"{fault.name} needs {', '.join(sorted(fault.needs))}, which no service of {target.name} offers"
    # Each fault breaks another service, so that one that leaves something behind does not spoil the next.
    service = services[sum(fault.name.encode()) % len(services)]
    assert _comes(lambda: measure_baseline(target, service).healthy, PATIENCE_S), f"{service} is not well"
    return _Scene(fault=fault, target=target, service=service, before=measure_baseline(target, service))


def _comes(holds: Callable[[], bool], patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_EVERY_S)
    return True


def _lasting(status: ServiceStatus) -> tuple[str, str, bool]:
    """What a fault must leave as it was; an instance may be another one."""
    return status.state, status.version, status.host is None or status.host.reached_at == status.host.port
