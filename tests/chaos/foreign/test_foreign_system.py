"""The system that is not ours: it runs, breaks, recovers, and is found where nobody tuned anything."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from bench.foreign import FELT_SHARE, ROLES, is_name, role_changes, run
from bench.own_roles import OwnRoles
from chaos.demo.loop import Loop, paged_at
from chaos.foreign.faults import FAULTS, HARMLESS, ForeignFault
from chaos.foreign.programs import Programs, find
from chaos.foreign.system import Library
from chaos.foreign.users import Users
from tests.waiting import until
from watchkeeper.errors import ChaosError
from watchkeeper.ports import free_port

RATE = 15.0
WARM_UP_S = 70.0
PAGE_WITHIN_S = 60.0
FEW = 20  # requests
SLOWER_S = 0.08  # less than any of the delays that the faults make
FELT_WITHIN_S = 40.0


@pytest.fixture(scope="module")
def programs() -> Programs:
    try:
        return find()
    except ChaosError as error:
        pytest.skip(error.message)


@pytest.fixture(scope="module")
def library(programs: Programs) -> Iterator[Library]:
    with Library(programs, "http://127.0.0.1:9", free_port) as running:
        yield running


def fault(kind: str) -> ForeignFault:
    return next(one for one in FAULTS if one.kind == kind)


def test_it_has_enough_kinds_of_faults_and_harmless_changes() -> None:
    """Twelve faults of eight kinds at least, each with a right answer."""
    assert len({one.kind for one in FAULTS}) >= 12
    assert len(HARMLESS) >= 3
    assert all(one.culprits and one.mechanisms for one in FAULTS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["errors before routing", "partition", "full store", "crash", "slow database"])
def test_users_feel_a_fault_and_its_end(library: Library, kind: str) -> None:
    """Requests fail or take far longer while it lasts, and are well again afterwards."""
    with Users(library.url, RATE * 2, seed=3) as users:
        time.sleep(2.0)
        before = users.since(0.0)
        assert before
        assert sum(one.failed for one in before) == 0
        usual = median(one.seconds for one in before)
        with fault(kind).do(library, users):
            began = time.time()

            def felt() -> bool:
                """Five failures, or most of the newest requests far slower than most were."""
                during = users.since(began)
                newest = [one.seconds for one in during[-FEW:]]
                slower = len(newest) == FEW and median(newest) > usual + SLOWER_S
                return slower or sum(one.failed for one in during) >= 5

            until(felt, stalled_s=FELT_WITHIN_S, what=kind)
        deadline = time.monotonic() + 40.0
        while time.monotonic() < deadline:
            since = time.time()
            time.sleep(1.5)
            after = users.since(since)
            if after and sum(one.failed for one in after) < FELT_SHARE * len(after):
                return
        pytest.fail(f"requests still fail after {kind}: {library.state()}")


@pytest.mark.slow
@pytest.mark.end_to_end
def test_a_fault_is_paged_and_named(programs: Programs, tmp_path: Path) -> None:
    """Errors that the SDK reports under another operation's name, through the real roles to the page."""
    broken = fault("errors before routing")
    with OwnRoles(tmp_path, role_changes()) as roles:
        roles.start(*ROLES)
        with Library(programs, roles.otlp_url, free_port) as library, Users(library.url, RATE, seed=5) as users:
            time.sleep(WARM_UP_S)
            loop = Loop(roles.config)
            began = time.time()
            with broken.do(library, users):
                paged = []
                while not paged and time.time() < began + PAGE_WITHIN_S:
                    time.sleep(0.5)
                    paged = [one for one in loop.opened_since(began) if paged_at(one) and one.diagnosis]
            loop.close()
    assert paged, "no page"
    diagnosis = paged[0].diagnosis
    assert diagnosis is not None
    first = diagnosis.suspects[0].service
    assert any(is_name(first, culprit) for culprit in broken.culprits), first


def test_a_fault_that_does_not_exist_is_refused_by_name() -> None:
    """Before anything starts, with the names that there are."""
    with pytest.raises(ChaosError, match=r"no fault 'crash_loop'; known are: .*, crash loop, "):
        run(rounds=1, quiet_minutes=0, hold_s=10, kinds=["crash_loop"], as_json=True, keep=None)
