"""A shop that runs with a data directory, as a target; started here, or by somebody else."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chaos.shop.topology import READY_FILE, STATS_FILE
from watchkeeper.errors import ChaosError
from watchkeeper.target import DEFAULT_KIND, Target, TargetSettings, open_target

START_WITHIN_S = 300.0  # two seconds on an idle machine
STOP_WITHIN_S = 15.0  # it ends its services first


def running_shop(data_dir: Path) -> Target:
    """Raises ChaosError where no shop runs."""
    try:
        ready = json.loads((data_dir / READY_FILE).read_text())
    except FileNotFoundError as error:
        raise ChaosError(f"no shop runs in {data_dir}; start one with `python -m chaos.shop`") from error
    return shop_target(ready["control"], ready["token"])


def shop_target(control_url: str, token: str) -> Target:
    """The shop behind a control address."""
    return open_target(DEFAULT_KIND, TargetSettings(url=control_url, token=token))


@contextmanager
def started_shop(data_dir: Path, rate_per_s: float = 8.0) -> Iterator[Target]:
    """A shop of one's own on free ports, without a telemetry receiver, from its first customers until the end.

    Raises:
        ChaosError: it could not start, with the end of its log.
    """
    log = data_dir / "shop.log"
    command = [sys.executable, "-m", "chaos.shop", "--data-dir", str(data_dir), "--rate", str(rate_per_s)]
    with log.open("ab") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + START_WITHIN_S
        while not (data_dir / STATS_FILE).exists():
            if process.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
                raise ChaosError(f"the shop could not start; the end of {log}:\n{tail}")
            time.sleep(0.05)
        target = running_shop(data_dir)
        try:
            yield target
        finally:
            target.close()
    finally:
        process.terminate()
        process.wait(STOP_WITHIN_S)
