"""A target that speaks the control API: HTTP with a bearer token, as a process supervisor offers it.

GET  /services                      a list of objects with `service`, `state`, `version`, `previous_version` and
                                    `instance`; what experiments need is optional (see `_status`). Asked with
                                    `?service=NAME` where one is meant; a server may list all the same
POST /services/{service}/{verb}     does a verb once for each `Idempotency-Key`, and answers {"did": "..."}
POST /leases, DELETE /leases/{id}   optional: a verb after a time, whatever becomes of who asked
GET  /target                        optional: {"name", "experience"}

`chaos/shop/control.py` is a complete server of it. It holds no faults of its own; an agent does (see agent.py).
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final
from urllib.parse import quote, urlsplit

import httpx

from runbooks.targets.http_client import TIMEOUT_S, HttpClient, status_of
from watchkeeper.errors import TargetError
from watchkeeper.target import (
    HOST,
    LEASE,
    PROBE,
    Experience,
    HoldsNoFaults,
    HostAccess,
    Lease,
    ProbeSample,
    ServiceStatus,
    TargetSettings,
)
from watchkeeper.text import one_line

# The verbs of a server that does not list its own.
VERBS: Final = frozenset({"start", "restart", "resume", "deploy", "rollback", "detour", "reroute", "release-database"})


class ControlApi(HoldsNoFaults):
    """The control API of a process supervisor. Settings: `url`, and `token_env` for its bearer token."""

    agents_place = "beside the service"

    def __init__(self, settings: TargetSettings, client: HttpClient | None = None) -> None:
        if settings.values:
            raise TargetError(f"settings: the control API takes none, not {', '.join(settings.values)}")
        self._client = client or HttpClient(settings, "the target's control API")
        self.called = f"the control API at {self._client.url}"
        self._is_local = _is_loopback(self._client.url)
        self._name = ""

    @property
    def name(self) -> str:
        """What the server calls itself; its address where it does not."""
        if not self._name:
            self._name = str(self._client.about().get("name") or self._client.url)
        return self._name

    def close(self) -> None:
        self._client.close()

    def services(self) -> Mapping[str, ServiceStatus]:
        return {status.service: status for status in self._statuses(TIMEOUT_S)}

    def status(self, service: str, *, timeout_s: float = TIMEOUT_S) -> ServiceStatus:
        for status in self._statuses(timeout_s, service):
            if status.service == service:
                return status
        raise self._client.unknown(service)

    def act(self, service: str, verb: str, *, key: str, arguments: Mapping[str, object] | None = None) -> str:
        # A name is a name, not a path: `..` or `a/b` must not lead anywhere else.
        if service in (".", ".."):
            raise self._client.unknown(service)
        path = f"/services/{quote(service, safe='')}/{quote(verb, safe='')}"
        headers = {"Idempotency-Key": quote(key, safe=":")}
        answer = self._client.ask("POST", path, json=dict(arguments or {}), headers=headers)
        return one_line(str(answer.get("did", verb)) if isinstance(answer, dict) else verb)

    def lease(self, lease: Lease) -> str:
        answer = self._client.ask("POST", "/leases", json=asdict(lease))
        if not isinstance(answer, dict) or not answer.get("lease"):
            raise self._client.other_form("/leases", "an object with `lease` is expected")
        return str(answer["lease"])

    def end_lease(self, lease_id: str) -> None:
        self._client.ask("DELETE", f"/leases/{quote(lease_id, safe='')}")

    def probe(self, service: str, *, timeout_s: float = 1.5) -> ProbeSample:
        row = next((row for row in self._client.rows(TIMEOUT_S, service) if row["service"] == service), None)
        if row is None:
            raise self._client.unknown(service)
        if not row.get("probe"):
            raise TargetError(f"the target at {self._client.url} names no probe request for {service}")
        request = row["probe"]
        if not isinstance(request, dict) or not {"method", "url"} <= request.keys():
            raise self._client.other_form("/services", "`probe` is an object with `method` and `url`")
        began, clock = time.time(), time.monotonic()
        try:
            # A new connection each time: a kept one may lead past a proxy that came in between.
            with httpx.Client(timeout=timeout_s) as client:
                answer = client.request(request["method"], request["url"], json=request.get("body") or None)
            status, reason = answer.status_code, ""
        except httpx.HTTPError as error:
            status, reason = 0, type(error).__name__
        except (httpx.InvalidURL, TypeError, ValueError, AttributeError) as error:
            raise self._client.other_form("/services", error) from error
        return ProbeSample(at=began, seconds=time.monotonic() - clock, status=status, reason=reason)

    def experience(self) -> Experience | None:
        row = self._client.about().get("experience")
        try:
            return Experience(**{name: float(row[name]) for name in Experience.__slots__}) if row else None
        except (KeyError, TypeError, ValueError) as error:
            raise self._client.other_form("/target", error) from error

    def _statuses(self, timeout_s: float, only: str = "") -> list[ServiceStatus]:
        try:
            return [self._status(row) for row in self._client.rows(timeout_s, only)]
        except (KeyError, TypeError, ValueError) as error:
            raise self._client.other_form("/services", error) from error

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
        return status_of(
            row,
            capabilities=listed | more | ({HOST} if host else set()),
            may_break=row.get("may_break") is True and LEASE in listed,
            host=host,
        )


def _is_loopback(url: str) -> bool:
    """Whether the processes behind an address are on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
