"""Rules of nftables, in a table of their own that is named after the fault's mark.

The rules match by a set whose only element has a time-out: the kernel itself ends what they do, even if nobody is left.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Final

from watchkeeper.errors import AgentError

WITHIN_S: Final = 10.0
KNOCK_WITHIN_S: Final = 0.3
_PATH: Final = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


@cache
def missing() -> str:
    """Why there is no packet filter to use, in words; empty: there is one."""
    if not shutil.which("nft", path=_PATH):
        return "the command nft is not installed"
    try:
        _nft("list tables")
    except AgentError:
        return "the agent may not change the packet filter (CAP_NET_ADMIN), or the kernel has none"
    return ""


def is_in_our_network(pid: int) -> bool:
    """Whether a process is in the agent's network namespace, where the agent's rules count."""
    try:
        theirs, own = (os.stat(f"/proc/{one}/ns/net") for one in (pid, "self"))  # noqa: PTH116 - a link to no file
    except OSError:
        return False
    return theirs.st_ino == own.st_ino


def user_of(pid: int) -> int:
    """The user that a process runs as. Raises AgentError where it is gone."""
    try:
        return Path(f"/proc/{pid}").stat().st_uid
    except OSError as error:
        raise AgentError(f"process {pid} is gone") from error


@contextmanager
def as_user(user: int) -> Iterator[None]:
    """What is sent here is that user's, as far as the agent may."""
    own = os.geteuid()
    if own != user:
        with suppress(PermissionError):
            os.seteuid(user)
    try:
        yield
    finally:
        if os.geteuid() != own:
            os.seteuid(own)


def knock(host: str, port: int) -> None:
    """Try to connect: a packet for the counters where nobody else sends one."""
    with suppress(OSError), socket.create_connection((host, port), KNOCK_WITHIN_S):
        pass


def table_name(mark: str) -> str:
    """The table of the fault with this mark."""
    return mark.replace("-", "_")


def add(mark: str, port: int, seconds: float, hook: str, rules: Sequence[str]) -> None:
    """Add the table. Each rule may name `@ports`, which holds `port` for so many seconds.

    Raises:
        AgentError: the kernel refuses it.
    """
    lines = "\n".join(f"    {rule}" for rule in rules)
    until = f"timeout {max(1, round(seconds))}s"
    _nft(
        f"table inet {table_name(mark)} {{\n"
        f"  set ports {{ type inet_service; flags timeout; elements = {{ {port} {until} }} }}\n"
        f"  chain disturb {{ type filter hook {hook} priority -150;\n{lines}\n  }}\n}}\n"
    )


def remove(mark: str) -> None:
    """Remove the table, where it is there. Raises AgentError."""
    if is_there(mark):
        _nft(f"delete table inet {table_name(mark)}")


def is_there(mark: str) -> bool:
    """Whether the table is there. Raises AgentError."""
    return f"table inet {table_name(mark)}" in _nft("list tables").splitlines()


def remaining(mark: str) -> tuple[str, ...]:
    """The table, in words, where it is there. Raises AgentError."""
    return (f"the table {table_name(mark)} of the packet filter",) if is_there(mark) else ()


def packets(mark: str) -> int:
    """How many packets the table's counters counted."""
    words = _nft(f"list table inet {table_name(mark)}").split()
    return sum(int(words[at + 1]) for at, word in enumerate(words[:-1]) if word == "packets")


def _nft(script: str) -> str:
    command = shutil.which("nft", path=_PATH)
    if not command:
        raise AgentError("the command nft is not installed any more; without it rules cannot be removed")
    try:
        done = subprocess.run(
            [command, "-f", "-"], input=script, capture_output=True, text=True, timeout=WITHIN_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise AgentError(f"nft did not end within {WITHIN_S:g} s") from error
    if done.returncode:
        raise AgentError(f"nft: {done.stderr.strip()[:300]}")
    return done.stdout
