"""What an experiment reaches, and that no two experiments reach the same at once.

The services that are broken and everything that calls them, directly or not, as the call graph shows. An experiment
that does not say which services it reaches may reach all.

A reservation is a set of file locks, one for each service and target, so that the kernel gives it back whatever becomes
of the process. A lock on everything is shared by all experiments whose radius is known, and held alone by one whose is
not.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from watchkeeper.errors import ChaosError
from watchkeeper.private_files import private_folder

EVERYTHING: Final = "everything"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlastRadius:
    """What an experiment may harm.

    Attributes:
        targets: the names of the targets that it acts on.
        broken: the services that it breaks itself.
        callers: the services that call those, directly or not.
        is_known: whether that is all; otherwise it may reach anything.
        system: within which these names mean these services: an installation, or a target.
    """

    targets: frozenset[str] = frozenset()
    broken: frozenset[str] = frozenset()
    callers: frozenset[str] = frozenset()
    is_known: bool = True
    system: str = ""

    @property
    def services(self) -> frozenset[str]:
        return self.broken | self.callers

    def describe(self) -> str:
        """One line for a human."""
        if not self.is_known:
            named = f"{', '.join(sorted(self.broken))}, and " if self.broken else ""
            return f"{named}whatever its actions reach: it names no services"
        if not self.broken:
            return "nothing is broken"
        callers = f"; callers: {', '.join(sorted(self.callers))}" if self.callers else ""
        return ", ".join(sorted(self.broken)) + callers


def callers_of(services: Iterable[str], calls: Iterable[tuple[str, str]]) -> frozenset[str]:
    """The services that call any of `services`, directly or through others. `calls` are pairs of caller and callee."""
    reached = set(services)
    pairs = set(calls)
    while more := {caller for caller, callee in pairs if callee in reached} - reached:
        reached |= more
    return frozenset(reached - set(services))


def own_folder() -> Path:
    """Where this user's experiments reserve what they reach, and are noted while they run."""
    folder = Path(tempfile.gettempdir()) / f"watchkeeper-chaos-{os.getuid()}"
    private_folder(folder)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise ChaosError(f"{folder} belongs to somebody else; remove it, or set TMPDIR to a folder of your own")
    return folder


_reserved: set[str] = set()  # by this process: an action within a running experiment reserves nothing again


@contextmanager
def reserved(radius: BlastRadius) -> Iterator[None]:
    """Hold the radius for as long as the context lasts.

    Raises:
        ChaosError: another experiment reaches some of it; says which part.
    """
    names = [f"target {name}" for name in sorted(radius.targets)] + [
        f"service {name} of {radius.system}" for name in sorted(radius.services)
    ]
    with ExitStack() as stack:
        if EVERYTHING not in _reserved:
            _lock(stack, EVERYTHING, fcntl.LOCK_SH if radius.is_known else fcntl.LOCK_EX)
        for name in names:
            if name not in _reserved:
                _lock(stack, name, fcntl.LOCK_EX)
        yield


def _lock(stack: ExitStack, name: str, kind: int) -> None:
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    path = own_folder() / f"{digest}.lock"
    file = stack.enter_context(os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "w"))
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError as error:
        where = "" if name == EVERYTHING else f" and reaches the {name}"
        raise ChaosError(
            f"another experiment runs{where}; wait for its end, or end it with `watchkeeper chaos stop`"
        ) from error
    _reserved.add(name)
    stack.callback(_reserved.discard, name)
