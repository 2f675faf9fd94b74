"""The target of an experiment, seen from outside: its supervisor's control API, and real requests to it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from chaos.shop.mesh import Routes
from chaos.shop.topology import BY_NAME
from watchkeeper.errors import ChaosError

CONTROL_TIMEOUT_S = 25.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceState:
    """The supervisor's report of one service."""

    service: str
    state: str
    instance: str
    pid: int
    port: int
    reached_at: int
    version: str
    previous_version: str
    started_at: float
    database: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSample:
    """One real request: when it began (Unix seconds), how long it took, and how it ended."""

    at: float
    seconds: float
    status: int  # 0: no answer (refused, or timed out)
    reason: str = ""

    @property
    def ok(self) -> bool:
        return 0 < self.status < 500


class Target:
    """A running shop. Raises ChaosError when its supervisor refuses or cannot be reached."""

    def __init__(self, control_url: str, token: str, data_dir: Path) -> None:
        self.control_url = control_url
        self.token = token
        self.data_dir = data_dir
        self._control = httpx.Client(
            base_url=control_url, headers={"Authorization": f"Bearer {token}"}, timeout=CONTROL_TIMEOUT_S
        )
        self._routes = Routes(data_dir)

    @classmethod
    def at(cls, data_dir: Path) -> Target:
        """The shop that runs with this data directory."""
        try:
            ready = json.loads((data_dir / "shop.json").read_text())
        except FileNotFoundError as error:
            raise ChaosError(f"no shop runs in {data_dir}; start one with `python -m chaos.shop`") from error
        return cls(ready["control"], ready["token"], data_dir)

    def close(self) -> None:
        self._control.close()

    def services(self) -> Mapping[str, ServiceState]:
        rows = self._answer(self._control.build_request("GET", "/services"))
        return {row["service"]: ServiceState(**row) for row in rows}

    def service(self, name: str) -> ServiceState:
        found = self.services().get(name)
        if found is None:
            raise ChaosError(f"no service {name!r}; there are {', '.join(self.services())}")
        return found

    def act(self, service: str, verb: str, body: Mapping[str, Any] | None = None, key: str = "") -> dict[str, Any]:
        """Do one verb of the control API; with the same `key` it is done once, however often it is asked."""
        headers = {"Idempotency-Key": key} if key else {}
        request = self._control.build_request(
            "POST", f"/services/{service}/{verb}", json=dict(body or {}), headers=headers
        )
        answer: dict[str, Any] = self._answer(request)
        return answer

    def lease(self, service: str, verb: str, after_s: float, *, if_instance: str = "") -> str:
        """Have the supervisor do `verb` after a time, whatever becomes of us."""
        body = {"service": service, "verb": verb, "after_s": after_s, "if_instance": if_instance or None}
        return str(self._answer(self._control.build_request("POST", "/leases", json=body))["lease"])

    def end_lease(self, lease: str) -> None:
        self._answer(self._control.build_request("DELETE", f"/leases/{lease}"))

    def set_load(self, factor: float, seconds: float) -> None:
        self._answer(self._control.build_request("POST", "/load", json={"factor": factor, "seconds": seconds}))

    def load(self) -> Mapping[str, float]:
        """The last second as customers saw it: sent, failed, p50_ms, p95_ms."""
        try:
            row: dict[str, float] = json.loads((self.data_dir / "load.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return row

    def burn(self, service: str, seconds: float, threads: int) -> None:
        """Start the runaway loop that the service's debug endpoint offers."""
        port = self.service(service).port
        answer = httpx.post(
            f"http://127.0.0.1:{port}/debug/burn",
            params={"seconds": seconds, "threads": threads},
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=5,
        )
        if answer.is_error:
            raise ChaosError(f"{service} refused to burn: {answer.status_code} {answer.text}")

    def ask(self, service: str, *, timeout_s: float = 1.5) -> ProbeSample:
        """Send the service one real request, on the way its callers take."""
        work = BY_NAME[service].probe
        began, clock = time.time(), time.monotonic()
        try:
            # A new connection each time: a kept one may lead past a proxy that came in between.
            with httpx.Client(timeout=timeout_s) as client:
                answer = client.request(
                    work.method,
                    f"http://127.0.0.1:{self._routes.port(service)}{work.path}",
                    json=dict(work.body) or None,
                )
            status, reason = answer.status_code, ""
        except httpx.HTTPError as error:
            status, reason = 0, type(error).__name__
        return ProbeSample(at=began, seconds=time.monotonic() - clock, status=status, reason=reason)

    def _answer(self, request: httpx.Request) -> Any:
        try:
            response = self._control.send(request)
        except httpx.HTTPError as error:
            raise ChaosError(f"the shop's supervisor at {self.control_url} does not answer: {error!r}") from error
        if response.is_error:
            raise ChaosError(f"{request.method} {request.url.path}: {response.status_code} {response.text}")
        return response.json()
