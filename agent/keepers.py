"""The agent's hold on its keepers: starts them, notices when one dies, and has the next one end what it held."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.audit import audit
from agent.finder import place_of
from agent.keeper import command
from agent.launch import clean_environment
from agent.records import FaultFolder, FaultState, ended_state, ended_states, fault_folder, open_folders
from watchkeeper.errors import AgentError

if TYPE_CHECKING:
    from agent.fault import HostFault
    from agent.instance import Instance

AGAIN_S: Final = (0.1, 0.5, 2.0, 10.0, 30.0)
UNREADABLE: Final = 4  # a keeper's exit status


class Keepers:
    """Every fault of one state folder that has not ended. Threads may share it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._pipes: dict[str, subprocess.Popen[bytes]] = {}
        self._closed = threading.Event()

    def begin(
        self,
        fault_id: str,
        fault: HostFault,
        instance: Instance,
        seconds: float,
        arguments: Mapping[str, float | str],
    ) -> FaultState:
        """Have a keeper begin a fault; returns at once.

        Raises:
            AgentError: an argument is out of its range, or the record cannot be written; nothing was broken.
        """
        facts = fault.plan(instance, seconds, arguments)
        now = time.time()
        state = FaultState(
            id=fault_id,
            service=instance.service,
            fault=fault.name,
            dependency=str(facts.get("dependency", "")),
            began_at=now,
            ends_at=now + seconds,
        )
        folder = fault_folder(self._root, fault_id)
        try:
            folder.create(state, place_of(fault), seconds, facts)
        except OSError as error:
            folder.remove()
            raise AgentError(
                f"{folder.path} cannot be written ({error.strerror or error}); nothing was broken"
            ) from error
        self._watch(folder, only_end=False)
        return state

    def recover(self) -> tuple[str, ...]:
        """End what agents and keepers before this one left behind; returns the ids. Called once, at the start."""
        left = []
        for folder in open_folders(self._root):
            if not folder.is_begun() or ended_state(self._root, folder.id):
                folder.remove()
                continue
            audit(self._root, "fault.recovered", id=folder.id)
            left.append(folder.id)
            self._watch(folder, only_end=True)
        return tuple(left)

    def end(self, fault_id: str, reason: str) -> None:
        """Tell a fault's keeper to end it now; nothing happens where it has ended."""
        with self._lock:
            keeper = self._pipes.get(fault_id)
            if keeper and keeper.stdin and not keeper.stdin.closed:
                with suppress(OSError):  # it is gone: then its end is under way
                    keeper.stdin.write(reason.encode() + b"\n")
                    keeper.stdin.flush()

    def end_all(self, reason: str) -> tuple[str, ...]:
        """Tell every keeper to end its fault now; returns the ids."""
        ids = tuple(folder.id for folder in open_folders(self._root))
        for fault_id in ids:
            self.end(fault_id, reason)
        return ids

    def ended(self) -> tuple[FaultState, ...]:
        """The newest faults that have ended, the newest first."""
        return ended_states(self._root)

    def states(self) -> tuple[FaultState, ...]:
        """Every fault that has not ended."""
        states = []
        for folder in open_folders(self._root):
            with suppress(AgentError):
                states.append(folder.state())
        return tuple(states)

    def state(self, fault_id: str) -> FaultState | None:
        """One fault, also after its end; None where it is not known."""
        if not fault_id.isalnum():
            return None
        with suppress(AgentError):
            return fault_folder(self._root, fault_id).state()
        return ended_state(self._root, fault_id)

    def close(self) -> None:
        """Let go: every keeper ends its fault, as when the agent dies."""
        self._closed.set()
        with self._lock:
            for keeper in self._pipes.values():
                if keeper.stdin:
                    with suppress(OSError):
                        keeper.stdin.close()

    def wait(self, within_s: float) -> None:
        """After `close`: until what was held has ended, for as long at most."""
        deadline = time.monotonic() + within_s
        while open_folders(self._root) and time.monotonic() < deadline:
            time.sleep(0.02)

    def _watch(self, folder: FaultFolder, *, only_end: bool) -> None:
        """Keep a keeper on a fault until the fault has ended. The thread sleeps in `waitpid` meanwhile."""
        keeper = self._start(folder, only_end=only_end)
        threading.Thread(target=self._wait, args=(folder, keeper), name=f"keeper {folder.id}", daemon=True).start()

    def _start(self, folder: FaultFolder, *, only_end: bool) -> subprocess.Popen[bytes]:
        keeper = start_keeper(folder, only_end=only_end)
        with self._lock:
            self._pipes[folder.id] = keeper
        return keeper

    def _wait(self, folder: FaultFolder, keeper: subprocess.Popen[bytes]) -> None:
        tries = 0
        while True:
            status = keeper.wait()
            if keeper.stdin:
                with suppress(OSError):
                    keeper.stdin.close()
            if not folder.is_begun() or self._closed.is_set():
                break
            if tries:  # the first time at once: something is broken
                self._closed.wait(AGAIN_S[-1] if status == UNREADABLE else AGAIN_S[min(tries, len(AGAIN_S) - 1)])
            tries += 1
            audit(self._root, "fault.keeper_gone", id=folder.id, status=status)
            keeper = self._start(folder, only_end=True)
        with self._lock:
            self._pipes.pop(folder.id, None)


def start_keeper(folder: FaultFolder, *, only_end: bool = False) -> subprocess.Popen[bytes]:
    """Start a keeper; it ends its fault when its standard input is closed, or says anything."""
    return subprocess.Popen(
        command(folder.path, only_end=only_end),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={**clean_environment(), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd="/",
        start_new_session=True,
    )
