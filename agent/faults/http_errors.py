"""The fault `http_errors`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agent.faults import routed
from agent.faults.asked import number
from watchkeeper.errors import AgentError

if TYPE_CHECKING:
    from agent.instance import Instance


class HttpErrors(routed.Routed):
    """The proxy answers a share of the requests in the service's place; the service never sees those.

    For HTTP/1 without TLS. Other bytes pass untouched. `path` is how the paths begin that are meant.
    """

    name = "http_errors"
    description = "a share of the requests to it is answered with an error"
    arguments: Mapping[str, float | str] = MappingProxyType({"percent": 50.0, "status": 503.0, "path": "/"})

    def plan(self, instance: Instance, seconds: float, arguments: Mapping[str, float | str]) -> dict[str, Any]:
        percent = number(arguments, "percent", 1.0, 100.0)
        status = number(arguments, "status", 400, 599)
        if not str(arguments["path"]).startswith("/"):
            raise AgentError(f"path must begin with /, not {arguments['path']!r}")
        rule = {"kind": "http_errors", "percent": percent, "status": int(status), "path": str(arguments["path"])}
        return routed.plan(instance, seconds, rule)
