"""One process of one service. The fork server imports this module once; every instance is a fork of it."""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import random
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

# Stable names of HTTP and database attributes (server.address, db.namespace); read when a span is made.
os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http,database")

import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry, generate_latest

from chaos.shop import telemetry
from chaos.shop.calls import CallFailed, Calls
from chaos.shop.database import Database
from chaos.shop.services import ROUTES
from chaos.shop.services.place import Place
from chaos.shop.topology import BY_NAME, InstanceSpec
from watchkeeper.child_process import end_with_parent

ERROR_SHARE = 0.7  # of the requests that a version with the defect "errors" fails
COLD_FOR_S = 20.0  # how long a version with the defect "cold" fills its cache
COLD_MISS_S = 0.12  # what a request takes longer meanwhile
LONGEST_BURN_S = 120.0  # the loop ends by itself
NICER = 5  # steps of niceness: other processes of the machine keep their share

log = logging.getLogger("shop")


def run(spec: InstanceSpec, ready: Connection) -> None:
    """Serve until SIGTERM. Sends the port through `ready` once the socket listens."""
    end_with_parent(signal.SIGKILL)  # no instance outlives the fork server
    random.seed()
    app = build(spec)
    telemetry.start(spec, app)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen(256)
    settings = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=2, loop="uvloop"
    )
    ready.send(listener.getsockname()[1])
    ready.close()
    asyncio.run(uvicorn.Server(settings).serve(sockets=[listener]), debug=False)
    os._exit(0)  # the SDK's exit hooks would wait for a receiver that may be gone


def build(spec: InstanceSpec) -> FastAPI:
    """The service's routes, and what every service has: health, metrics, error answers, its version's mistakes."""
    app = FastAPI(title=spec.service, docs_url=None, redoc_url=None, openapi_url=None)
    registry = CollectorRegistry()
    plan = BY_NAME[spec.service]
    place = Place(
        database=Database(spec.database), calls=Calls(spec.data_dir, plan.client_timeout_s), registry=registry
    )

    warm_at = time.monotonic() + COLD_FOR_S

    async def code_of_this_version() -> None:
        if spec.defect == "errors" and random.random() < ERROR_SHARE:
            _read_currency({})
        if spec.defect == "cold" and time.monotonic() < warm_at:
            await asyncio.sleep(COLD_MISS_S)

    @app.exception_handler(CallFailed)
    def pass_on(_: Request, error: CallFailed) -> JSONResponse:
        return JSONResponse({"error": str(error)}, status_code=error.status)

    @app.exception_handler(sqlite3.OperationalError)
    def database_failed(request: Request, error: sqlite3.OperationalError) -> JSONResponse:
        log.error("%s %s failed: %s", request.method, request.scope["route"].path, error)
        return JSONResponse({"error": "the database is not available"}, status_code=503)

    @app.get("/healthz")
    async def healthz() -> Any:
        return {"service": spec.service, "version": spec.version, "instance": spec.instance_id}

    @app.get("/metrics")
    async def prometheus() -> Response:
        return Response(generate_latest(registry), media_type="text/plain; version=0.0.4")

    @app.post("/debug/burn")
    async def burn(seconds: float, threads: int = 4, authorization: str = Header("")) -> Any:
        if not hmac.compare_digest(authorization.encode(), f"Bearer {spec.token}".encode()):
            raise HTTPException(401, "the control token is wrong")
        until = time.monotonic() + min(seconds, LONGEST_BURN_S)
        for _ in range(min(threads, 16)):
            threading.Thread(target=_burn, args=(until,), daemon=True).start()
        return {"threads": threads}

    app.include_router(ROUTES[spec.service](place), dependencies=[Depends(code_of_this_version)])
    return app


def _read_currency(request: Mapping[str, str]) -> str:
    """The mistake of a bad version: a key that its new code expects and that old callers do not send."""
    return request["currency"]


def _burn(until: float) -> None:
    """A runaway loop. It is nice to other processes; its own process's lock it takes from everybody."""
    thread = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICER)
    number = 1
    while time.monotonic() < until:
        for _ in range(5000):
            number = number * 1103515245 + 12345 & 0x7FFFFFFF
