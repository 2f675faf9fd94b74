"""The shop supervisor's control API: what an operator, or a runbook, may do to a service.

    GET  /target                           the shop's name, and what its customers saw within the last second
    GET  /services                         who runs, where, which version, what it can do, how to probe it; with
                                           ?service=NAME that one alone
    GET  /metrics/{service}                that service's Prometheus page, at a stable address
    POST /services/{service}/{verb}        start restart resume deploy rollback detour reroute release-database
                                           burn traffic
    POST /leases, DELETE /leases/{id}      do a verb after a time, even if whoever asked has died

Every POST needs the token. With an `Idempotency-Key`, a repeated request is answered with the first
one's result and does nothing again. Each request is written to `control.jsonl`.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import secrets
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
from aiohttp import web

from chaos.shop.changes import Changes
from chaos.shop.load import RATE_FILE
from chaos.shop.processes import Processes, Slot
from chaos.shop.topology import BY_NAME, STATS_FILE
from watchkeeper.errors import ChaosError

Body = Mapping[str, Any]
LONGEST_LEASE_S = 600.0  # nothing stays broken for longer


class Control:
    """The verbs, and the HTTP application around them."""

    def __init__(self, processes: Processes, changes: Changes, token: str) -> None:
        self._processes = processes
        self._changes = changes
        self._token = token
        self._answers: dict[str, asyncio.Task[dict[str, Any]]] = {}
        self._busy: dict[str, asyncio.Lock] = {name: asyncio.Lock() for name in processes.slots}
        self._leases: dict[str, asyncio.Task[None]] = {}
        self._verbs: dict[str, Callable[[Slot, Body], Awaitable[dict[str, Any]]]] = {
            "start": self._start,
            "restart": self._restart,
            "resume": self._resume,
            "deploy": self._deploy,
            "rollback": self._rollback,
            "detour": self._detour,
            "reroute": self._reroute,
            "release-database": self._release_database,
            "burn": self._burn,
            "traffic": self._traffic,
        }

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/target", self._about)
        app.router.add_get("/services", self._services)
        app.router.add_get("/metrics/{service}", self._metrics)
        app.router.add_post("/services/{service}/{verb}", self._act)
        app.router.add_post("/leases", self._lease)
        app.router.add_delete("/leases/{lease}", self._end_lease)
        return app

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        if not request.path.startswith("/metrics/") and not hmac.compare_digest(
            given.encode(), f"Bearer {self._token}".encode()
        ):
            return web.json_response({"error": "the control token is missing or wrong"}, status=401)
        try:
            return await handler(request)
        except ChaosError as error:
            return web.json_response({"error": error.message}, status=409)
        except (json.JSONDecodeError, KeyError, ValueError) as error:
            return web.json_response({"error": f"the request's body is wrong: {error!r}"}, status=400)

    async def _services(self, request: web.Request) -> web.Response:
        only = request.query.get("service", "")
        slots = [slot for name, slot in self._processes.slots.items() if only in ("", name)]
        return web.json_response([self._describe(slot) for slot in slots])

    async def _about(self, _: web.Request) -> web.Response:
        try:
            experience = json.loads((self._processes.data_dir / STATS_FILE).read_text())
        except (FileNotFoundError, ValueError):
            experience = None  # no customer has come yet
        return web.json_response({"name": str(self._processes.data_dir.resolve()), "experience": experience})

    def _describe(self, slot: Slot) -> dict[str, Any]:
        instance, plan = slot.instance, BY_NAME[slot.service]
        reached_at = (slot.detour or instance.port) if instance else 0
        work = plan.probe
        return {
            "service": slot.service,
            "state": instance.state if instance else "absent",
            "instance": instance.spec.instance_id if instance else "",
            "pid": instance.pid if instance else 0,
            "port": instance.port if instance else 0,
            "reached_at": reached_at,
            "version": slot.versions[-1][0],
            "previous_version": slot.versions[-2][0] if len(slot.versions) > 1 else "",
            "started_at": instance.started_at if instance else 0.0,
            "database": str(instance.spec.database) if instance else "",
            "can": [*self._verbs, "lease"],
            "may_break": plan.may_break,
            "probe": {
                "method": work.method,
                "url": f"http://127.0.0.1:{reached_at}{work.path}",
                "body": dict(work.body),
            },
        }

    async def _metrics(self, request: web.Request) -> web.Response:
        slot = self._slot(request.match_info["service"])
        if slot.instance is None:
            return web.Response(status=503)
        url = f"http://127.0.0.1:{slot.instance.port}/metrics"
        try:
            timeout = aiohttp.ClientTimeout(total=3)
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as page:
                return web.Response(text=await page.text(), content_type="text/plain")
        except (aiohttp.ClientError, TimeoutError):
            return web.Response(status=504)

    def _slot(self, service: str) -> Slot:
        if service not in self._processes.slots:
            raise ChaosError(f"no service {service!r}; there are {', '.join(self._processes.slots)}")
        return self._processes.slots[service]

    async def _act(self, request: web.Request) -> web.Response:
        slot, verb = self._slot(request.match_info["service"]), request.match_info["verb"]
        if verb not in self._verbs:
            raise ChaosError(f"no verb {verb!r}; there are {', '.join(self._verbs)}")
        body = await request.json() if request.can_read_body else {}
        key = request.headers.get("Idempotency-Key") or secrets.token_hex(8)
        if key not in self._answers:
            self._answers[key] = asyncio.create_task(self._run(slot, verb, body, key))
        # The task is shielded: an impatient client must not stop a restart half way.
        return web.json_response(await asyncio.shield(self._answers[key]))

    async def _run(self, slot: Slot, verb: str, body: Body, key: str) -> dict[str, Any]:
        async with self._busy[slot.service]:
            detail = await self._verbs[verb](slot, body)
        answer = {**self._describe(slot), **detail}
        row = {"at": time.time(), "service": slot.service, "verb": verb, "body": dict(body), "key": key, **detail}
        with (self._processes.data_dir / "control.jsonl").open("a") as journal:
            journal.write(json.dumps(row) + "\n")
        return answer

    async def _start(self, slot: Slot, _: Body) -> dict[str, Any]:
        """Start a service that does not run; nothing happens to one that does."""
        if slot.instance and slot.instance.state != "exited":
            return {"did": "nothing: it runs"}
        await self._processes.start(slot.service)
        return {"did": "started"}

    async def _restart(self, slot: Slot, _: Body) -> dict[str, Any]:
        """A fresh instance takes over; then the old one is stopped, or killed where it does not listen."""
        await self._processes.start(slot.service)
        return {"did": "restarted"}

    async def _resume(self, slot: Slot, _: Body) -> dict[str, Any]:
        """Let a stopped process go on."""
        if slot.instance is None or slot.instance.state != "stopped":
            return {"did": "nothing: it is not stopped"}
        os.kill(slot.instance.pid, signal.SIGCONT)
        return {"did": "resumed"}

    async def _deploy(self, slot: Slot, body: Body) -> dict[str, Any]:
        """Deploy `version` (default: the next) and announce the change to Watchkeeper."""
        version = str(body.get("version") or _next_version(slot.versions[-1][0]))
        slot.versions.append((version, str(body.get("defect", ""))))
        await self._processes.start(slot.service)
        change = self._changes.announce(slot.service, version, str(body.get("title") or f"Deploy {version}"))
        return {"did": f"deployed {version}", "change": change}

    async def _rollback(self, slot: Slot, _: Body) -> dict[str, Any]:
        """Go back to the version before the current one."""
        if len(slot.versions) < 2:
            raise ChaosError(f"{slot.service} has no earlier version to go back to")
        left = slot.versions.pop()[0]
        version = slot.versions[-1][0]
        await self._processes.start(slot.service)
        change = self._changes.announce(slot.service, version, f"Roll back {left} to {version}", rollback=True)
        return {"did": f"rolled back {left} to {version}", "change": change}

    async def _detour(self, slot: Slot, body: Body) -> dict[str, Any]:
        """Lead callers through another loopback port (a proxy in front of the service)."""
        slot.detour = int(body["port"])
        self._processes.publish_routes()
        return {"did": f"callers go through port {slot.detour}"}

    async def _reroute(self, slot: Slot, _: Body) -> dict[str, Any]:
        """Lead callers straight to the instance again."""
        had, slot.detour = slot.detour, None
        self._processes.publish_routes()
        return {"did": "callers go straight" if had else "nothing: callers go straight already"}

    async def _release_database(self, slot: Slot, _: Body) -> dict[str, Any]:
        """End the processes that are not the shop's and hold a lock on this service's database."""
        holders = self._processes.lock_holders(slot.service)
        for pid in holders:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                continue
            except PermissionError as error:
                raise ChaosError(f"process {pid} holds the lock and belongs to another user") from error
        return {"did": f"ended {len(holders)} lock holders", "holders": list(holders)}

    async def _burn(self, slot: Slot, body: Body) -> dict[str, Any]:
        """Start a runaway loop of {"threads"} in the instance; it ends by itself after {"seconds"}."""
        if slot.instance is None:
            raise ChaosError(f"{slot.service} does not run")
        url = f"http://127.0.0.1:{slot.instance.port}/debug/burn"
        parameters = {"seconds": float(body["seconds"]), "threads": int(body.get("threads", 4))}
        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            timeout = aiohttp.ClientTimeout(total=5)
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
                session.post(url, params=parameters) as answer,
            ):
                if answer.status >= 300:
                    raise ChaosError(f"{slot.service} refused to burn: {answer.status} {await answer.text()}")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ChaosError(f"{slot.service} does not answer: {error!r}") from error
        return {"did": f"started {parameters['threads']} busy threads"}

    async def _traffic(self, _: Slot, body: Body) -> dict[str, Any]:
        """Let customers come {"factor"} times as often for {"seconds"}; all come in at the front door."""
        factor, seconds = float(body["factor"]), min(float(body["seconds"]), LONGEST_LEASE_S)
        draft = self._processes.data_dir / f".{RATE_FILE}"
        draft.write_text(f"{factor} {time.time() + seconds}")
        draft.replace(self._processes.data_dir / RATE_FILE)
        return {"did": f"traffic times {factor:g} for {seconds:g} s"}

    async def _lease(self, request: web.Request) -> web.Response:
        body = await request.json()
        slot, verb, after_s = self._slot(body["service"]), str(body["verb"]), float(body["after_s"])
        if verb not in self._verbs or not 0 < after_s <= LONGEST_LEASE_S:
            raise ChaosError(f"a lease needs a verb and 0 < after_s <= {LONGEST_LEASE_S:g}")
        lease = secrets.token_hex(6)
        self._leases[lease] = asyncio.create_task(self._expire(lease, slot, verb, body))
        return web.json_response({"lease": lease})

    async def _expire(self, lease: str, slot: Slot, verb: str, terms: Body) -> None:
        await asyncio.sleep(float(terms["after_s"]))
        self._leases.pop(lease, None)
        instance, version = terms.get("if_instance"), terms.get("unless_version")
        if instance and slot.instance and slot.instance.spec.instance_id != instance:
            return  # the broken instance is gone already
        if version and slot.versions[-1][0] == version:
            return  # nothing was deployed, or somebody rolled it back
        await self._run(slot, verb, {}, f"lease-{lease}")

    async def _end_lease(self, request: web.Request) -> web.Response:
        task = self._leases.pop(request.match_info["lease"], None)
        if task:
            task.cancel()
        return web.json_response({"ended": task is not None})


def _next_version(version: str) -> str:
    head, _, last = version.rpartition(".")
    return f"{head}.{int(last) + 1}"
