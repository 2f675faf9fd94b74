"""How services find each other: names in URLs, and one small file with the port of each name.

The supervisor replaces the file whole; a caller notices by its time of change before each request. So a
deploy, a restart or a detour needs no restart of the callers, and spans name the service, not a port.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import httpx

ROUTES_FILE = "routes.json"


class Routes:
    """Reads the route file; cheap to ask before each request (one stat)."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / ROUTES_FILE
        self._seen: tuple[int, int] = (0, 0)
        self._ports: Mapping[str, int] = {}

    def port(self, service: str) -> int | None:
        """The loopback port that `service` is reached at now, None while it has never started."""
        try:
            stat = self._path.stat()
            version = (stat.st_mtime_ns, stat.st_ino)
            if version != self._seen:
                self._ports = json.loads(self._path.read_text())
                self._seen = version
        except FileNotFoundError:
            return None
        return self._ports.get(service)


def write_routes(data_dir: Path, ports: Mapping[str, int]) -> None:
    """Replace the route file, whole or not at all."""
    draft = data_dir / f".{ROUTES_FILE}"
    draft.write_text(json.dumps(dict(ports)))
    draft.replace(data_dir / ROUTES_FILE)


class MeshTransport(httpx.BaseTransport):
    """Sends a request for http://<service>/ to where the routes lead at this moment."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        self._inner = httpx.HTTPTransport(limits=httpx.Limits(max_connections=100, max_keepalive_connections=20))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Raises httpx.ConnectError when the name is unknown or nobody listens there."""
        port = self._routes.port(request.url.host)
        if port is None:
            raise httpx.ConnectError(f"no route to {request.url.host}", request=request)
        request.url = request.url.copy_with(host="127.0.0.1", port=port)
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()
