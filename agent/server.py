"""The agent's HTTP API: the control API of targets, and faults besides.

    GET    /target                           who this is, and whether everything was stopped
    GET    /services                         what runs, and what may be done to it
    POST   /services/{service}/{verb}        once for each `Idempotency-Key`, also across restarts
    POST   /services/{service}/probe         one real request, sent by the agent
    POST   /leases, DELETE /leases/{id}      a verb after a time, whatever becomes of who asked
    POST   /faults                           {"service", "fault", "seconds", "arguments"}, once for each key
    GET    /faults, /faults/{id}             how they are
    DELETE /faults/{id}                      end it now
    POST   /stop, /resume                    end everything and refuse new faults; take them again
    GET    /audit?limit=100                  who asked for what

A refusal is {"error": "one sentence"}: 401 wrong token, 403 the file does not allow it, 404 no such thing, 409 busy or
stopped, 422 wrong in itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp import web

from agent.actions import Actions, Asked
from agent.allowed import Allowed
from agent.audit import audit, newest
from agent.keeper import STOP_FILE
from agent.keepers import Keepers
from agent.launch import reap
from agent.leases import KeptLease
from agent.records import FaultState
from agent.refused import Refused
from watchkeeper import __version__
from watchkeeper.errors import AgentError
from watchkeeper.text import one_line

if TYPE_CHECKING:
    from agent.telemetry.running import Telemetry

LOOK_EVERY_S: Final = 0.5  # at the stop file and the proxies
LARGEST_BODY: Final = 64 * 1024
SAME_REFUSAL_EVERY_S: Final = 1.0  # a guesser must not fill the audit log
LEASE_TRIES_S: Final = (1.0, 5.0, 15.0, 60.0)
WHO: Final = web.RequestKey("who", str)
CLIENT: Final = web.AppKey("client", aiohttp.ClientSession)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """The HTTP application around `Actions`, and the agent's clocks: leases and the stop file."""

    def __init__(self, allowed: Allowed, root: Path, keepers: Keepers, telemetry: Telemetry | None = None) -> None:
        self._telemetry = telemetry
        self._allowed = allowed
        self._root = root
        self._keepers = keepers
        self._actions = Actions(allowed, root, keepers)
        self._under_way: dict[str, asyncio.Task[Any]] = {}
        self._timers: dict[str, asyncio.Task[None]] = {}
        self._refused: dict[tuple[str, str], tuple[float, int]] = {}

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._guard], client_max_size=LARGEST_BODY)
        app.router.add_get("/target", self._about)
        app.router.add_get("/services", self._services)
        app.router.add_post("/services/{service}/probe", self._probe)
        app.router.add_post("/services/{service}/{verb}", self._act)
        app.router.add_post("/leases", self._lease)
        app.router.add_delete("/leases/{id}", self._end_lease)
        app.router.add_post("/faults", self._begin_fault)
        app.router.add_get("/faults", self._faults)
        app.router.add_get("/faults/{id}", self._fault)
        app.router.add_delete("/faults/{id}", self._end_fault)
        app.router.add_post("/stop", self._stop)
        app.router.add_post("/resume", self._resume)
        app.router.add_get("/audit", self._audit)
        app.cleanup_ctx.append(self._clocks)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every request needs a token; every refusal is one sentence, and in the audit log."""
        try:
            request[WHO] = self._who(request)
            return await handler(request)
        except Refused as error:
            return self._refuse(request, error.status, error.message, unsure=error.unsure)
        except AgentError as error:
            return self._refuse(request, 500, error.message)
        except web.HTTPRequestEntityTooLarge:
            return self._refuse(request, 413, f"the request's body is larger than {LARGEST_BODY} bytes")
        except web.HTTPException as error:
            return self._refuse(
                request, error.status, f"{request.method} {one_line(request.path, 100)}: {error.reason}"
            )
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - a part of another package; the agent must go on
            return self._refuse(request, 500, f"unexpected: {type(error).__name__}: {one_line(error)}")

    def _who(self, request: web.Request) -> str:
        """Whose token a request carries. Raises Refused."""
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        digest = hashlib.sha256(given.strip().encode("utf-8", "surrogateescape")).hexdigest()
        # No early exit: how long this takes must not tell which token came close.
        matches = [name for name, known in self._allowed.tokens.items() if hmac.compare_digest(digest, known)]
        if scheme.lower() != "bearer" or not matches:
            raise Refused(401, "the token is missing or wrong")
        return matches[0]

    def _refuse(self, request: web.Request, status: int, message: str, *, unsure: bool = False) -> web.Response:
        peer, now = request.remote or "", time.monotonic()
        at, unwritten = self._refused.get((peer, message), (0.0, 0))
        if request.get(WHO) or not at or now - at >= SAME_REFUSAL_EVERY_S:
            if len(self._refused) > 1000:
                self._refused.clear()
            self._refused[peer, message] = (now, 0)
            audit(
                self._root,
                "refused",
                who=request.get(WHO, ""),
                peer=peer,
                method=request.method,
                path=one_line(request.path, 200),
                status=status,
                error=message,
                times=unwritten + 1,
            )
        else:
            self._refused[peer, message] = (at, unwritten + 1)
        more = {"unsure": True} if unsure else {}
        return web.json_response({"error": message, **more}, status=status)

    async def _about(self, _: web.Request) -> web.Response:
        held = self._keepers.states()
        return web.json_response(
            {
                "name": self._allowed.file.name,
                "experience": None,
                "version": __version__,
                "stopped": self._actions.is_stopped,
                "faults": len(held),
                "stuck": [state.as_json() for state in held if state.state == "stuck"],
                "telemetry": self._telemetry.describe() if self._telemetry else None,
            }
        )

    async def _services(self, request: web.Request) -> web.Response:
        return web.json_response(await asyncio.to_thread(self._describe, request.query.get("service", "")))

    def _describe(self, only: str) -> list[dict[str, Any]]:
        """A row for each service, or for `only` that one: finding them all takes seconds on a busy host."""
        names = [name for name in self._allowed.file.services if only in ("", name)]
        rows = [self._actions.services.describe(name) for name in names]
        for state in self._keepers.states():
            if state.state == "stuck":
                _show_stuck(rows, state)
        return rows

    async def _act(self, request: web.Request) -> web.Response:
        service, verb = request.match_info["service"], request.match_info["verb"]
        arguments, asked = await _body(request), _asked(request)
        status, answer = await self._once(asked.key, self._actions.act, service, verb, arguments, asked)
        audit(
            self._root, "verb.answered", who=asked.who, service=service, verb=verb, status=status, did=answer.get("did")
        )
        return web.json_response({"service": service, **answer}, status=status)

    async def _begin_fault(self, request: web.Request) -> web.Response:
        body, asked = await _body(request), _asked(request)
        state = await self._once(asked.key, self._actions.begin_fault, body, asked)
        return web.json_response(state.as_json())

    async def _once(self, key: str, do: Callable[..., Any], *arguments: Any) -> Any:
        """In a thread, to its end even if who asked is gone; the same key meanwhile waits for the same answer."""
        if not key or key not in self._under_way:
            task = asyncio.create_task(asyncio.to_thread(do, *arguments))
            if not key:
                return await asyncio.shield(task)
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        return await asyncio.shield(self._under_way[key])

    async def _faults(self, _: web.Request) -> web.Response:
        states = [*self._keepers.states(), *self._keepers.ended()]
        return web.json_response([state.as_json() for state in states])

    async def _fault(self, request: web.Request) -> web.Response:
        state = self._keepers.state(request.match_info["id"])
        if state is None:
            raise Refused(404, f"there is no fault {one_line(request.match_info['id'], 60)}")
        return web.json_response(state.as_json())

    async def _end_fault(self, request: web.Request) -> web.Response:
        fault_id = request.match_info["id"]
        state = self._keepers.state(fault_id)
        if state is None:
            raise Refused(404, f"there is no fault {one_line(fault_id, 60)}")
        if state.state != "ended":
            audit(self._root, "fault.end_asked", who=request[WHO], id=fault_id)
            self._keepers.end(fault_id, f"{request[WHO]} asked")
        return web.json_response(state.as_json())

    async def _stop(self, request: web.Request) -> web.Response:
        return web.json_response(await asyncio.to_thread(self._actions.stop, request[WHO]))

    async def _resume(self, request: web.Request) -> web.Response:
        return web.json_response(await asyncio.to_thread(self._actions.resume, request[WHO]))

    async def _audit(self, request: web.Request) -> web.Response:
        try:
            limit = max(1, min(1000, int(request.query.get("limit", "100"))))
        except ValueError as error:
            raise Refused(422, "limit must be a number of rows") from error
        return web.json_response(await asyncio.to_thread(newest, self._root, limit))

    async def _probe(self, request: web.Request) -> web.Response:
        """Ask the service as its callers do; a failed request is a sample, not an error."""
        service = request.match_info["service"]
        section = self._allowed.service(service)
        if section is None:
            raise Refused(404, f"the agent's file has no service {one_line(service, 60)}")
        if section.probe is None:
            raise Refused(403, f"services.{service}.probe of the agent's file names no request")
        timeout_s = (await _body(request)).get("timeout_s", 1.5)
        if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float) or not 0 < timeout_s <= 30:
            raise Refused(422, "timeout_s must be over 0 and up to 30 seconds")
        probe, began, clock = section.probe, time.time(), time.monotonic()
        status, reason = 0, ""
        try:
            # A new connection each time: a kept one may lead past a proxy that came in between.
            timeout = aiohttp.ClientTimeout(total=float(timeout_s))
            url = probe.url + probe.path
            async with request.app[CLIENT].request(
                probe.method, url, json=probe.body, timeout=timeout, allow_redirects=False
            ) as answer:
                await answer.read()
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = type(error).__name__
        return web.json_response({"at": began, "seconds": time.monotonic() - clock, "status": status, "reason": reason})

    async def _lease(self, request: web.Request) -> web.Response:
        body, asked = await _body(request), _asked(request)
        lease = await asyncio.to_thread(self._actions.add_lease, body, asked)
        self._begin_timer(lease)
        return web.json_response({"lease": lease.id})

    async def _end_lease(self, request: web.Request) -> web.Response:
        lease_id = request.match_info["id"]
        ended = self._actions.leases.remove(lease_id)
        if timer := self._timers.pop(lease_id, None):
            timer.cancel()
        if ended:
            audit(self._root, "lease.ended", who=request[WHO], id=lease_id)
        return web.json_response({"ended": ended})

    def _begin_timer(self, lease: KeptLease) -> None:
        self._timers[lease.id] = asyncio.create_task(self._wait_for(lease))

    async def _wait_for(self, lease: KeptLease) -> None:
        """Do what the lease says when it is due; what fails is tried again, some times."""
        await asyncio.sleep(lease.left_s())
        for pause_s in (*LEASE_TRIES_S, 0.0):
            try:
                answer = await asyncio.to_thread(self._actions.do_lease, lease)
                audit(
                    self._root, "lease.done", id=lease.id, service=lease.service, verb=lease.verb, did=answer.get("did")
                )
                break
            except AgentError as error:
                audit(self._root, "lease.failed", id=lease.id, service=lease.service, error=error.message)
                await asyncio.sleep(pause_s)
        self._actions.leases.remove(lease.id)
        self._timers.pop(lease.id, None)

    async def _clocks(self, app: web.Application) -> AsyncIterator[None]:
        app[CLIENT] = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True), trust_env=False)
        for lease in self._actions.leases.all():
            self._begin_timer(lease)
        looks = asyncio.create_task(self._look())
        yield
        for task in (looks, *self._timers.values()):
            task.cancel()
        with suppress(asyncio.CancelledError):
            await looks
        await app[CLIENT].close()

    async def _look(self) -> None:
        """At the stop file, which a human may have made, and for processes that ended."""
        was_stopped = False
        while True:
            is_stopped = (self._root / STOP_FILE).exists()
            if is_stopped and not was_stopped:
                ids = await asyncio.to_thread(self._keepers.end_all, "everything was stopped")
                audit(self._root, "stop.seen", faults=ids)
            was_stopped = is_stopped
            reap()
            await asyncio.to_thread(self._actions.services.look_after)
            await asyncio.sleep(LOOK_EVERY_S)


def _show_stuck(rows: list[dict[str, Any]], state: FaultState) -> None:
    """A fault that could not be put back stands at its service, and keeps others from every service."""
    words = f"the fault {state.fault} of {state.service} is stuck: {state.error}"
    for row in rows:
        row["stuck"] = words if row["service"] == state.service else row["stuck"]
        faults = [each.removeprefix("fault:") for each in row["can"] if each.startswith("fault:")]
        row["can"] = [each for each in row["can"] if not each.startswith("fault:")]
        row["lacks"] |= dict.fromkeys(faults, words)


async def _body(request: web.Request) -> dict[str, Any]:
    """The request's JSON object; empty where it has none. Raises Refused."""
    if not request.can_read_body:
        return {}
    try:
        body = json.loads(await request.text())
    except (ValueError, RecursionError) as error:
        raise Refused(422, f"the request's body is not JSON: {one_line(error, 100)}") from error
    if not isinstance(body, dict):
        raise Refused(422, "the request's body must be a JSON object")
    return body


def _asked(request: web.Request) -> Asked:
    """Keys of different people never meet."""
    key, who = request.headers.get("Idempotency-Key", ""), request[WHO]
    return Asked(f"{who}:{key}" if key else "", who)
