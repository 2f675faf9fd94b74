"""The target as runbook steps see it: its process supervisor's control API, with a token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

import httpx

from watchkeeper.errors import RunbookError
from watchkeeper.text import one_line

TIMEOUT_S = 30.0
# A proposal is weighed before a page goes out, which must not wait for a target that hangs.
LOOK_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """The supervisor's report of a service: `state` is running, stopped, exited or absent."""

    state: str
    version: str
    previous_version: str
    instance: str


class Services(Protocol):
    """Whatever can describe a service and act upon it, once for each key."""

    def status(self, service: str) -> ServiceStatus: ...

    def act(self, service: str, verb: str, key: str, body: Mapping[str, Any] | None = None) -> str:
        """Do `verb` and describe what was done; with the same key again, only describe it.

        Raises:
            RunbookError: refused or unreachable; `retry` is set where asking again can help.
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

    def why_not(self, service: str) -> str:
        """Why this service cannot be acted upon now, in words; empty when it can. Takes at most a few seconds."""
        if self._url is None:
            return "no target is configured: set runbooks.target.url, and its token_env"
        try:
            self._status(service, timeout=LOOK_TIMEOUT_S)
        except RunbookError as error:
            return error.message
        return ""

    def status(self, service: str) -> ServiceStatus:
        return self._status(service)

    def _status(self, service: str, **options: Any) -> ServiceStatus:
        rows = self._ask("GET", "/services", **options)
        try:
            row = next((row for row in rows if row["service"] == service), None)
            if row is not None:
                return ServiceStatus(**{name: str(row[name]) for name in ServiceStatus.__slots__})
        except (KeyError, TypeError) as error:
            raise RunbookError(f"the target at {self._url} answers /services in another form: {error!r}") from error
        raise RunbookError(f"the target at {self._url} has no service {one_line(service, 100)!r}")

    def act(self, service: str, verb: str, key: str, body: Mapping[str, Any] | None = None) -> str:
        # A name is a name, not a path: `..` or `a/b` must not lead anywhere else.
        if service in (".", ".."):
            raise RunbookError(f"the target at {self._url} has no service {service!r}")
        name = quote(service, safe="")
        headers = {"Idempotency-Key": quote(key, safe=":")}
        answer = self._ask("POST", f"/services/{name}/{verb}", json=dict(body or {}), headers=headers)
        return one_line(answer.get("did", verb) if isinstance(answer, dict) else verb)

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        if self._url is None:
            raise RunbookError("runbooks.target.url is not set, so no runbook can run. Set it, and its token_env.")
        try:
            response = self._client.request(method, path, **options)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise RunbookError(f"the target at {self._url} does not answer: {error!r}", retry=True) from error
        if response.is_error:
            retry = response.status_code >= 500
            answer = one_line(response.text)
            raise RunbookError(f"{method} {path}: {response.status_code} {answer}", retry=retry)
        try:
            return response.json()
        except ValueError as error:
            raise RunbookError(
                f"{method} {path}: the target's answer is not JSON: {one_line(response.text)}"
            ) from error
