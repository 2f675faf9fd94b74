"""Calls from one service to another: JSON over HTTP with a time-out, traced by the stock instrumentation."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import httpx
from opentelemetry.instrumentation.httpx import SyncOpenTelemetryTransport

from chaos.shop.mesh import MeshTransport, Routes

log = logging.getLogger("shop.calls")


class CallFailed(Exception):
    """Another service did not answer as it should; `status` is what our own caller gets (502 or 504)."""

    def __init__(self, service: str, reason: str, status: int) -> None:
        super().__init__(f"{service} {reason}")
        self.service = service
        self.status = status


class Calls:
    """A client for the other services. Safe to share between threads."""

    def __init__(self, data_dir: Path, timeout_s: float) -> None:
        transport = SyncOpenTelemetryTransport(MeshTransport(Routes(data_dir)))
        self._client = httpx.Client(transport=transport, timeout=timeout_s)

    def get(self, service: str, path: str) -> Any:
        return self._send("GET", service, path, None)

    def post(self, service: str, path: str, body: Any) -> Any:
        return self._send("POST", service, path, body)

    def _send(self, method: str, service: str, path: str, body: Any) -> Any:
        try:
            response = self._client.request(method, f"http://{service}{path}", json=body)
        except httpx.TimeoutException as error:
            log.exception("%s did not answer %s %s in time", service, method, path.split("?")[0])
            raise CallFailed(service, "did not answer in time", 504) from error
        except httpx.TransportError as error:
            log.exception("cannot reach %s: %s", service, type(error).__name__)
            raise CallFailed(service, "cannot be reached", 502) from error
        if response.is_error:
            log.warning("%s answered %d to %s %s", service, response.status_code, method, path.split("?")[0])
            raise CallFailed(service, f"answered {response.status_code}", 502)
        return response.json()
