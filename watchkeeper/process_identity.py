"""Which process a number means: the kernel gives the number of one that has ended to another."""

from __future__ import annotations

from pathlib import Path


def began(pid: int) -> int | None:
    """When a process began, in ticks since the machine did; None where it is gone, or waits to be buried.

    Unlike a time of day, this does not move when somebody sets the clock.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *fields = text.rpartition(")")[2].split()  # a program's name may hold blanks and brackets
    return None if state in ("Z", "X") else int(fields[18])


def identity(pid: int) -> str:
    """What no other process has, on this machine and since whichever boot; empty where it is gone."""
    ticks = began(pid)
    return "" if ticks is None else f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}:{ticks}"


def is_alive(pid: int, known: str) -> bool:
    """Whether the very process that had this identity still runs."""
    return bool(known) and identity(pid) == known
