"""Faults by nftables, each in a network namespace of its own that ends with the test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent.faults.dns import Dns
from tests.agent.trials import instance_of
from watchkeeper.errors import AgentError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["partition", "deadline", "loss", "dns", "dependency", "twice"])
def test_the_packet_filter_does_and_undoes(name: str) -> None:
    """See tests/agent/in_own_network.py."""
    if not shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or not shutil.which("unshare"):
        pytest.skip("nft is not installed")
    command = ["unshare", "--net", sys.executable, "-m", "tests.agent.in_own_network", name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if "unshare failed" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["a..b", ".", "x" * 64 + ".example.com"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(AgentError, match="is no name"):
        Dns().plan(instance_of("desk", os.getpid(), settings={"dns_names": name}), 60.0, {"name": name})
