"""Processes of this host, each by an identity that no other process ever has.

A pid alone says little: the kernel gives it to another process later. `born` is what tells them apart.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from watchkeeper.errors import AgentError

PROC: Final = Path("/proc")
STOPPED: Final = ("T", "t")
GONE: Final = ("Z", "X", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One process as /proc shows it. `born`: the boot and the clock tick of its start."""

    pid: int
    parent: int
    group: int
    session: int
    state: str
    born: str


@cache
def boot() -> str:
    """What tells this boot of the host from every other."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


@cache
def _ticks_a_second() -> int:
    return os.sysconf("SC_CLK_TCK")


def seen(pid: int) -> Seen | None:
    """The process with this pid; None where there is none, or only what its parent has not collected yet."""
    try:  # no `Path`: hundreds of processes several times a second, and it keeps every name that it has seen
        with open(f"{PROC}/{pid}/stat", "rb") as file:  # noqa: PTH123
            text = file.read().decode(errors="replace")
    except (OSError, ValueError):
        return None
    # The command in brackets may hold anything, brackets too.
    fields = text[text.rindex(")") + 2 :].split()
    if fields[0] in GONE:
        return None
    return Seen(
        pid=pid,
        state=fields[0],
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        born=f"{boot()}:{fields[19]}",
    )


def born(pid: int) -> str:
    """The identity that goes with a pid; empty where nothing runs under it."""
    process = seen(pid)
    return process.born if process else ""


def is_alive(pid: int, identity: str) -> bool:
    """Whether the very process that had this identity still runs."""
    return bool(identity) and born(pid) == identity


def started_at(identity: str) -> float:
    """When a process began (Unix seconds), by the clock as it is set now; 0 for an empty identity, or another boot."""
    its_boot, _, ticks = identity.partition(":")
    if its_boot != boot():
        return 0.0
    for line in (PROC / "stat").read_text().splitlines():
        if line.startswith("btime "):
            return float(line.split()[1]) + int(ticks) / _ticks_a_second()
    return 0.0


def all_seen() -> Iterator[Seen]:
    """Every process of this host that can be seen."""
    for entry in os.listdir(PROC):  # noqa: PTH208 - hundreds of names, several times a second
        if entry.isdecimal() and (process := seen(int(entry))):
            yield process


def with_children(pid: int) -> tuple[int, ...]:
    """A process and everything that descends from it, the oldest first; empty where it does not run."""
    if seen(pid) is None:
        return ()
    children: dict[int, list[int]] = {}
    for process in all_seen():
        children.setdefault(process.parent, []).append(process.pid)
    found = [pid]
    for each in found:
        found.extend(child for child in sorted(children.get(each, ())) if child not in found)
    return tuple(found)


def send(pid: int, identity: str, what: signal.Signals) -> bool:
    """Send a signal to the very process that had this identity; False where it is gone.

    Raises:
        AgentError: this user may not.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    except PermissionError as error:
        raise _not_allowed(pid, what) from error
    try:
        # The descriptor means one process for good, so this is asked after it was opened.
        if born(pid) != identity:
            return False
        signal.pidfd_send_signal(descriptor, what)
    except ProcessLookupError:
        return False
    except PermissionError as error:
        raise _not_allowed(pid, what) from error
    finally:
        os.close(descriptor)
    return True


def _not_allowed(pid: int, what: signal.Signals) -> AgentError:
    return AgentError(
        f"this user may not send {what.name} to process {pid}: run the agent as root, or as the service's user"
    )
