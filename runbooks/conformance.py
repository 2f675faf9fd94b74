"""What every step and every target must do, as tests: see `step_suite` and `target_suite` of watchkeeper.conformance.

Steps are tested against a target in memory. Targets are tested where they are: the class that `target_suite` returns
needs a fixture `settings` with the `TargetSettings` of a running system, some service of which may be restarted.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import pytest

from runbooks.bound import BoundStep, bind, is_typed
from runbooks.recorded_target import RecordedTarget
from runbooks.registry import accept_step, steps
from runbooks.step import AnyStep, Call, Done, Inputs, Surroundings
from watchkeeper.errors import RunbookError, TargetError
from watchkeeper.target import (
    HOST,
    LEASE,
    PROBE,
    Lease,
    ServiceStatus,
    Target,
    TargetKind,
    TargetSettings,
    accept_target,
    target_registry,
)

SERVICE: Final = "payments"
STATES: Final = frozenset({"running", "stopped", "exited", "absent"})
LEASE_S: Final = 1.0
PATIENCE_S: Final = 60.0  # for what must come, on a machine that is busy with other things


def step_suite(parts: Mapping[str, AnyStep] | None = None) -> type:
    """The tests that every step must pass, for these steps or all that are installed.

    A step with inputs is tested with its example. One that asks the target for no verb, such as an HTTP call, is not
    run: what it needs is its own tests' business.
    """
    checked = steps() if parts is None else parts

    class StepSuite:
        @pytest.mark.parametrize("name", sorted(checked))
        def test_it_declares_what_it_needs(self, name: str) -> None:
            accept_step(name, checked[name])

        @pytest.mark.parametrize("name", sorted(checked))
        def test_its_plan_is_pure(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
            check_plan_is_pure(example_of(name, checked[name]), monkeypatch)

        @pytest.mark.parametrize("name", sorted(checked))
        def test_it_runs_once_for_each_key(self, name: str) -> None:
            check_runs_once_for_each_key(example_of(name, checked[name]))

        @pytest.mark.parametrize("name", sorted(checked))
        def test_a_refusal_is_a_failure(self, name: str) -> None:
            check_refusal_is_failure(example_of(name, checked[name]))

        @pytest.mark.parametrize("name", sorted(checked))
        def test_its_undo_takes_it_back_once(self, name: str) -> None:
            check_undoes_once(example_of(name, checked[name]))

        @pytest.mark.parametrize("name", sorted(checked))
        def test_it_has_an_undo_or_says_that_it_has_none(self, name: str) -> None:
            check_undo_is_described(example_of(name, checked[name]))

    return StepSuite


def example_of(name: str, step: AnyStep) -> BoundStep:
    """A step with the inputs of its example."""
    return bind(name, step.example if is_typed(step) else {}, {name: step})


def check_plan_is_pure(step: BoundStep, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan is one line, is the same each time, and connects to nothing. One with verbs names the service."""

    def connect(*_: object) -> None:
        raise AssertionError("`plan` must not touch anything: it opens a connection")

    monkeypatch.setattr(socket.socket, "connect", connect)
    for status in (None, RecordedTarget(step.needs).status(SERVICE)):
        text = step.plan(SERVICE, status)
        assert SERVICE in text or not step.needs, f"the plan names no service: {text!r}"
        assert text, "the plan is empty"
        assert text == text.strip() and "\n" not in text, f"the plan is not one line: {text!r}"  # noqa: PT018
        assert step.plan(SERVICE, status) == text, "the plan changes though nothing did"


def check_runs_once_for_each_key(step: BoundStep) -> None:
    """With the same key the target does nothing again; with another key it does. Verbs are those of `needs`."""
    if _needs_no_target(step):
        return
    target = RecordedTarget(step.needs)
    text = _run(step, target, "run-1")
    assert text.strip(), "`run` must describe what was done"
    first = list(target.done)
    _run(step, target, "run-1")
    assert target.done == first, "`run` does its work again when it is asked again with the same key: pass the key on"
    verbs = {act.verb for act in first}
    assert verbs <= step.needs, f"`needs` is {set(step.needs)}, and `run` asks for {first}"
    assert verbs == step.needs or step.can_undo, f"`run` never asks for {set(step.needs) - verbs}"
    assert {act.service for act in first} <= {SERVICE}, "`run` acts on another service"
    _run(step, target, "run-2")
    assert len(target.done) == 2 * len(first), "another key is another run: use the key that is given, and no fixed one"


def check_refusal_is_failure(step: BoundStep) -> None:
    """What the target refuses is not reported as done."""
    if _needs_no_target(step):
        return
    with pytest.raises((RunbookError, TargetError)):
        _run(step, RecordedTarget(step.needs, refuses=True), "run-1")


def check_undoes_once(step: BoundStep) -> None:
    """An undo asks the target for something, once for each key, and describes it. A step may have none."""
    if not step.can_undo or _needs_no_target(step):
        return
    target = RecordedTarget(step.needs)
    _run(step, target, "run-1")
    ran = list(target.done)
    text = step.undo(_call(step, target, "run-1:undo"))
    undone = target.done[len(ran) :]
    assert undone, "`undo` does nothing: leave it out where a machine cannot take the step back"
    assert text.strip(), "`undo` must describe what was done"
    assert {act.verb for act in undone} <= step.needs, "`undo` asks for a verb that `needs` does not name"
    step.undo(_call(step, target, "run-1:undo"))
    assert target.done == ran + undone, "`undo` does its work again with the same key"


def check_undo_is_described(step: BoundStep) -> None:
    """A step that can be undone says how in one line; one that can't is refused when it is asked."""
    plan = step.undo_plan(SERVICE)
    assert "\n" not in plan
    if not plan:
        with pytest.raises(RunbookError):
            step.undo(_call(step, RecordedTarget(step.needs), "run-1:undo"))


def _needs_no_target(step: BoundStep) -> bool:
    return is_typed(step.step) and not step.needs


def _call(step: BoundStep, target: Target, key: str) -> Call[Inputs]:
    return Call(
        target=target, service=SERVICE, given=step.given, key=key, around=Surroundings(), began=datetime.now(UTC)
    )


def _run(step: BoundStep, target: Target, key: str) -> str:
    did = step.run(_call(step, target, key))
    assert isinstance(did, Done), f"it waits for something: {did}"
    return did.text


def target_suite(parts: Mapping[str, TargetKind] | None = None) -> type:
    """The tests that every kind of target must pass, for these kinds or all that are installed."""
    checked = target_registry().values() if parts is None else parts

    class TargetSuite:
        # A verb that may be done to a service of the system that `settings` lead to, and gives it another instance.
        verb = "restart"

        @pytest.fixture(scope="class")
        @classmethod
        def settings(cls) -> TargetSettings:
            """Of a running system of this kind."""
            pytest.fail("give the suite's class a fixture `settings`: TargetSettings of a running system")

        @pytest.mark.parametrize("check", TARGET_CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
        @pytest.mark.parametrize("name", sorted(checked))
        def test_it(self, name: str, check: TargetCheck, settings: TargetSettings) -> None:
            accept_target(name, checked[name])
            target = checked[name](settings)
            try:
                check(target, self.verb)
            finally:
                target.close()

        @pytest.mark.parametrize("name", sorted(checked))
        def test_everybody_calls_it_the_same(self, name: str, settings: TargetSettings) -> None:
            names = []
            for _ in range(2):
                target = checked[name](settings)
                names.append(target.name)
                target.close()
            assert names[0]
            assert names[0] == names[1]

    return TargetSuite


TargetCheck = Callable[[Target, str], None]


def check_services_are_listed(target: Target, verb: str) -> None:
    """Each under its name, in a state that is known, and the same when it is asked for alone."""
    services = target.services()
    assert services, "it has no service"
    for name, status in services.items():
        assert status.service == name
        assert status.state in STATES, f"{name} is {status.state!r}, which is none of {', '.join(sorted(STATES))}"
        assert target.status(name).service == name
    assert any(verb in status.capabilities for status in services.values()), f"no service lists the verb {verb}"


def check_strange_questions_are_refused(target: Target, verb: str) -> None:
    """A service or a verb that is not there is a TargetError, and no answer."""
    service = _service(target, verb)
    for strange in ("no-such-service", "..", "a/b"):
        with pytest.raises(TargetError):
            target.status(strange)
        with pytest.raises(TargetError):
            target.act(strange, verb, key="strange")
    with pytest.raises(TargetError):
        target.act(service, "no-such-verb", key="strange-verb")


def check_a_key_is_done_once(target: Target, verb: str) -> None:
    """The same key again gives the same answer and does nothing; another key does it again."""
    service = _service(target, verb)
    keys = [f"conformance-{time.time_ns()}-{number}" for number in range(2)]
    text = target.act(service, verb, key=keys[0])
    assert text.strip()
    instance = target.status(service).instance
    assert target.act(service, verb, key=keys[0]) == text
    assert target.status(service).instance == instance, "it does a verb again that was asked with the same key"
    target.act(service, verb, key=keys[1])
    assert target.status(service).instance != instance, f"{verb} gives the service no other instance"


def check_a_lease_is_kept(target: Target, verb: str) -> None:
    """A lease's verb is done without us, unless it is ended, or its condition does not hold."""
    service = _service(target, verb)
    if LEASE not in target.status(service).capabilities:
        with pytest.raises(TargetError):
            target.lease(Lease(service=service, verb=verb, after_s=LEASE_S))
        return
    before = target.status(service)
    ended = target.lease(Lease(service=service, verb=verb, after_s=LEASE_S))
    target.end_lease(ended)
    target.lease(Lease(service=service, verb=verb, after_s=LEASE_S, if_instance="another"))
    if before.version:
        target.lease(Lease(service=service, verb=verb, after_s=LEASE_S, unless_version=before.version))
    time.sleep(2 * LEASE_S)
    assert target.status(service).instance == before.instance, "a lease is done that was ended, or has no reason"
    target.lease(Lease(service=service, verb=verb, after_s=LEASE_S))
    deadline = time.monotonic() + PATIENCE_S
    while target.status(service).instance == before.instance:
        assert time.monotonic() < deadline, "a lease that ran out is not done"
        time.sleep(0.1)
    target.end_lease(ended)  # one that is over is no mistake


def check_probes_are_real(target: Target, verb: str) -> None:
    """A service that can be probed answers, and the sample says when and how long."""
    service = _service(target, verb)
    if PROBE not in target.status(service).capabilities:
        return
    began, deadline = time.time(), time.monotonic() + PATIENCE_S
    while not (sample := target.probe(service)).ok:
        assert time.monotonic() < deadline, f"{service} does not answer its probe: {sample}"
    assert began <= sample.at <= time.time()
    assert 0 < sample.seconds < PATIENCE_S


def check_what_is_local_is_there(target: Target, verb: str) -> None:
    """Where `host` is listed, the process is on this machine."""
    del verb
    for name, status in target.services().items():
        assert (HOST in status.capabilities) == (status.host is not None), f"{name}: `host` and HostAccess differ"
        if status.host and status.state == "running":
            os.kill(status.host.pid, 0)


def check_experience_is_plausible(target: Target, verb: str) -> None:
    """Numbers of requests and times are not negative."""
    del verb
    seen = target.experience()
    assert seen is None or (seen.sent >= 0 and seen.failed >= 0 and seen.p95_ms >= 0)


TARGET_CHECKS: Final[tuple[TargetCheck, ...]] = (
    check_services_are_listed,
    check_strange_questions_are_refused,
    check_a_key_is_done_once,
    check_a_lease_is_kept,
    check_probes_are_real,
    check_what_is_local_is_there,
    check_experience_is_plausible,
)


def _service(target: Target, verb: str) -> str:
    """A service that takes the verb, one that can be probed before others."""

    def rank(status: ServiceStatus) -> tuple[bool, str]:
        return PROBE not in status.capabilities, status.service

    return min((status for status in target.services().values() if verb in status.capabilities), key=rank).service
