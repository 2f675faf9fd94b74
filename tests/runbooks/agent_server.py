"""A server in the form of an agent's API, for tests of what asks it: services and faults in memory."""

from __future__ import annotations

import asyncio
import ssl
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.served import served


def service_row(service: str, **more: Any) -> dict[str, Any]:
    """A row of GET /services."""
    row = {"service": service, "state": "running", "version": "", "previous_version": "", "instance": f"{service}-1"}
    return (
        row | {"can": ["restart", "start", "lease", "fault:hang"], "may_break": True, "bounds": {"seconds": 120}} | more
    )


@dataclass
class AgentServer:
    """Its services and faults, and what it was asked; `effect` is what a fault shows once it holds."""

    services: dict[str, dict[str, Any]]
    # Its own: on one machine, one experiment at a time reaches a target.
    name: str = field(default_factory=lambda: f"host-{uuid.uuid4().hex}")
    token: str = "t"
    effect: str = "pid 7 is stopped"
    silent: bool = False
    stopped: bool = False
    ending: list[dict[str, Any]] = field(default_factory=list)
    faults: dict[str, dict[str, Any]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/target", self._about)
        app.router.add_get("/services", self._services)
        app.router.add_post("/services/{service}/{verb}", self._act)
        app.router.add_post("/leases", self._lease)
        app.router.add_post("/faults", self._begin)
        app.router.add_get("/faults/{id}", self._fault)
        app.router.add_delete("/faults/{id}", self._end)
        app.router.add_post("/stop", self._stop)
        app.router.add_post("/resume", self._resume)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        while self.silent:  # noqa: ASYNC110 - set from another thread
            await asyncio.sleep(0.05)
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"error": "the token is wrong"}, status=401)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _about(self, _: web.Request) -> web.Response:
        return web.json_response({"name": self.name})

    async def _services(self, _: web.Request) -> web.Response:
        return web.json_response(list(self.services.values()))

    async def _act(self, request: web.Request) -> web.Response:
        service, verb = request.match_info["service"], request.match_info["verb"]
        if service not in self.services:
            return web.json_response({"error": f"no service {service}"}, status=404)
        if verb == "probe":
            held = any(row["service"] == service and row["state"] == "holding" for row in self.faults.values())
            status, reason = (0, "ReadTimeout") if held else (200, "")
            return web.json_response({"at": time.time(), "seconds": 0.01, "status": status, "reason": reason})
        return web.json_response({"did": f"{verb} of {service}"})

    async def _lease(self, request: web.Request) -> web.Response:
        await request.json()
        return web.json_response({"lease": "l1"})

    async def _begin(self, request: web.Request) -> web.Response:
        body, key = await request.json(), request.headers["Idempotency-Key"]
        if key in self.keys:
            return web.json_response(self.faults[self.keys[key]])
        if self.stopped:
            return web.json_response({"error": "faults are stopped; POST /resume lets them go on"}, status=409)
        if body["seconds"] > self.services[body["service"]]["bounds"]["seconds"]:
            return web.json_response({"error": "agent.yaml: bounds.seconds is 120"}, status=403)
        row = {
            "id": f"f{len(self.faults)}",
            "service": body["service"],
            "fault": body["fault"],
            "arguments": body["arguments"],
            "dependency": body["arguments"].get("dependency", ""),
            "state": "holding",
            "effect": self.effect,
            "effect_at": time.time(),
            "ends_at": time.time() + body["seconds"],
            "ended_at": None,
            "remains": [],
            "error": "",
        }
        self.keys[key], self.faults[row["id"]] = row["id"], row
        return web.json_response(row)

    async def _fault(self, request: web.Request) -> web.Response:
        row = self.faults.get(request.match_info["id"])
        return web.json_response(row or {"error": "no such fault"}, status=200 if row else 404)

    async def _end(self, request: web.Request) -> web.Response:
        row = self.faults[request.match_info["id"]]
        row |= {"state": "ended", "ended_at": row["ended_at"] or time.time()}
        return web.json_response(row)

    async def _stop(self, _: web.Request) -> web.Response:
        self.stopped = True
        for row in self.faults.values():
            row |= {"state": "ended", "ended_at": row["ended_at"] or time.time()}
        return web.json_response({"stopped": True, "ending": self.ending})

    async def _resume(self, _: web.Request) -> web.Response:
        self.stopped = False
        return web.json_response({})


@contextmanager
def agent_server(*services: dict[str, Any], tls: ssl.SSLContext | None = None) -> Iterator[AgentServer]:
    """Serves on a free port of loopback, in a thread of its own, until the context ends."""
    server = AgentServer(services={row["service"]: row for row in services})
    with served(server.application(), tls) as url:
        server.url = url
        try:
            yield server
        finally:
            server.silent = False
