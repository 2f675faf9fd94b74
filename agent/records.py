"""What is kept on the disk of a fault while it lasts: a folder that nothing but its end removes.

faults/ID/record.json   what was asked, and every fact that `end` needs; synced before anything breaks
faults/ID/state.json    how far it is, for those who ask
faults/ID/lock          held by the keeper that may touch it
faults/ID/keeper, work  the process ids of the keeper and of the process that breaks or ends
ended/ID.json           the last state, after the folder is gone
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from agent.processes import is_alive, seen
from watchkeeper.errors import AgentError

State = Literal["starting", "holding", "ending", "ended", "stuck"]
LOCK_EVERY_S: Final = 0.02
KEPT_ENDED: Final = 300
_NOTED_CHARACTERS: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultState:
    """How far a fault is. Times are Unix seconds; 0: not yet.

    Attributes:
        instance: which instance of the service it breaks (`Instance.name`).
        dependency: what the service is cut off from; empty: it is broken itself.
        effect: what shows that it works, in words; empty: nothing did yet.
        reason: why it ended, or ends.
        remains: what is still there although it should have ended.
        error: what went wrong.
    """

    id: str
    service: str
    fault: str
    instance: str = ""
    dependency: str = ""
    state: State = "starting"
    began_at: float
    ends_at: float
    effect: str = ""
    effect_at: float = 0.0
    ended_at: float = 0.0
    reason: str = ""
    remains: tuple[str, ...] = ()
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def write_synced(path: Path, value: object, drafts: Path | None = None) -> None:
    """Replace a JSON file, as `replace_synced` does. Raises OSError."""
    replace_synced(path, json.dumps(value).encode(), drafts)


def replace_synced(path: Path, data: bytes, drafts: Path | None = None) -> None:
    """Replace a file; when this returns, the disk has it. A kill may leave a draft in `drafts`, or beside it.

    Raises:
        OSError: the disk is full, or may not be written.
    """
    draft = (drafts or path.parent) / f".{path.name}.{os.getpid()}"
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Have the disk keep the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class DiskRecord:
    """A fault's record: `agent.fault.Record`, as a file."""

    def __init__(self, path: Path, facts: dict[str, Any]) -> None:
        self._path = path
        self._facts = facts

    def __getitem__(self, key: str) -> Any:
        return self._facts["facts"][key]

    def get(self, key: str, default: Any = None) -> Any:
        return self._facts["facts"].get(key, default)

    def note(self, **facts: Any) -> None:
        """Add facts (JSON values); when this returns, the disk has them.

        Raises:
            AgentError: the disk does not take them.
        """
        self._facts["facts"].update(facts)
        try:
            write_synced(self._path, self._facts)
        except OSError as error:
            raise AgentError(f"{self._path} cannot be written: {error.strerror or error}") from error


@dataclass(frozen=True, slots=True)
class FaultFolder:
    """The folder of one fault that has not ended."""

    path: Path

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def root(self) -> Path:
        """The agent's state folder."""
        return self.path.parent.parent

    def create(self, state: FaultState, part: str, seconds: float, facts: Mapping[str, Any]) -> None:
        """Write the record, synced: from here on the fault counts as begun. Raises OSError.

        `part` is where the fault's class is, as `module:name`; `facts` is what its `plan` gave.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_folder(self.path.parent)
        for name in ("keeper", "work"):
            (self.path / name).write_text(" " * _NOTED_CHARACTERS, encoding="ascii")
        write_synced(self.path / "state.json", state.as_json())
        asked = {"service": state.service, "fault": state.fault, "part": part, "seconds": seconds}
        write_synced(self.path / "record.json", {**asked, "facts": dict(facts)})

    def is_begun(self) -> bool:
        """Whether there is a record, without which nothing was broken."""
        return (self.path / "record.json").exists()

    def asked(self) -> dict[str, Any]:
        """The whole record: `part`, `seconds`, `facts` and the names.

        Raises:
            AgentError: it cannot be read.
        """
        try:
            loaded = json.loads((self.path / "record.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise AgentError(f"{self.path / 'record.json'} cannot be read: {error}") from error
        if not isinstance(loaded, dict):
            raise AgentError(f"{self.path / 'record.json'} is no record")
        return loaded

    def record(self) -> DiskRecord:
        return DiskRecord(self.path / "record.json", self.asked())

    def state(self) -> FaultState:
        """As it was written last. Raises AgentError where nothing can be read."""
        return _read_state(self.path / "state.json")

    def write_state(self, **changes: Any) -> FaultState:
        """Change what others read. A full or read-only disk must not keep a fault from ending: the old state stays."""
        state = replace(self.state(), **changes)
        draft = self.path / f".state.json.{os.getpid()}"
        try:
            draft.write_text(json.dumps(state.as_json()), encoding="utf-8")
            draft.replace(self.path / "state.json")
        except OSError:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
        return state

    def try_lock(self) -> int | None:
        """The lock's descriptor, or None while another keeper has it. Raises FileNotFoundError where all is over."""
        descriptor = os.open(self.path / "lock", os.O_RDONLY | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        if not self.is_begun():  # it ended between: what was locked is no folder of a fault any more
            os.close(descriptor)
            raise FileNotFoundError(self.path)
        return descriptor

    def lock(self, within_s: float) -> int | None:
        """As `try_lock`, with patience."""
        deadline = time.monotonic() + within_s
        while (descriptor := self.try_lock()) is None and time.monotonic() < deadline:
            time.sleep(LOCK_EVERY_S)
        return descriptor

    def note_process(self, name: str, pid: int) -> None:
        """Keep which process is `keeper` or `work`; 0: none.

        It is written into blocks that the file has already, for a full disk takes no others. It is not synced: no
        process survives what a disk forgets.
        """
        process = seen(pid) if pid else None
        text = f"{pid} {process.born} {process.session}" if process else ""
        with suppress(OSError), (self.path / name).open("r+", encoding="ascii") as file:
            file.write(text.ljust(_NOTED_CHARACTERS))

    def process(self, name: str) -> tuple[int, str, int] | None:
        """Process id, identity and session of a noted process, whether or not it still runs."""
        try:
            pid, identity, session = (self.path / name).read_text(encoding="ascii").split()
            return int(pid), identity, int(session)
        except (OSError, ValueError):
            return None

    def has_keeper(self) -> bool:
        keeper = self.process("keeper")
        return keeper is not None and is_alive(*keeper[:2])

    def finish(self, **changes: Any) -> FaultState:
        """Keep the last state, then remove everything else. Raises OSError."""
        ended = self.root / "ended"
        ended.mkdir(mode=0o700, exist_ok=True)
        state = replace(self.state(), **changes)
        # A draft that a kill leaves behind goes with the fault's folder.
        write_synced(ended / f"{self.id}.json", state.as_json(), drafts=self.path if self.path.is_dir() else None)
        self.remove()
        return state

    def remove(self) -> None:
        """Remove the folder, the record first: without it, there is nothing to end."""
        (self.path / "record.json").unlink(missing_ok=True)
        shutil.rmtree(self.path, ignore_errors=True)


def _read_state(path: Path) -> FaultState:
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
        return FaultState(**{**row, "remains": tuple(row["remains"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AgentError(f"{path} cannot be read: {error}") from error


def open_folders(root: Path) -> tuple[FaultFolder, ...]:
    """Every fault of a state folder that has not ended, the oldest first."""
    try:
        paths = [path for path in (root / "faults").iterdir() if path.is_dir()]
    except FileNotFoundError:
        return ()
    return tuple(FaultFolder(path) for path in sorted(paths, key=lambda path: path.name))


def fault_folder(root: Path, fault_id: str) -> FaultFolder:
    return FaultFolder(root / "faults" / fault_id)


def ended_state(root: Path, fault_id: str) -> FaultState | None:
    """The last state of a fault that has ended; None where none is known."""
    path = root / "ended" / f"{fault_id}.json"
    try:
        return _read_state(path)
    except AgentError:
        return None


def ended_states(root: Path) -> tuple[FaultState, ...]:
    """The faults that ended, the newest first; what is older than the newest few hundred is removed."""
    try:
        paths = sorted((root / "ended").glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    except FileNotFoundError:
        return ()
    for path in paths[KEPT_ENDED:]:
        path.unlink(missing_ok=True)
    states = (ended_state(root, path.stem) for path in paths[:KEPT_ENDED])
    return tuple(state for state in states if state)
