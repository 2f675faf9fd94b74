"""The target as runbook steps see it: its process supervisor's control API, with a token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import httpx

from watchkeeper.config import Config
from watchkeeper.errors import RunbookError

TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """What the supervisor says of a service: `state` is running, stopped, exited or absent."""

    state: str
    version: str
    previous_version: str
    instance: str


class Target(Protocol):
    """Whatever can describe a service and act upon it, once for each key."""

    def status(self, service: str) -> ServiceStatus: ...

    def act(self, service: str, verb: str, key: str, body: Mapping[str, Any] | None = None) -> str:
        """Do `verb` and say what was done; asked again with the same key, only say it.

        Raises:
            RunbookError: refused or unreachable; `retry` says whether asking again can help.
        """
        ...


class HttpTarget:
    """A supervisor that speaks the control API (chaos/shop/control.py documents it)."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT_S)

    @classmethod
    def of(cls, config: Config) -> Self:
        """The configured target. Raises RunbookError when there is none."""
        if not config.runbooks.target.url:
            raise RunbookError("runbooks.target.url is not set, so no runbook can run. Set it, and its token_env.")
        return cls(config.runbooks.target.url, config.runbook_target_token())

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
        try:
            response = self._client.request(method, path, **options)
        except httpx.HTTPError as error:
            raise RunbookError(f"the target at {self._url} does not answer: {error!r}", retry=True) from error
        if response.is_error:
            retry = response.status_code >= 500
            raise RunbookError(f"{method} {path}: {response.status_code} {response.text}", retry=retry)
        return response.json()
