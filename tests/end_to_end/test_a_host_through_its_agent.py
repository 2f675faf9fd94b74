"""A process on a host, broken by `watchkeeper chaos run` through its agent: everything is real, nothing stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bare_host import BareService
from tests.running_agent import TOKEN, RunningAgent, allowed
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.end_to_end]


class Installation:
    """A configuration that names the agent, and the command line."""

    def __init__(self, folder: Path, agent: RunningAgent, token: str = TOKEN) -> None:
        self.path = folder / "watchkeeper.yaml"
        self.path.write_text(
            f'data_dir: data\ntargets:\n  host: {{kind: agent, url: "{agent.url}", token_env: HOST_TOKEN}}\n'
        )
        # What else runs on this machine, against an agent of the same name, is no affair of these tests.
        self._environment = {**os.environ, "HOST_TOKEN": token, "TMPDIR": str(self.path.parent)}

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "watchkeeper.cli.main", "chaos", *words, "--config", str(self.path)]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, stdout=pipe, stderr=pipe, text=True, env=self._environment, cwd=self.path.parent
        )

    def run(self, *words: str) -> tuple[int, str, str]:
        """Exit status, output and messages of a command."""
        process = self.start(*words)
        out, err = process.communicate(timeout=600)
        return process.returncode, out, err


@pytest.fixture
def service() -> Iterator[BareService]:
    each = BareService()
    each.start()
    try:
        yield each
    finally:
        each.end()


@pytest.fixture
def agent(service: BareService, tmp_path: Path) -> Iterator[RunningAgent]:
    each = RunningAgent(tmp_path, allowed(service), bounds={"seconds": 60})
    each.start()
    try:
        yield each
    finally:
        each.stop()


def test_a_hang_takes_effect_ends_and_is_recorded(agent: RunningAgent, service: BareService, tmp_path: Path) -> None:
    """Proved by the host and by a request, reverted in time, and known to the state database."""
    installation = Installation(tmp_path, agent)
    before = service.processes()
    status, out, err = installation.run("run", "hang", "orders", "--seconds", "2")
    assert status == 0, err
    assert "completed; steady again: yes" in out
    assert "is stopped, and a request ends in" in err
    assert service.answers()
    assert service.processes() == before
    (held,) = agent.good("GET", "/faults")
    assert (held["state"], held["fault"], held["remains"]) == ("ended", "hang", [])
    status, out, err = installation.run("history", "--json")
    (row,) = json.loads(out)
    assert (row["fault"], row["target"], row["status"], row["effect"]["proved"]) == (
        "hang",
        "orders",
        "completed",
        True,
    )
    assert "outcome" in row  # the state database has it


def test_a_killed_injector_leaves_nothing_broken(agent: RunningAgent, service: BareService, tmp_path: Path) -> None:
    """kill -9 of the command while the fault holds: the agent ends it, and the record says `cut short`."""
    installation = Installation(tmp_path, agent)
    injector = installation.start("run", "kill", "orders", "--seconds", "5")
    (held,) = until(lambda: [each for each in agent.good("GET", "/faults") if each["effect"]], what="the effect")
    injector.kill()
    injector.communicate()
    assert not service.answers()
    assert held["ends_at"] - time.time() < 60
    state = agent.ended(held["id"])
    assert state["remains"] == []
    until(service.answers, what="the service")
    (row,) = json.loads(installation.run("history", "--json")[1])
    assert row["status"] == "cut short"


def test_what_the_agent_does_not_allow_is_refused_in_its_words(
    agent: RunningAgent, service: BareService, tmp_path: Path
) -> None:
    """A wrong token, a service that is not listed, a longer bound, a fault that is not allowed: nothing is broken."""
    installation = Installation(tmp_path, agent)
    refusals = [
        (("run", "hang", "payments"), "no service 'payments'"),
        (("run", "hang", "orders", "--seconds", "50"), "may be broken for at most 60 s"),
        (("run", "memory", "orders"), "does not offer fault:memory"),
    ]
    for words, reason in refusals:
        status, _, err = installation.run(*words)
        assert status != 0
        assert reason in err
    status, _, err = Installation(tmp_path, agent, token="a-token-that-the-agent-does-not-know").run(
        "run", "hang", "orders"
    )
    assert status != 0
    assert "401" in err
    assert agent.good("GET", "/faults") == []
    assert service.answers()
    assert {row["status"] for row in agent.audited() if row["what"] == "refused"} == {401}
