"""The target as runbook steps see it: its process supervisor's control API, with a token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from watchkeeper.errors import RunbookError

TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """What the supervisor says of a service: `state` is running, stopped, exited or absent."""

    state: str
    version: str
    previous_version: str
    instance: str


class Services(Protocol):
    """Whatever can describe a service and act upon it, once for each key."""

    def status(self, service: str) -> ServiceStatus: ...

    def act(self, service: str, verb: str, key: str, body: Mapping[str, Any] | None = None) -> str:
        """Do `verb` and say what was done; asked again with the same key, only say it.

        Raises:
            RunbookError: refused or unreachable; `retry` says whether asking again can help.
        """
        ...


class Target:
    """A supervisor that speaks the control API (chaos/shop/control.py documents it)."""

    def __init__(self, url: str | None, token: str) -> None:
        self._url = url
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(base_url=url or "http://unset.invalid", headers=headers, timeout=TIMEOUT_S)

    def close(self) -> None:
        self._client.close()

    def status(self, service: str) -> ServiceStatus:
        rows = self._ask("GET", "/services")
        for row in rows:
            if row["service"] == service:
                return ServiceStatus(**{name: row[name] for name in ServiceStatus.__slots__})
        raise RunbookError(f"the target at {self._url} has no service {service!r}")

    def act(self, service: str, verb: str, key: str, body: Mapping[str, Any] | None = None) -> str:
        path = f"/services/{service}/{verb}"
        return str(self._ask("POST", path, json=dict(body or {}), headers={"Idempotency-Key": key}).get("did", verb))

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        if self._url is None:
            raise RunbookError("runbooks.target.url is not set, so no runbook can run. Set it, and its token_env.")
        try:
            response = self._client.request(method, path, **options)
        except httpx.HTTPError as error:
            raise RunbookError(f"the target at {self._url} does not answer: {error!r}", retry=True) from error
        if response.is_error:
            retry = response.status_code >= 500
            raise RunbookError(f"{method} {path}: {response.status_code} {response.text}", retry=retry)
        return response.json()
