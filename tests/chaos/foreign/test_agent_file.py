"""The foreign system as services of an agent: its programs are found by their patterns, and started by commands."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from chaos.foreign.agent_file import AgentFile, agent_file
from chaos.foreign.programs import find
from chaos.foreign.system import CALLS, NODE_SERVICES, Library
from tests.waiting import until
from watchkeeper.errors import ChaosError
from watchkeeper.ports import free_port


@pytest.fixture(scope="module")
def library() -> Iterator[Library]:
    try:
        programs = find()
    except ChaosError as error:
        pytest.skip(error.message)
    with Library(programs, "http://127.0.0.1:9", free_port, restarts=False) as running:
        yield running


@pytest.fixture(scope="module")
def file(library: Library, tmp_path_factory: pytest.TempPathFactory) -> AgentFile:
    folder = tmp_path_factory.mktemp("agent")
    return agent_file(library, folder, port=free_port(), token_sha256="0" * 64, free_port=free_port, faults=["hang"])


def matching(settings: dict[str, Any]) -> list[int]:
    """The processes whose command line matches, without those whose parent does."""
    found = {}
    for process in psutil.process_iter(["cmdline", "ppid"]):
        if re.search(settings["pattern"], " ".join(process.info["cmdline"] or ())):
            found[process.pid] = process.info["ppid"]
    return [pid for pid, parent in found.items() if parent not in found]


@pytest.mark.slow
def test_each_program_is_found_and_no_other(library: Library, file: AgentFile) -> None:
    """One process for each pattern: the program's own."""
    services = file.content["services"]
    assert set(services) == {"nginx", "postgresql", "redis", *NODE_SERVICES}
    for name, service in services.items():
        assert matching(service["find"]["process"]) == [library.pid(name)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["readers", "redis", "nginx"])
def test_its_commands_stop_and_start_it(library: Library, file: AgentFile, name: str) -> None:
    """As an agent runs them; a second time does nothing, and what was killed stays down until it is started."""
    settings = file.content["services"][name]["find"]["process"]
    first = library.pid(name)
    for _ in range(2):
        subprocess.run(settings["stop"], check=True)
        assert matching(settings) == []
    subprocess.run(settings["start"], check=True)
    (second,) = until(lambda: matching(settings), what=name)
    assert second != first
    subprocess.run(settings["start"], check=True)
    assert matching(settings) == [second]
    psutil.Process(second).kill()
    until(lambda: not matching(settings), what="its end")
    subprocess.run(settings["start"], check=True)
    until(lambda: matching(settings), what=name)


@pytest.mark.slow
def test_a_bad_deploy_is_a_pair_of_commands(library: Library, file: AgentFile) -> None:
    """Another version where the old one listened, and the first one again; what runs already is left alone."""
    settings = file.content["services"]["catalogue"]["settings"]
    port, first = library.ports["catalogue"], library.pid("catalogue")
    for what in ("do", "undo"):
        subprocess.run(settings[f"command.bad_deploy.{what}"], shell=True, check=True)
        assert library.pid("catalogue") != first
        assert library.ports["catalogue"] == port
        assert matching(file.content["services"]["catalogue"]["find"]["process"]) == [library.pid("catalogue")]
    again = library.pid("catalogue")
    for repair in (settings["command.bad_deploy.undo"], shlex.join(_roll_back(file, "catalogue"))):
        subprocess.run(repair, shell=True, check=True)
        assert library.pid("catalogue") == again


def _roll_back(file: AgentFile, service: str) -> list[str]:
    """What a runbook may have the agent run."""
    command: list[str] = file.content["services"][service]["commands"]["roll-back"]["run"]
    return command


@pytest.mark.slow
def test_what_is_wrong_is_said(library: Library, file: AgentFile) -> None:
    """The command fails, with a sentence for the agent."""
    command = file.content["services"]["readers"]["find"]["process"]["start"][:-2]
    for words, reason in (
        (["start", "nobody"], "no program 'nobody'"),
        (["explode", "readers"], "readers takes start"),
    ):
        done = subprocess.run([*command, *words], capture_output=True, text=True)
        assert (done.returncode, done.stderr.startswith(reason)) == (1, True)


def test_callers_are_led_through_the_proxies_and_back(library: Library, file: AgentFile) -> None:
    """Every path to a program that is called, and no path to another place."""
    assert set(file.proxies) == {callee for callees in CALLS.values() for callee in callees}
    file.lead_callers(library)
    assert {path.target for path in library.paths_to("redis")} == {file.proxies["redis"]}
    file.lead_callers_straight(library)
    assert {path.target for path in library.paths_to("redis")} == {library.ports["redis"]}


def test_the_tests_folder_is_left_clean(library: Library, file: AgentFile) -> None:
    """What faults fill is in the library's own folder."""
    for service in file.content["services"].values():
        assert Path(service["settings"]["fill_folder"]).is_relative_to(library.folder)
