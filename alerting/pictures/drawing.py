"""A picture from a process of its own, which has a time limit and none of our secrets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from alerting.pictures.plot import Plot
from watchkeeper.errors import DeliveryError
from watchkeeper.state.codec import dump
from watchkeeper.text import one_line

TIMEOUT_S: Final = 30.0
SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"


def drawn(plot: Plot, cache: Path, timeout_s: float = TIMEOUT_S) -> bytes:
    """The PNG of a plot. `cache` is a folder in which the library keeps what it knows of the fonts.

    Raises:
        DeliveryError: the process failed, or took too long; it is over in either case.
    """
    cache.mkdir(parents=True, exist_ok=True)
    environment = {"MPLCONFIGDIR": str(cache), "MPLBACKEND": "Agg", "OPENBLAS_NUM_THREADS": "1", "LANG": "C.UTF-8"}
    environment |= {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    command = [sys.executable, "-m", "alerting.pictures.draw"]
    try:
        result = subprocess.run(
            command, input=dump(plot).encode(), capture_output=True, env=environment, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DeliveryError(f"the picture was not drawn within {timeout_s:g} s", retry=True, unsent=True) from error
    except OSError as error:
        why = f"the process that draws pictures cannot be started: {one_line(error, 200)}"
        raise DeliveryError(why, retry=True, unsent=True) from error
    if result.returncode or not result.stdout.startswith(SIGNATURE):
        last = result.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        why = f"the picture could not be drawn (exit status {result.returncode}): {one_line(last, 200)}"
        raise DeliveryError(why, retry=True, unsent=True)
    return result.stdout
