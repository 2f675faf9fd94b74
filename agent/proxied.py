"""The agent's proxies: those that its file names are served while it runs, and started again when they die."""

from __future__ import annotations

from pathlib import Path

from agent.allowed import Allowed
from agent.audit import audit
from agent.proxy.listener import Route
from agent.proxy.running import ensure


class Proxied:
    """The routes of the agent's file."""

    def __init__(self, allowed: Allowed, root: Path) -> None:
        self._root = root
        self._routes = tuple(
            Route(**section.proxy.model_dump()) for section in allowed.file.services.values() if section.proxy
        )
        self._problems: dict[int, str] = {}

    def look(self) -> None:
        """Have every route served; what can't be is written to the audit log once."""
        if not self._routes:
            return
        problems = ensure(self._routes)
        for port, problem in problems.items():
            if self._problems.get(port) != problem:
                audit(self._root, "proxy.failed", port=port, error=problem)
        self._problems = problems
