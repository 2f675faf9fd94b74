"""One real shop for the tests of this folder: started once, without a telemetry receiver, on free ports."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from chaos.target import Target


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A running shop under light load."""
    folder = tmp_path_factory.mktemp("shop")
    command = [sys.executable, "-m", "chaos.shop", "--data-dir", str(folder), "--rate", "8"]
    with (folder / "shop.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 60
        while not (folder / "load.json").exists():
            assert process.poll() is None, (folder / "shop.log").read_text()
            assert time.monotonic() < deadline, "the shop did not start within a minute"
            time.sleep(0.05)
        target = Target.at(folder)
        yield target
        target.close()
    finally:
        process.terminate()
        process.wait(15)
