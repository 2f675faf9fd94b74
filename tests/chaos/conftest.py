"""One real shop for the tests of this folder: started once, without a telemetry receiver, on free ports."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from chaos.targets.shop import Target
from tests.waiting import until


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A running shop under light load."""
    folder = tmp_path_factory.mktemp("shop")
    command = [sys.executable, "-m", "chaos.shop", "--data-dir", str(folder), "--rate", "8"]
    with (folder / "shop.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:

        def started() -> bool:
            assert process.poll() is None, (folder / "shop.log").read_text()
            return (folder / "load.json").exists()

        until(started, moving=lambda: psutil.Process(process.pid).cpu_times(), what="the shop's start")
        target = Target.at(folder)
        yield target
        target.close()
    finally:
        process.terminate()
        process.wait(15)
