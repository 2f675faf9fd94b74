"""One route: it listens, passes connections on, and holds at most one rule."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from agent.proxy.connection import Connection
from agent.proxy.rules import parse
from watchkeeper.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.proxy.rules import Rule

BACKLOG: Final = 1024
# A new certificate is seen by new connections only: those that are open are closed once they are quiet for so long.
QUIET_S: Final = 0.2
# Of a drained route, what was silent for so long after an answer counts as finished.
FINISHED_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where callers connect, and where the service listens.

    `drained`: nobody connects any more, and open connections end when their requests are answered.
    """

    listen: int
    to: int
    listen_host: str = "127.0.0.1"
    to_host: str = "127.0.0.1"
    drained: bool = False


class Listener:
    """A route at work."""

    def __init__(self, route: Route) -> None:
        self.route = route
        self.rule: Rule | None = None
        self.connections: set[Connection] = set()
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen, unless it is drained.

        Raises:
            OSError: the port is taken.
        """
        if self.route.drained:
            return
        self._server = await self._loop.create_server(
            lambda: Connection(self).client, self.route.listen_host, self.route.listen, backlog=BACKLOG
        )

    async def lead(self, route: Route) -> None:
        """Lead new connections elsewhere, listen at another address, drain or no longer.

        Raises:
            OSError: the address is taken; then the route is as it was, and does not listen.
        """
        before, self.route = self.route, route
        listens_as_before = (before.listen_host, before.drained) == (route.listen_host, route.drained)
        if listens_as_before and (self._server or route.drained):
            return
        if self._server:
            self._server.close()
            self._server = None
        if route.drained:
            self._finish()
        try:
            await self.open()
        except OSError:
            self.route = before
            raise

    def _finish(self) -> None:
        """Close the connections of a drained route as they become idle."""
        if not self.route.drained or not self.connections:
            return
        for connection in list(self.connections):
            connection.close_if_idle(FINISHED_S)
        self._loop.call_later(QUIET_S, self._finish)

    def close(self) -> None:
        """Listen no more; open connections stay."""
        self.clear()
        if self._server:
            self._server.close()

    def set(self, asked: Mapping[str, Any]) -> None:
        """Begin a rule; the same one again changes nothing.

        Raises:
            AgentError: it is none, or another one holds.
        """
        rule = parse(asked, self._loop.time())
        if self.rule and self.rule.id == rule.id:
            return
        if self.rule:
            raise AgentError(f"port {self.route.listen} is disturbed already: {self.rule.kind}")
        self.rule = rule
        self._over.clear()
        self._timer = self._loop.call_at(rule.ends_at, self.clear)
        if rule.kind == "reject":
            for connection in list(self.connections):
                rule.touched += 1
                connection.abort()
        if rule.kind == "certificate":
            self._renew(rule)

    def clear(self) -> None:
        """End the rule: everything that waits is passed on at once."""
        if self._timer:
            self._timer.cancel()
        self._timer, self.rule = None, None
        self._over.set()
        for connection in list(self.connections):
            connection.flush()

    async def pause(self, seconds: float) -> None:
        """Wait, at most until the rule ends."""
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            pass

    def fails(self, path: str) -> int:
        """What a request with this path is answered in the service's place; 0: it is passed on."""
        rule = self.rule
        if rule is None or rule.kind != "http_errors" or not path.startswith(rule.path) or not rule.chosen():
            return 0
        rule.touched += 1
        return rule.status

    def state(self) -> dict[str, Any]:
        """What is told of it."""
        return {
            "listen": self.route.listen,
            "to": self.route.to,
            "listen_host": self.route.listen_host,
            "to_host": self.route.to_host,
            "drained": self.route.drained,
            "connections": len(self.connections),
            "rule": self.rule.state(self._loop.time()) if self.rule else None,
        }

    def _renew(self, rule: Rule, before: frozenset[Connection] | None = None) -> None:
        """Close the connections from before the rule as they become idle."""
        if self.rule is not rule:
            return
        before = frozenset(self.connections) if before is None else before & self.connections
        for connection in before:
            connection.close_if_idle(QUIET_S)
        if before:
            self._loop.call_later(QUIET_S, self._renew, rule, before)
