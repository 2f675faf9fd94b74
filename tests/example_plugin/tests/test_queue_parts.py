"""The parts of this package pass the suites of their kinds."""

import functools
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from queue_parts.backlog import Backlog
from queue_parts.full_queue import FULL_QUEUE
from queue_parts.incident_count import PAGE
from queue_parts.jam import Jam
from queue_parts.one_core import OneCore
from queue_parts.page_file import PAGE_FILE
from queue_parts.queue_status import QueueStatus
from queue_parts.unjam import Unjam
from queue_parts.worker_name import WorkerName
from queue_parts.workers import Workers

from watchkeeper.conformance import (
    agent_fault_suite,
    agent_finder_suite,
    channel_suite,
    detector_suite,
    evidence_suite,
    fault_suite,
    page_suite,
    source_suite,
    step_suite,
    target_suite,
)
from watchkeeper.target import TargetSettings

TestAgentFaults = agent_fault_suite({"one-core": OneCore()})
TestChannels = channel_suite({"page-file": PAGE_FILE})
TestDetectors = detector_suite({"backlog": Backlog})
TestEvidence = evidence_suite({"full_queue": FULL_QUEUE})
TestPages = page_suite({"incident-count": PAGE})
TestSources = source_suite({"queue-status": QueueStatus})
TestSteps = step_suite({"unjam": Unjam()})


@pytest.fixture(scope="module")
def url():
    """The address of running workers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, str(Path(__file__).parents[1] / "workers.py"), str(port)])
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                httpx.get(url)
                break
            except httpx.HTTPError:
                assert server.poll() is None
                time.sleep(0.1)
        yield url
    finally:
        server.kill()
        server.wait()


class TestTargets(target_suite({"workers": Workers})):
    """Against real workers; `unjam` gives a queue another one."""

    verb = "unjam"

    @pytest.fixture(scope="class")
    def settings(self, url):
        return TargetSettings(values={"url": url})


class TestFaults(fault_suite({"jam": Jam()})):
    """Against real workers."""

    @pytest.fixture(scope="class")
    def reach(self, url):
        return functools.partial(Workers, TargetSettings(values={"url": url}))


class TestAgentFinders(agent_finder_suite({"worker-name": WorkerName})):
    """A process whose short name is its program's."""

    @pytest.fixture
    def settings(self, tmp_path):
        name = "queue-worker-x"
        program = tmp_path / name
        program.symlink_to("/bin/sleep")
        process = subprocess.Popen([program, "600"])
        yield {"name": name}
        process.kill()
        process.wait()
