"""The fault `clock_skew`."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from agent.faults.asked import number
from agent.holders import marked
from agent.holders.put_back import stand_by
from watchkeeper.errors import AgentError

if TYPE_CHECKING:
    from agent.fault import Record
    from agent.instance import Instance

LONGEST_S: Final = 10 * 365 * 86400.0
WITHIN_S: Final = 5.0
_NAMES: Final = ("LD_PRELOAD", "FAKETIME", "FAKETIME_TIMESTAMP_FILE", "FAKETIME_NO_CACHE", "FAKETIME_CACHE_DURATION")


class ClockSkew:
    """The service's clock is ahead by `skew_s` seconds, or behind; the host's clock is not touched.

    For a service that was started with libfaketime: `LD_PRELOAD`, and `FAKETIME_TIMESTAMP_FILE` in a folder of its own.
    The fault writes that file. The library reads it every ten seconds, or each time with `FAKETIME_NO_CACHE=1`.
    """

    name = "clock_skew"
    description = "its clock is wrong"
    arguments: Mapping[str, float | str] = MappingProxyType({"skew_s": 3600.0})

    def lacks(self, instance: Instance) -> str:
        if not instance.pids:
            return "it does not run"
        environment = _environment(instance.pid)
        if "faketime" not in environment.get("LD_PRELOAD", "") or not environment.get("FAKETIME_TIMESTAMP_FILE"):
            return "it was not started with libfaketime: set LD_PRELOAD and FAKETIME_TIMESTAMP_FILE where it is started"
        folder = Path(environment["FAKETIME_TIMESTAMP_FILE"]).parent
        return "" if os.access(folder, os.W_OK) else f"the agent may not write into {folder}"

    def plan(self, instance: Instance, seconds: float, arguments: Mapping[str, float | str]) -> dict[str, Any]:
        environment = _environment(instance.pid)
        path = Path(environment["FAKETIME_TIMESTAMP_FILE"])
        return {
            "mark": marked.new_mark(),
            "file": str(path),
            "before": path.read_text() if path.exists() else None,
            "skew_s": number(arguments, "skew_s", -LONGEST_S, LONGEST_S),
            "environment": environment,
            "until": time.time() + seconds,
        }

    def begin(self, record: Record) -> None:
        facts = {name: record[name] for name in ("mark", "file", "before", "skew_s")}
        left = record["until"] - time.time()
        stand_by(record["mark"], f"{__name__}:{type(self).__name__}", left, facts)
        _write(record, _offset(record))

    def effect(self, record: Record) -> str:
        """What another program sees that is started as the service was."""
        try:
            done = subprocess.run(
                ["date", "+%s"], env=record["environment"], capture_output=True, text=True, timeout=WITHIN_S, check=True
            )
            ahead = float(done.stdout) - time.time()
        except (OSError, subprocess.SubprocessError, ValueError):
            return ""
        if abs(ahead - record["skew_s"]) > max(2.0, abs(record["skew_s"]) * 0.5):
            return ""
        return f"a program that is started as it was has a clock that is {ahead:+.0f} s from the host's"

    def end(self, record: Record) -> None:
        path = Path(record["file"])
        if _holds(record):
            if record["before"] is None:
                path.unlink(missing_ok=True)
            else:
                _write(record, record["before"])
        _draft(record).unlink(missing_ok=True)
        marked.end(record["mark"])

    def remains(self, record: Record) -> tuple[str, ...]:
        left = marked.remaining(record["mark"])
        return (*left, f"the file {record['file']}") if _holds(record) and record["before"] != _offset(record) else left


def _environment(pid: int) -> dict[str, str]:
    """What the process was started with of the library's settings."""
    with suppress(OSError):
        text = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
        pairs = dict(pair.split("=", 1) for pair in text.split("\0") if "=" in pair)
        return {name: pairs[name] for name in _NAMES if name in pairs}
    return {}


def _offset(record: Record) -> str:
    return f"{record['skew_s']:+.3f}s\n"


def _holds(record: Record) -> bool:
    with suppress(OSError):
        return Path(record["file"]).read_text() == _offset(record)
    return False


def _draft(record: Record) -> Path:
    return Path(f"{record['file']}.{record['mark']}")


def _write(record: Record, text: str) -> None:
    """Replace the file at once: the library must never read half of it. Raises AgentError."""
    try:
        _draft(record).write_text(text)
        _draft(record).replace(record["file"])
    except OSError as error:
        raise AgentError(f"{record['file']} cannot be written: {error}") from error
