"""The HTTP connection to a target: its address, a bearer token, TLS, and errors in words."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, Final

import httpx

from watchkeeper.errors import OutOfReachError, TargetError, UnsureError
from watchkeeper.target import ServiceStatus, TargetSettings
from watchkeeper.text import one_line

# A deploy or a restart may take as long until the target answers.
TIMEOUT_S: Final = 30.0
CONFLICT: Final = 409


class HttpClient:
    """Asks one server, and raises TargetError for whatever is no good answer."""

    def __init__(self, settings: TargetSettings, what: str) -> None:
        """`what` names the address in the error where none is set: `the control API`."""
        if settings.url is None:
            raise TargetError(f"url is not set: it is the address of {what}")
        self.url = settings.url
        headers = {"Authorization": f"Bearer {settings.token}"} if settings.token else {}
        self._client = httpx.Client(
            base_url=settings.url, headers=headers, timeout=TIMEOUT_S, verify=_verified_by(settings)
        )

    def close(self) -> None:
        self._client.close()

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """The answer's JSON."""
        try:
            response = self._client.request(method, path, **options)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise TargetError(f"the target at {self.url} does not answer: {error!r}", retry=True) from error
        if response.is_error:
            message = f"{method} {path}: {response.status_code} {_reason(response)}"
            if response.status_code == CONFLICT and _is_unsure(response):
                raise UnsureError(message)
            raise TargetError(message, retry=response.status_code >= 500)
        try:
            return response.json()
        except ValueError as error:
            raise TargetError(f"{method} {path}: the target's answer is not JSON: {one_line(response.text)}") from error

    def about(self) -> Mapping[str, Any]:
        """GET /target; empty where the server does not offer it."""
        try:
            about = self.ask("GET", "/target")
        except TargetError as error:
            if error.retry:
                raise
            return {}
        return about if isinstance(about, dict) else {}

    def rows(self, timeout_s: float, only: str = "") -> list[dict[str, Any]]:
        """GET /services: a row for each. `only` asks for that one; a server that does not know how sends all."""
        options = {"params": {"service": only}} if only else {}
        rows = self.ask("GET", "/services", timeout=timeout_s, **options)
        if not isinstance(rows, list) or not all(isinstance(row, dict) and "service" in row for row in rows):
            raise self.other_form("/services", "a list of objects with `service` is expected")
        return rows

    def unknown(self, service: str) -> OutOfReachError:
        return OutOfReachError(f"the target at {self.url} has no service {one_line(service, 100)!r}")

    def other_form(self, path: str, why: object) -> TargetError:
        return TargetError(f"the target at {self.url} answers {path} in another form: {why!r}")


def status_of(row: Mapping[str, Any], **more: Any) -> ServiceStatus:
    """What every row of GET /services has. Raises KeyError, TypeError or ValueError for another form."""
    return ServiceStatus(
        service=str(row["service"]),
        state=str(row["state"]),
        version=str(row["version"]),
        previous_version=str(row["previous_version"]),
        instance=str(row["instance"]),
        **more,
    )


def _reason(response: httpx.Response) -> str:
    """The sentence in {"error": …}, or what the server wrote instead."""
    try:
        answer = response.json()
    except ValueError:
        answer = None
    return one_line(str(answer["error"]) if isinstance(answer, dict) and "error" in answer else response.text)


def _is_unsure(response: httpx.Response) -> bool:
    """Whether the server says {"unsure": true}: what was asked before with this key may have been done."""
    try:
        answer = response.json()
    except ValueError:
        return False
    return isinstance(answer, dict) and answer.get("unsure") is True


def _verified_by(settings: TargetSettings) -> ssl.SSLContext | bool:
    """How the server is verified, and with what we show who we are."""
    if not settings.ca_file and not settings.cert_file:
        return True
    part, path = "ca_file", settings.ca_file
    try:
        context = ssl.create_default_context(cafile=str(path) if path else None)
        if settings.cert_file:
            part, path = "cert_file", settings.cert_file
            context.load_cert_chain(path, settings.key_file)
    except (OSError, ssl.SSLError) as error:
        raise TargetError(f"{part}: {path} cannot be used: {one_line(str(error))}") from error
    return context
