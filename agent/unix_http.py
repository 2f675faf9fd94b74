"""HTTP over a Unix socket, as local supervisors serve it; with nothing but the standard library."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any

from watchkeeper.errors import AgentError


class UnixConnection(http.client.HTTPConnection):
    """A connection to the server behind a Unix socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self.timeout)
        try:
            connection.connect(self._path)
        except OSError:
            connection.close()
            raise
        self.sock = connection


def ask(path: str, method: str, address: str, *, who: str, within_s: float, ok: tuple[int, ...]) -> tuple[int, Any]:
    """The status and the JSON of an answer; None for an answer without a body.

    Args:
        who: the server's name, for errors.
        ok: the statuses that are good answers.

    Raises:
        AgentError: it does not answer, or with another status.
    """
    connection = UnixConnection(path, within_s)
    try:
        connection.request(method, address, headers={"Content-Length": "0"} if method == "POST" else {})
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise AgentError(f"{who} does not answer on {path}: {error}", retry=True) from error
    finally:
        connection.close()
    try:
        answer = json.loads(body) if body else None
    except ValueError:
        answer = None
    if response.status not in ok:
        message = answer.get("message") if isinstance(answer, dict) else body[:200].decode(errors="replace")
        raise AgentError(f"{who} answers {method} {address} with {response.status}: {message}")
    return response.status, answer
