"""OTLP over HTTP, as a collector on this host would take it: 200 when the disk has the body, and not before."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Final, cast

from aiohttp import web

from agent.telemetry.body import ENCODINGS, LARGEST_BYTES, SIGNALS, Body, Signal
from agent.telemetry.body_log import RETRY_AFTER_S, BodyLog, NotTaken

KINDS: Final = {"application/x-protobuf": False, "application/json": True}
BODY_WITHIN_S: Final = 60.0
# Of bodies that arrive at once. A sender that finds no room is told to come back.
MOST_IN_MEMORY: Final = 2 * LARGEST_BYTES
UNDECLARED_BYTES: Final = 256 << 10  # for which a body counts that comes in chunks: batches are smaller
INVALID_ARGUMENT, PERMISSION_DENIED, UNAVAILABLE = 3, 7, 14  # google.rpc.Code


class Receiver:
    """Takes bodies into the log. It reads their headers and nothing else."""

    def __init__(self, log: BodyLog) -> None:
        self.taken = 0
        self._log = log
        self._in_memory = 0

    def application(self) -> web.Application:
        app = web.Application(client_max_size=LARGEST_BYTES)
        for signal in SIGNALS:
            app.router.add_post(f"/v1/{signal}", self._take)
        return app

    async def _take(self, request: web.Request) -> web.Response:
        kind = request.content_type if "Content-Type" in request.headers else ""
        encoding = request.headers.get("Content-Encoding", "").strip().lower().replace("identity", "")
        if "Origin" in request.headers:  # a page in a browser of this host may not write here
            return _refusal(403, PERMISSION_DENIED, "pages in a browser may not write here", is_json=True)
        if kind not in KINDS:
            text = "send Content-Type application/x-protobuf or application/json"
            return _refusal(415, INVALID_ARGUMENT, text, is_json=True)
        is_json = KINDS[kind]
        if encoding not in ENCODINGS:
            text = "send Content-Encoding gzip, deflate or zstd, or none"
            return _refusal(415, INVALID_ARGUMENT, text, is_json=is_json)
        expected = UNDECLARED_BYTES if request.content_length is None else request.content_length
        if expected > LARGEST_BYTES:
            return _too_large(is_json=is_json)
        if why := self._no_room(expected):
            self._log.refused_full += 1
            return _busy(why, is_json=is_json)
        self._in_memory += expected
        try:
            async with asyncio.timeout(BODY_WITHIN_S):
                data = await request.read()
            body = Body(
                signal=cast("Signal", request.path.removeprefix("/v1/")),
                data=data,
                at=time.time(),
                is_json=is_json,
                encoding=encoding,
            )
            await self._log.append(body)
        except web.HTTPRequestEntityTooLarge:
            return _too_large(is_json=is_json)
        except TimeoutError:
            text = f"the body did not come within {BODY_WITHIN_S:g} s"
            return _refusal(408, INVALID_ARGUMENT, text, is_json=is_json)
        except NotTaken as error:
            return _busy(error.message, is_json=is_json)
        finally:
            self._in_memory -= expected
        self.taken += 1
        return web.Response(body=b"{}" if is_json else b"", content_type=kind)

    def _no_room(self, size: int) -> str:
        """Why a body is not even read; empty: it is."""
        if self._in_memory + size > MOST_IN_MEMORY:
            return f"bodies of {MOST_IN_MEMORY >> 20} MiB are being taken already"
        return self._log.full(size)


def _too_large(*, is_json: bool) -> web.Response:
    text = f"the body is larger than {LARGEST_BYTES >> 20} MiB; send smaller batches"
    return _refusal(413, INVALID_ARGUMENT, text, is_json=is_json)


def _busy(why: str, *, is_json: bool) -> web.Response:
    answer = _refusal(503, UNAVAILABLE, why, is_json=is_json)
    answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    return answer


def _refusal(status: int, code: int, text: str, *, is_json: bool) -> web.Response:
    """An error as OTLP specifies it: a google.rpc.Status in the request's own encoding."""
    if is_json:
        return web.Response(
            status=status, body=json.dumps({"code": code, "message": text}).encode(), content_type="application/json"
        )
    words = text.encode()[:100]  # a length of one byte
    body = bytes((0x08, code, 0x12, len(words))) + words
    return web.Response(status=status, body=body, content_type="application/x-protobuf")
