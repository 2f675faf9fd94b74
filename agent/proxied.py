"""The agent's proxies: those that its file names are served while it runs, and started again when they die.

A service that is drained by its proxy has a file `drained/NAME` in the state folder, so that neither a new proxy nor a
new agent lets callers through before somebody asks for it.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from agent.audit import audit
from agent.proxy.control import ask
from agent.proxy.listener import Route
from agent.proxy.running import ensure
from agent.records import sync_folder
from watchkeeper.errors import AgentError

if TYPE_CHECKING:
    from agent.allowed import Allowed, ServiceSection


class Proxied:
    """The routes of the agent's file. Threads may share it."""

    def __init__(self, allowed: Allowed) -> None:
        self._root: Path = allowed.file.state_dir
        self._sections = {name: section for name, section in allowed.file.services.items() if section.proxy}
        self._problems: dict[int, str] = {}
        self._lock = threading.Lock()

    def look(self) -> None:
        """Have every route served; what can't be is written to the audit log once."""
        if not self._sections:
            return
        with self._lock:
            problems = ensure([self._route(name) for name in self._sections])
        for port, problem in problems.items():
            if self._problems.get(port) != problem:
                audit(self._root, "proxy.failed", port=port, error=problem)
        self._problems = problems

    def is_drained(self, service: str) -> bool:
        """Whether the service's proxy refuses new connections because somebody drained it."""
        section = self._sections.get(service)
        return section is not None and _drains(section) and self._mark(service).exists()

    def drain(self, service: str, *, begins: bool) -> None:
        """Refuse new connections, or let them through again; when this returns, the proxy does.

        Raises:
            AgentError: the proxy, or the disk, does not take it; it is tried again while the mark is there.
        """
        mark = self._mark(service)
        with self._lock:
            try:
                if begins:
                    mark.parent.mkdir(mode=0o700, exist_ok=True)
                    mark.touch(mode=0o600)
                else:
                    mark.unlink(missing_ok=True)
                if mark.parent.exists():
                    sync_folder(mark.parent)
            except OSError as error:
                raise AgentError(f"{mark} cannot be changed: {error.strerror or error}", retry=True) from error
            problems = ensure([self._route(service)])
        if problem := next(iter(problems.values()), ""):
            raise AgentError(problem, retry=True)

    def connections(self, service: str) -> int:
        """How many are open through the service's proxy. Raises AgentError."""
        proxy = self._sections[service].proxy
        state = ask(proxy.listen, {"do": "state"}) if proxy else None
        return int(state["connections"]) if state else 0

    def _route(self, service: str) -> Route:
        section = self._sections[service]
        return Route(**(section.proxy.model_dump() if section.proxy else {}), drained=self.is_drained(service))

    def _mark(self, service: str) -> Path:
        return self._root / "drained" / service


def _drains(section: ServiceSection) -> bool:
    return section.drain is not None and not section.drain.do
