"""A fault ends by itself, whoever of those that hold it is killed: agent, keeper, and the process that broke."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.audit import newest
from agent.finder import described_finder
from agent.keeper import STOP_FILE
from agent.keepers import Keepers
from agent.records import FaultState, fault_folder
from agent.registry import host_faults
from tests.bare_host import BareService, keepers_of
from tests.waiting import until

LONG_S = 600.0
FAULTS = ("hang", "kill")


@pytest.fixture
def service() -> Iterator[BareService]:
    service = BareService()
    service.start()
    try:
        yield service
    finally:
        service.end()


@pytest.fixture
def keepers(tmp_path: Path) -> Iterator[Keepers]:
    keepers = Keepers(tmp_path)
    try:
        yield keepers
    finally:
        keepers.close()
        until(lambda: not keepers_of(tmp_path), what="the end of all keepers")


def begin(keepers: Keepers, fault: str, service: BareService, seconds: float = LONG_S) -> str:
    fault_id = f"{fault}1"
    keepers.begin(fault_id, host_faults()[fault], service.instance(), seconds, {})
    return fault_id


def with_effect(keepers: Keepers, fault_id: str) -> FaultState:
    return until(lambda: (state := keepers.state(fault_id)) and state.effect and state, what="the effect")


def ended(keepers: Keepers, fault_id: str) -> FaultState:
    return until(lambda: (state := keepers.state(fault_id)) and state.state == "ended" and state, what="the end")


def check_nothing_is_left(root: Path, service: BareService) -> None:
    assert service.answers(timeout_s=30)
    assert len(service.processes()) == 1
    until(lambda: not keepers_of(root), what="the end of the keepers")
    assert list((root / "faults").iterdir()) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_it_takes_effect_and_ends_when_its_time_is_over(
    fault: str, keepers: Keepers, service: BareService, tmp_path: Path
) -> None:
    fault_id = begin(keepers, fault, service, 1.5)
    assert with_effect(keepers, fault_id).effect_at > 0
    state = ended(keepers, fault_id)
    assert (state.reason, state.error, state.remains) == ("its time is over", "", ())
    check_nothing_is_left(tmp_path, service)
    assert [row["what"] for row in newest(tmp_path, 10)] == ["fault.ended", "fault.effect", "fault.begun"]


@pytest.mark.parametrize("fault", FAULTS)
def test_it_ends_when_it_is_told_to(fault: str, keepers: Keepers, service: BareService, tmp_path: Path) -> None:
    fault_id = begin(keepers, fault, service)
    with_effect(keepers, fault_id)
    assert not service.answers(timeout_s=0.3)
    keepers.end(fault_id, "somebody asked")
    assert ended(keepers, fault_id).reason == "somebody asked"
    check_nothing_is_left(tmp_path, service)


def test_the_stop_file_ends_it(keepers: Keepers, service: BareService, tmp_path: Path) -> None:
    """Whoever has a shell on the host needs no agent for it."""
    fault_id = begin(keepers, "hang", service)
    with_effect(keepers, fault_id)
    (tmp_path / STOP_FILE).touch()
    assert ended(keepers, fault_id).reason == "everything was stopped"
    check_nothing_is_left(tmp_path, service)


@pytest.mark.parametrize("victims", [("keeper",), ("work",), ("keeper", "work")], ids="-".join)
@pytest.mark.parametrize("fault", FAULTS)
def test_it_ends_when_who_holds_it_is_killed(
    fault: str, victims: tuple[str, ...], keepers: Keepers, service: BareService, tmp_path: Path
) -> None:
    fault_id = begin(keepers, fault, service)
    with_effect(keepers, fault_id)
    kill(tmp_path, fault_id, victims)
    assert "gone" in ended(keepers, fault_id).reason
    check_nothing_is_left(tmp_path, service)


AGENT = """
import json, sys
from pathlib import Path
from agent.finder import finder_of
from agent.instance import Instance
from agent.keepers import Keepers
from agent.registry import host_faults
root, fault, described = Path(sys.argv[1]), sys.argv[2], json.load(open(sys.argv[3]))
instance = Instance(service="orders", pids=finder_of(described).find()[0].pids, finder=described)
Keepers(root).begin(fault + "1", host_faults()[fault], instance, 600.0, {})
sys.stdin.read()
"""


@pytest.mark.parametrize("with_it", [(), ("keeper",), ("work",), ("keeper", "work")], ids="-".join)
@pytest.mark.parametrize("fault", FAULTS)
def test_it_ends_when_the_agent_is_killed(
    fault: str, with_it: tuple[str, ...], service: BareService, tmp_path: Path
) -> None:
    """Alone or with any of the others; only after the death of all three does it wait for the next agent."""
    how = tmp_path / "how.json"  # on its command line, it would be found by the service's pattern
    how.write_text(json.dumps(service.described))
    command = [sys.executable, "-c", AGENT, tmp_path, fault, how]
    asking = Keepers(tmp_path)
    with subprocess.Popen(command, stdin=subprocess.PIPE) as agent:
        with_effect(asking, f"{fault}1")
        # The agent first, all at one blow: whoever is left must not have had the time to be told.
        kill(tmp_path, f"{fault}1", with_it, agent.pid)
    if len(with_it) == 2:
        until(lambda: not keepers_of(tmp_path), what="the death of all")
        assert asking.recover() == (f"{fault}1",)
    state = ended(asking, f"{fault}1")
    assert "gone" in state.reason
    check_nothing_is_left(tmp_path, service)


def kill(root: Path, fault_id: str, victims: tuple[str, ...], *others: int) -> None:
    folder = fault_folder(root, fault_id)
    noted = [folder.process(victim) for victim in victims]
    pids = [*others, *(process[0] for process in noted if process)]
    assert len(pids) == len(victims) + len(others)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def test_trying_to_end_again_and_again_takes_nothing_more_each_time(
    keepers: Keepers, service: BareService, tmp_path: Path
) -> None:
    """A service that can't be started for days must not cost its keeper all descriptors before it can be."""
    tries, may_start = tmp_path / "tries", tmp_path / "may-start"
    command = 'echo >> "$0"; test -e "$1" && shift && exec "$@"'
    start = ["sh", "-c", command, str(tries), str(may_start), *service.settings["start"]]
    service.described = described_finder("process", {**service.settings, "start": start})
    keepers.begin("kill1", host_faults()["kill"], service.instance(), 1.0, {})
    (keeper,) = until(lambda: len(found := keepers_of(tmp_path)) == 1 and found, what="the keeper at rest")

    opened: dict[int, list[int]] = {}

    def tried_often() -> bool:
        """Between tries a keeper holds the fewest descriptors."""
        count = len(tries.read_text()) if tries.exists() else 0
        opened.setdefault(count, []).append(sum(1 for _ in Path(f"/proc/{keeper}/fd").iterdir()))
        return count >= 4

    until(tried_often, moving=lambda: tuple(opened), what="four tries")
    may_start.touch()
    at_first = min(min(seen) for count, seen in opened.items() if 0 < count < 3)
    assert min(min(seen) for count, seen in opened.items() if count >= 3) <= at_first
    assert ended(keepers, "kill1").remains == ()
    assert service.answers()
