"""What the experiments of this folder break: small servers on loopback, as people have them.

    python lab.py api PORT FOLDER       an HTTP API: /health, /orders (asks the dependency), /name (resolves a host)
    python lab.py dependency PORT       what the API asks
    python lab.py proxy PORT TO         TCP in between; GET /delay/SECONDS on PORT+1 makes it slow
    python lab.py start|stop|await NAME …  programs by pid file, in the folder that LAB_FOLDER names

Functions are actions, probes and a tolerance of the Python provider.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

DELAY = {"seconds": 0.0}


class Quiet(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...

    def answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def api(port: int, folder: str) -> None:
    """Asks its dependency, keeps orders in SQLite, writes to a folder, and finds a partner by a hosts file."""
    database = Path(folder) / "orders.db"
    with sqlite3.connect(database) as connection:
        connection.execute("create table if not exists orders (item text)")

    class Api(Quiet):
        def do_GET(self) -> None:
            try:
                self.answer(200, self.content())
            except Exception as error:  # noqa: BLE001
                self.answer(503, {"status": "down", "error": f"{type(error).__name__}: {error}"})

        def content(self) -> object:
            if self.path == "/health":
                return {"status": "ok", "services": [{"name": "orders"}, {"name": "stock"}]}
            if self.path == "/orders":
                with urllib.request.urlopen(os.environ["DEPENDENCY"], timeout=0.5) as reply:
                    return json.load(reply)
            if self.path == "/save":
                connection = sqlite3.connect(database, timeout=0.3)
                try:
                    with connection:
                        connection.execute("insert into orders values ('tea')")
                finally:
                    connection.close()
                return {"saved": True}
            if self.path == "/upload":
                (Path(folder) / "disk" / "upload").write_bytes(b"x" * 60_000)
                return {"stored": True}
            hosts = dict(line.split()[::-1] for line in (Path(folder) / "hosts").read_text().splitlines())
            address, _, port_of = hosts["partner.test"].partition(":")
            with socket.create_connection((address, int(port_of)), timeout=0.5):
                return {"partner": address}

    ThreadingHTTPServer(("127.0.0.1", port), Api).serve_forever()


def dependency(port: int) -> None:
    class Dependency(Quiet):
        def do_GET(self) -> None:
            self.answer(200, {"items": ["tea", "milk"], "token": self.headers.get("Authorization", "")})

    ThreadingHTTPServer(("127.0.0.1", port), Dependency).serve_forever()


def proxy(port: int, to: int) -> None:
    class Control(Quiet):
        def do_GET(self) -> None:
            DELAY["seconds"] = float(self.path.rsplit("/", 1)[-1])
            self.answer(200, DELAY)

    threading.Thread(target=ThreadingHTTPServer(("127.0.0.1", port + 1), Control).serve_forever, daemon=True).start()

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with source, sink:
            while data := source.recv(65_536):
                time.sleep(DELAY["seconds"])
                sink.sendall(data)

    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            client, _ = listener.accept()
            server = socket.create_connection(("127.0.0.1", to))
            for pair in ((client, server), (server, client)):
                threading.Thread(target=pump, args=pair, daemon=True).start()


# Programs by pid file.


def _pid_file(name: str) -> Path:
    return Path(os.environ["LAB_FOLDER"]) / f"{name}.pid"


def start(name: str, *words: str) -> None:
    """Start a program of this file unless it runs, and wait until its port answers."""
    if not _alive(name):
        # Whatever becomes of the experiment: nothing of this outlives its test by long.
        command = ["timeout", "120", sys.executable, __file__, *words]
        none = subprocess.DEVNULL  # whoever reads our output must not wait for the program
        process = subprocess.Popen(command, start_new_session=True, stdin=none, stdout=none, stderr=none)
        _pid_file(name).write_text(str(process.pid))
    port = int(words[1])
    for _ in range(600):
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit(f"{name} does not answer")


def stop(name: str, number: int = signal.SIGKILL) -> None:
    if _alive(name):
        os.killpg(int(_pid_file(name).read_text()), number)
    _pid_file(name).unlink(missing_ok=True)


def _alive(name: str) -> bool:
    try:
        pid = int(_pid_file(name).read_text())
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except (OSError, ValueError):
        return False


# Actions, probes and a tolerance of the Python provider.


def lock_database(folder: str, seconds: float = 1.0) -> str:
    """Another process' exclusive lock, as a report or a migration holds it."""
    connection = sqlite3.connect(Path(folder) / "orders.db", timeout=5)
    connection.execute("begin exclusive")
    time.sleep(seconds)
    connection.rollback()
    connection.close()
    return "unlocked"


def fill(folder: str) -> int:
    """Fill a small disk until nothing fits."""
    size = 0
    try:
        with (Path(folder) / "disk" / "filler").open("wb", buffering=0) as file:
            while written := file.write(b"0" * 65_536):
                size += written
    except OSError:
        pass
    return size


def empty(folder: str) -> None:
    (Path(folder) / "disk" / "filler").unlink(missing_ok=True)


def point_partner_to(folder: str, address: str) -> str:
    (Path(folder) / "hosts").write_text(f"{address} partner.test\n")
    return address


def count_up(folder: str) -> int:
    """How often this was asked."""
    path = Path(folder) / "count"
    count = int(path.read_text()) + 1 if path.exists() else 1
    path.write_text(str(count))
    return count


def is_small(value: int = 0, largest: int = 3) -> bool:
    return value <= largest


def fetched(url: str) -> dict[str, str]:
    """What an address answers, as text."""
    with urllib.request.urlopen(url, timeout=5) as reply:
        return {"text": reply.read().decode()}


def fail() -> None:
    raise RuntimeError("the probe cannot look")


def linger(seconds: float = 60.0) -> None:
    time.sleep(seconds)


def leave_a_mark(folder: str, name: str = "rolled-back") -> None:
    (Path(folder) / name).write_text("yes")


# Controls: an experiment is ended from outside, and what was called is noted.


def before_activity_control(context: dict, state: object = None, **arguments: object) -> None:
    if context["name"] == arguments.get("interrupt_before"):
        from chaoslib.exceptions import InterruptExecution

        raise InterruptExecution("a control ends it")


def after_experiment_control(context: dict, state: dict, folder: str = "", **_: object) -> None:
    if folder:
        (Path(folder) / "control").write_text(str(state["status"]))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["api", port, folder]:
            api(int(port), folder)
        case ["dependency", port]:
            dependency(int(port))
        case ["proxy", port, to]:
            proxy(int(port), int(to))
        case ["start", name, *words]:
            start(name, *words)
        case ["stop", name]:
            stop(name)
