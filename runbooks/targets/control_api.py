"""A target that speaks the control API: HTTP with a bearer token, as a process supervisor offers it.

GET  /services                      a list of objects with `service`, `state`, `version`, `previous_version` and
                                    `instance`; what experiments need is optional (see `_status`)
POST /services/{service}/{verb}     does a verb once for each `Idempotency-Key`, and answers {"did": "..."}
POST /leases, DELETE /leases/{id}   optional: a verb after a time, whatever becomes of who asked
GET  /target                        optional: {"name", "experience"}

`chaos/shop/control.py` is a complete server of it.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final
from urllib.parse import quote, urlsplit

import httpx

from watchkeeper.errors import OutOfReachError, TargetError
from watchkeeper.target import (
    HOST,
    LEASE,
    PROBE,
    Experience,
    HostAccess,
    Lease,
    ProbeSample,
    ServiceStatus,
    TargetSettings,
)
from watchkeeper.text import one_line

# A deploy or a restart may take as long until the target answers.
TIMEOUT_S: Final = 30.0
# The verbs of a server that does not list its own.
VERBS: Final = frozenset({"start", "restart", "resume", "deploy", "rollback", "detour", "reroute", "release-database"})


class ControlApi:
    """The control API of a process supervisor. Settings: `url`, and `token_env` for its bearer token."""

    def __init__(self, settings: TargetSettings) -> None:
        if settings.url is None:
            raise TargetError("runbooks.target.url is not set: it is the address of the target's control API")
        if settings.values:
            raise TargetError(f"runbooks.target.settings: the control API takes none, not {', '.join(settings.values)}")
        self.url = settings.url
        headers = {"Authorization": f"Bearer {settings.token}"} if settings.token else {}
        self._client = httpx.Client(base_url=settings.url, headers=headers, timeout=TIMEOUT_S)
        self._is_local = _is_loopback(settings.url)
        self._name = ""

    @property
    def name(self) -> str:
        """What the server calls itself; its address where it does not."""
        if not self._name:
            self._name = str(self._about().get("name") or self.url)
        return self._name

    def close(self) -> None:
        self._client.close()

    def services(self) -> Mapping[str, ServiceStatus]:
        return {status.service: status for status in self._statuses(TIMEOUT_S)}

    def status(self, service: str, *, timeout_s: float = TIMEOUT_S) -> ServiceStatus:
        for status in self._statuses(timeout_s):
            if status.service == service:
                return status
        raise self._unknown(service)

    def act(self, service: str, verb: str, *, key: str, arguments: Mapping[str, object] | None = None) -> str:
        # A name is a name, not a path: `..` or `a/b` must not lead anywhere else.
        if service in (".", ".."):
            raise self._unknown(service)
        path = f"/services/{quote(service, safe='')}/{quote(verb, safe='')}"
        headers = {"Idempotency-Key": quote(key, safe=":")}
        answer = self._ask("POST", path, json=dict(arguments or {}), headers=headers)
        return one_line(str(answer.get("did", verb)) if isinstance(answer, dict) else verb)

    def lease(self, lease: Lease) -> str:
        return str(self._ask("POST", "/leases", json=asdict(lease))["lease"])

    def end_lease(self, lease_id: str) -> None:
        self._ask("DELETE", f"/leases/{quote(lease_id, safe='')}")

    def probe(self, service: str, *, timeout_s: float = 1.5) -> ProbeSample:
        row = next((row for row in self._rows(TIMEOUT_S) if row["service"] == service), None)
        if row is None:
            raise self._unknown(service)
        if not row.get("probe"):
            raise TargetError(f"the target at {self.url} names no probe request for {service}")
        request = row["probe"]
        began, clock = time.time(), time.monotonic()
        try:
            # A new connection each time: a kept one may lead past a proxy that came in between.
            with httpx.Client(timeout=timeout_s) as client:
                answer = client.request(request["method"], request["url"], json=request.get("body") or None)
            status, reason = answer.status_code, ""
        except httpx.HTTPError as error:
            status, reason = 0, type(error).__name__
        return ProbeSample(at=began, seconds=time.monotonic() - clock, status=status, reason=reason)

    def experience(self) -> Experience | None:
        row = self._about().get("experience")
        try:
            return Experience(**{name: float(row[name]) for name in Experience.__slots__}) if row else None
        except (KeyError, TypeError, ValueError) as error:
            raise self._other_form("/target", error) from error

    def _about(self) -> Mapping[str, Any]:
        """GET /target; empty where the server does not offer it."""
        try:
            about = self._ask("GET", "/target")
        except TargetError as error:
            if error.retry:
                raise
            return {}
        return about if isinstance(about, dict) else {}

    def _statuses(self, timeout_s: float) -> list[ServiceStatus]:
        try:
            return [self._status(row) for row in self._rows(timeout_s)]
        except (KeyError, TypeError, ValueError) as error:
            raise self._other_form("/services", error) from error

    def _rows(self, timeout_s: float) -> list[dict[str, Any]]:
        rows = self._ask("GET", "/services", timeout=timeout_s)
        if not isinstance(rows, list) or not all(isinstance(row, dict) and "service" in row for row in rows):
            raise self._other_form("/services", "a list of objects with `service` is expected")
        return rows

    def _status(self, row: Mapping[str, Any]) -> ServiceStatus:
        """`can` lists verbs and `lease`; `pid`, `port`, `reached_at` and `database` count where the server is local."""
        listed = frozenset(row["can"]) if "can" in row else VERBS
        host = None
        if self._is_local and row.get("pid"):
            host = HostAccess(
                pid=int(row["pid"]),
                port=int(row["port"]),
                reached_at=int(row["reached_at"]),
                database=str(row.get("database") or ""),
            )
        more = {PROBE} if row.get("probe") else set()
        return ServiceStatus(
            service=str(row["service"]),
            state=str(row["state"]),
            version=str(row["version"]),
            previous_version=str(row["previous_version"]),
            instance=str(row["instance"]),
            capabilities=listed | more | ({HOST} if host else set()),
            may_break=row.get("may_break") is True and LEASE in listed,
            host=host,
        )

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        try:
            response = self._client.request(method, path, **options)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise TargetError(f"the target at {self.url} does not answer: {error!r}", retry=True) from error
        if response.is_error:
            retry = response.status_code >= 500
            raise TargetError(f"{method} {path}: {response.status_code} {one_line(response.text)}", retry=retry)
        try:
            return response.json()
        except ValueError as error:
            raise TargetError(f"{method} {path}: the target's answer is not JSON: {one_line(response.text)}") from error

    def _unknown(self, service: str) -> OutOfReachError:
        return OutOfReachError(f"the target at {self.url} has no service {one_line(service, 100)!r}")

    def _other_form(self, path: str, why: object) -> TargetError:
        return TargetError(f"the target at {self.url} answers {path} in another form: {why!r}")


def _is_loopback(url: str) -> bool:
    """Whether the processes behind an address are on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
