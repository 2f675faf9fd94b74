"""The proxy's control socket: one a route, one JSON object a line, asked and answered.

{"do": "state"}                         the route and its rule
{"do": "set", "rule": {"id", "kind", "seconds", …}}
{"do": "clear", "id": "…"}              end this rule; nothing where another one or none holds
{"do": "open", "route": {…}}            a further route of the same process, or this one leads elsewhere now
{"do": "close"}                         the route ends
"""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any, Final

from watchkeeper.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Mapping

ANSWER_WITHIN_S: Final = 5.0
LONGEST_LINE: Final = 65536


def address(port: int) -> str:
    """The name of a route's control socket, which is in no folder."""
    return f"\0watchkeeper-proxy-{port}"


def reached_at(port: int) -> str:
    """The address at which this host reaches the proxy of a port. Raises AgentError."""
    state = ask(port, {"do": "state"})
    host = str(state["listen_host"]) if state else ""
    return host if host not in {"", "0.0.0.0", "::"} else "127.0.0.1"  # noqa: S104 - which means every address


def ask(port: int, question: Mapping[str, Any], *, within_s: float = ANSWER_WITHIN_S) -> dict[str, Any] | None:
    """What the proxy of this port answers; None where none runs.

    Raises:
        AgentError: it refuses, or does not answer in time.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(within_s)
        try:
            connection.connect(address(port))
        except ConnectionRefusedError:
            return None
        except OSError as error:
            raise AgentError(f"the proxy of port {port} does not answer: {error}") from error
        try:
            connection.sendall(json.dumps(question).encode() + b"\n")
            with connection.makefile("rb") as lines:
                line = lines.readline(LONGEST_LINE)
        except (BrokenPipeError, ConnectionResetError):
            return None  # it was killed in this moment
        except OSError as error:
            raise AgentError(f"the proxy of port {port} does not answer: {error}", retry=True) from error
    if not line:
        return None  # it ended in this moment
    answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        raise AgentError(str(answer["error"]))
    return answer
