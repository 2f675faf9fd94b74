"""A real shop for tests: started once a worker, without a telemetry receiver, on free ports."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chaos.target import Target


@contextmanager
def running_shop(folder: Path, *, otlp: str = "", rate: float = 8.0) -> Iterator[Target]:
    """Start the shop and wait until customers were served; stop it at the end."""
    log = (folder / "shop.log").open("ab")
    command = [sys.executable, "-m", "chaos.shop", "--data-dir", str(folder), "--rate", str(rate), "--otlp", otlp]
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
        log.close()
