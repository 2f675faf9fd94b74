"""Start a process once, also where whoever starts it is killed in the middle.

The process first waits for a word from its starter, who meanwhile notes its identity on the disk. If the starter dies
before the word, the process ends and has done nothing; if after, its identity is on the disk.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from agent.processes import born
from watchkeeper.errors import AgentError

# The shell becomes the command (`exec`), so the process id stays. Without a word, `read` fails.
_WAIT: Final = 'read -r word && exec "$@" </dev/null'
# What a service may inherit of the agent's own environment, which holds its token.
_INHERITED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "SHELL")


class CommandFailed(AgentError):
    """A command ran, and ended with a status other than 0."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


_launched: dict[int, subprocess.Popen[bytes]] = {}


def launch(
    command: Sequence[str],
    *,
    note: Callable[[int, str], None],
    folder: str | None = None,
    user: str | None = None,
    log: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Start `command` in a session of its own, and return its process id.

    Args:
        note: keeps the process id and its identity where a later end finds them; called before anything runs.
        log: a file to which its output is appended; None: nowhere.

    Raises:
        AgentError: it cannot be started.
    """
    waits, word = os.pipe()
    output = None
    try:
        output = open(log, "ab") if log else None  # noqa: SIM115, PTH123 - closed below, whatever happens
        process = subprocess.Popen(
            ["/bin/sh", "-c", _WAIT, "sh", *command],
            stdin=waits,
            stdout=output or subprocess.DEVNULL,
            stderr=subprocess.STDOUT if output else subprocess.DEVNULL,
            cwd=folder,
            user=user,
            env={**clean_environment(), **(environment or {})},
            start_new_session=True,
        )
        note(process.pid, born(process.pid))
        os.write(word, b"go\n")
    except (OSError, ValueError, KeyError) as error:
        raise AgentError(f"{command[0]} cannot be started: {error}") from error
    finally:
        os.close(waits)
        os.close(word)
        if output:
            output.close()
    reap()
    _launched[process.pid] = process
    return process.pid


def reap() -> None:
    """Collect what was launched here and has ended, so that no zombies stay. Cheap; called now and then."""
    for process in [process for process in _launched.values() if process.poll() is not None]:
        del _launched[process.pid]


def failure(pid: int) -> int:
    """The exit status with which a launched process failed; 0: it runs, or ended well."""
    process = _launched.get(pid)
    return (process.poll() or 0) if process else 0


def clean_environment() -> dict[str, str]:
    """The part of the agent's environment that others may have."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ}


def run(command: Sequence[str], *, within_s: float, folder: str | None = None, user: str | None = None) -> str:
    """Run a command to its end, and return what it wrote, shortened.

    Raises:
        CommandFailed: it ended with another status than 0.
        AgentError: it took too long, or cannot be started.
    """
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            user=user,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=within_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise AgentError(f"{command[0]} took longer than {within_s:g} s and was ended") from error
    except (OSError, ValueError, KeyError) as error:
        raise AgentError(f"{command[0]} cannot be started: {error}") from error
    output = done.stdout.decode(errors="replace").strip()
    if done.returncode:
        words = f"{command[0]} failed with status {done.returncode}: {output[-300:]}"
        raise CommandFailed(words, done.returncode)
    return output
