"""Two job queues with workers, as one small server: what the parts of this package watch, break and repair.

GET  /                        {"emails": 3, "invoices": 3}: the backlog of each queue
GET  /{queue}                 200 while its worker works, 503 while it is jammed
POST /status                  [{"service": "emails", "state": "running", "version": "1", "instance": "1"}, …]
POST /{queue}/{verb}          `jam`, or `unjam` (another worker), once for each `key`
POST /{queue}/lease           a verb after a time; answers the lease's id
POST /{id of the lease}/end-lease
"""

from __future__ import annotations

import json
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GROWS_BY = 40.0  # jobs a second while nobody takes them
USUAL = 3.0
VERSION = "1"


class Queue:
    """One queue: a jammed one grows, until another worker empties it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jammed_at: float | None = None
        self._worker = 1
        self._done: set[str] = set()
        self._leases: dict[str, tuple[float, dict[str, object]]] = {}

    def backlog(self) -> float:
        with self._lock:
            self._keep_leases()
            return USUAL if self._jammed_at is None else USUAL + GROWS_BY * (time.time() - self._jammed_at)

    def status(self) -> dict[str, str]:
        with self._lock:
            self._keep_leases()
            return {"state": "running", "version": VERSION, "instance": str(self._worker)}

    def do(self, verb: str, key: str) -> str:
        with self._lock:
            if key not in self._done:
                self._turn(verb)
                self._done.add(key)
            return f"{verb}: done"

    def lease(self, fields: dict[str, object]) -> str:
        with self._lock:
            lease = uuid.uuid4().hex
            self._leases[lease] = (time.time() + float(str(fields["after_s"])), fields)
            return f"{fields['service']}/{lease}"

    def end_lease(self, lease: str) -> None:
        with self._lock:
            self._leases.pop(lease, None)

    def _keep_leases(self) -> None:
        for lease, (at, fields) in list(self._leases.items()):
            if time.time() >= at:
                del self._leases[lease]
                if fields["if_instance"] in ("", str(self._worker)) and fields["unless_version"] != VERSION:
                    self._turn(str(fields["verb"]))

    def _turn(self, verb: str) -> None:
        self._jammed_at = {"jam": self._jammed_at or time.time(), "unjam": None}[verb]
        self._worker += verb == "unjam"


QUEUES = {"emails": Queue(), "invoices": Queue()}


class Handler(BaseHTTPRequestHandler):
    """The requests above."""

    def do_GET(self) -> None:
        name = self.path.strip("/")
        if not name:
            self._answer(200, {queue: QUEUES[queue].backlog() for queue in QUEUES})
        elif name in QUEUES:
            self._answer(503 if QUEUES[name].backlog() > USUAL else 200, None)
        else:
            self._answer(404, None)

    def do_POST(self) -> None:
        fields = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            self._answer(200, self._done(self.path.strip("/").split("/"), fields))
        except (KeyError, ValueError) as error:
            self._answer(404, str(error))

    def _done(self, path: list[str], fields: dict[str, object]) -> object:
        match path:
            case ["status"]:
                return [{"service": name, **queue.status()} for name, queue in QUEUES.items()]
            case [name, "lease"]:
                return QUEUES[name].lease(fields)
            case [name, lease, "end-lease"]:
                return QUEUES[name].end_lease(lease)
            case [name, verb]:
                return QUEUES[name].do(verb, str(fields["key"]))
        raise ValueError(f"no such path: {self.path}")

    def _answer(self, status: int, body: object) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Quiet."""


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler) as server:
        server.serve_forever()
