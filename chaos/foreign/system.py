"""The running system: starts every program on ports of its own, keeps them alive, and stops what it started."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, Final, Self

from chaos.foreign.paths import Path, Paths
from chaos.foreign.programs import DATABASE_USER, SERVICES, Programs
from chaos.foreign.remote import served
from watchkeeper.child_process import end_with_parent
from watchkeeper.errors import ChaosError

NODE_SERVICES: Final = ("catalogue", "lending", "readers", "recommend", "notices", "desk")
# Whom each program calls, each through a path of its own that can be disturbed.
CALLS: Final[Mapping[str, tuple[str, ...]]] = {
    "desk": ("catalogue", "recommend", "readers", "lending"),
    "recommend": ("catalogue", "redis"),
    "catalogue": ("postgresql",),
    "lending": ("postgresql", "redis"),
    "readers": ("redis",),
    "notices": ("postgresql", "redis"),
}
FIRST_VERSION: Final = "1.4.0"
READY_WITHIN_S: Final = 60.0
RESTART_AFTER_S: Final = 1.0
DRAIN_S: Final = 0.5
END_WITHIN_S: Final = 2.0  # then it is killed
HEAP_MB: Final = 160  # of each Node program: a leak ends in a crash, as in a small container
_SCHEMA: Final = """
CREATE TABLE titles (isbn text PRIMARY KEY, title text NOT NULL);
CREATE TABLE loans (id serial PRIMARY KEY, reader text NOT NULL, isbn text NOT NULL);
CREATE TABLE notices (id serial PRIMARY KEY, reader text NOT NULL, loan int NOT NULL);
CREATE INDEX ON loans (reader);
INSERT INTO titles SELECT n::text, 'Title ' || n FROM generate_series(0, 499) AS n;
"""
_NGINX: Final = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log warn;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {folder}/nginx-body;
  proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi;
  uwsgi_temp_path {folder}/nginx-uwsgi;
  scgi_temp_path {folder}/nginx-scgi;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://127.0.0.1:{desk}; proxy_read_timeout 5s; proxy_http_version 1.1; }}
  }}
}}
"""


@dataclass(slots=True)
class _Program:
    """A program as it is started, and the process that runs now."""

    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    user: str | None = None
    process: subprocess.Popen[bytes] | None = None
    wanted: bool = True
    starts: int = 0


class Library:
    """The system.

    Args:
        programs: where the programs are.
        otlp_url: where telemetry goes, `http://127.0.0.1:4318`.
        free_port: gives a port that nothing listens on.
        restarts: whether it starts again what ended by itself, as a container platform does. Without, it is for an
            agent to do that; see `remote`.
    """

    def __init__(
        self, programs: Programs, otlp_url: str, free_port: Callable[[], int], *, restarts: bool = True
    ) -> None:
        self._programs = programs
        self._otlp_url = otlp_url
        self.folder = FilePath(tempfile.mkdtemp(prefix="watchkeeper-foreign-"))
        self.folder.chmod(0o755)  # the database's user must reach its folder below
        names = ("nginx", "postgresql", "redis", *NODE_SERVICES)
        self._given: set[int] = set()
        self._any_free_port = free_port
        self.ports = {name: self._free_port() for name in names}
        self._paths = Paths()
        self._seen_through: dict[tuple[str, str], Path] = {}
        self._running: dict[str, _Program] = {}
        self._versions = dict.fromkeys(NODE_SERVICES, FIRST_VERSION)
        self._stopping = threading.Event()
        self._lock = threading.RLock()
        self.restarts = restarts
        self._keeper = threading.Thread(target=self._keep, name="foreign", daemon=True)
        self._open = contextlib.ExitStack()

    @property
    def url(self) -> str:
        """Where its users come in."""
        return f"http://127.0.0.1:{self.ports['nginx']}"

    @property
    def remote(self) -> FilePath:
        """The socket by which others start, stop and replace its programs; see chaos/foreign/remote.py."""
        return self.folder / "remote.sock"

    def __enter__(self) -> Self:
        try:
            self._start_all()
            self._open.enter_context(served(self.remote, self._asked))
        except BaseException:
            self.close()
            raise
        self._keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop every program and remove what it wrote."""
        self._stopping.set()
        if self._keeper.is_alive():
            self._keeper.join(5)
        for name in self._running:
            self._ask_to_end(name)
        until = time.monotonic() + END_WITHIN_S
        for program in reversed(list(self._running.values())):
            if program.process:
                _end(program.process, until - time.monotonic())
        self._open.close()
        self._paths.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, caller: str, callee: str) -> Path:
        """The path that one program reaches another by."""
        return self._seen_through[caller, callee]

    def paths_to(self, callee: str) -> list[Path]:
        """Every path to a program."""
        return [path for (_, to), path in self._seen_through.items() if to == callee]

    def cut(self, path: Path) -> None:
        """Refuse and break every connection of a path."""
        self._paths.run(path.cut())

    def repair(self, path: Path) -> None:
        """Make a path as it was."""
        self._paths.run(path.repair())

    def pid(self, name: str) -> int:
        """The process of a program. Raises ChaosError where it does not run."""
        process = self._running[name].process
        if process is None or process.poll() is not None:
            raise ChaosError(f"{name} does not run")
        return process.pid

    def kill(self, name: str, *, stay_down: bool) -> None:
        """End a program as a crash would; `stay_down` until `start`."""
        with self._lock:
            self._running[name].wanted = not stay_down
            process = self._running[name].process
            if process and process.poll() is None:
                process.kill()
                process.wait()

    def start(self, name: str) -> None:
        """Start a program that stayed down."""
        with self._lock:
            self._running[name].wanted = True
            self._launch(name)

    def stop(self, name: str) -> None:
        """Ask a program to end, and wait for it; it stays down until `start`."""
        with self._lock:
            self._running[name].wanted = False
            self._ask_to_end(name)
            if process := self._running[name].process:
                _end(process)

    def deploy(self, service: str, version: str, **environment: str) -> None:
        """Replace a Node program by another version of itself, as a rolling update does: the new one first listens.

        The desk cannot be replaced: nginx reaches it by its port.
        """
        with self._lock:
            old = self._running[service].process
            self._versions[service] = version
            self.ports[service] = self._free_port()
            self._running[service] = self._node(service, environment)
            self._launch(service)
        if self.paths_to(service):
            self._await_port(service)
            for path in self.paths_to(service):
                path.target = self.ports[service]
            time.sleep(DRAIN_S)  # what the old one is still asked
        if old:
            _end(old)

    def replace(self, service: str, version: str, **environment: str) -> None:
        """Stop a Node program, and start another version of it where it listened; nothing if that runs already."""
        with self._lock:
            old = self._running[service]
            self._versions[service] = version
            new = self._node(service, environment)
            is_same = (new.command, new.environment) == (old.command, old.environment)
            if is_same and old.process and old.process.poll() is None:
                return
            self.stop(service)
            self._running[service] = new
            self._launch(service)
        if self.paths_to(service):
            self._await_port(service)

    def trouble(self, service: str, **state: float) -> None:
        """Set what is wrong inside a Node program; see services/trouble.js. Raises OSError if it does not listen."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(5.0)
            connection.connect(str(self.folder / f"{service}.sock"))
            connection.sendall(json.dumps(state).encode() + b"\n")
            connection.recv(4096)

    def query(self, sql: str, timeout_s: float = 20.0) -> str:
        """Run SQL in the library's database, as psql does."""
        command = [str(self._programs.postgres / "psql"), "-h", "127.0.0.1", "-p", str(self.ports["postgresql"])]
        command += ["-U", "library", "-d", "library", "-qtA", "-v", "ON_ERROR_STOP=1", "-c", sql]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
        if done.returncode:
            raise ChaosError(f"psql: {done.stderr.strip()}")
        return done.stdout.strip()

    def lock_table(self, table: str, seconds: float) -> subprocess.Popen[bytes]:
        """Hold a table's lock for so long, in a session of its own."""
        sql = f"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep({seconds}); COMMIT;"
        command = [str(self._programs.postgres / "psql"), "-h", "127.0.0.1", "-p", str(self.ports["postgresql"])]
        command += ["-U", "library", "-d", "library", "-q", "-c", sql]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def redis(self, *command: str) -> str:
        """One command to Redis; its answer's first line."""
        text = f"*{len(command)}\r\n" + "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in command)
        with socket.create_connection(("127.0.0.1", self.ports["redis"]), timeout=5.0) as connection:
            connection.sendall(text.encode())
            return connection.recv(4096).decode().splitlines()[0]

    def _start_all(self) -> None:
        self._prepare_database()
        self._launch("postgresql")
        self._await_port("postgresql")
        self._fill_database()
        self._running["redis"] = _Program([
            *(self._programs.redis, "--port", str(self.ports["redis"]), "--bind", "127.0.0.1", "--save", ""),
            *("--appendonly", "no", "--dir", str(self.folder), "--maxmemory-policy", "noeviction"),
        ])  # fmt: skip
        self._launch("redis")
        for service, callees in CALLS.items():
            for callee in callees:
                self._seen_through[service, callee] = self._paths.add(self._free_port(), self.ports[callee])
        for service in NODE_SERVICES:
            self._running[service] = self._node(service, {})
            self._launch(service)
        conf = self.folder / "nginx.conf"
        conf.write_text(_NGINX.format(folder=self.folder, port=self.ports["nginx"], desk=self.ports["desk"]))
        self._running["nginx"] = _Program([self._programs.nginx, "-c", str(conf), "-p", str(self.folder)])
        self._launch("nginx")
        for name in ("redis", "catalogue", "lending", "readers", "recommend", "desk", "nginx"):
            self._await_port(name)

    def _node(self, service: str, environment: Mapping[str, str]) -> _Program:
        places = {callee: self._seen_through[service, callee].port for callee in CALLS.get(service, ())}
        command = [
            *(self._programs.node, f"--max-old-space-size={HEAP_MB}", "--require", str(SERVICES / "trouble.js")),
            *("--require", "@opentelemetry/auto-instrumentations-node/register", str(SERVICES / f"{service}.js")),
            str(self.folder),  # by which others distinguish it from another library's
        ]
        settings = {
            "PORT": str(self.ports[service]),
            "PLACES": json.dumps(places),
            "TROUBLE_SOCKET": str(self.folder / f"{service}.sock"),
            "NODE_PATH": str(self._programs.modules),
            "OTEL_SERVICE_NAME": service,
            "OTEL_RESOURCE_ATTRIBUTES": f"service.version={self._versions[service]}",
            "OTEL_EXPORTER_OTLP_ENDPOINT": self._otlp_url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_LOGS_EXPORTER": "otlp",
            "OTEL_METRIC_EXPORT_INTERVAL": "10000",
            # The other detectors ask the clouds' metadata services, which are not on this machine.
            "OTEL_NODE_RESOURCE_DETECTORS": "env,host,os,process,serviceinstance",
            "OTEL_NODE_DISABLED_INSTRUMENTATIONS": "fs,dns,net",
        }
        return _Program(command, {**settings, **environment})

    def _free_port(self) -> int:
        """Another one each time: a program that does not run yet, or not now, does not listen on its own."""
        while (port := self._any_free_port()) in self._given:
            pass
        self._given.add(port)
        return port

    def _prepare_database(self) -> None:
        data = self.folder / "database"
        data.mkdir()
        account = pwd.getpwnam(DATABASE_USER)
        as_root = os.geteuid() == 0
        if as_root:
            os.chown(data, account.pw_uid, account.pw_gid)
        user = DATABASE_USER if as_root else None
        make = [str(self._programs.postgres / "initdb"), "-D", str(data), "-U", "library", "-A", "trust", "--no-sync"]
        done = subprocess.run(make, user=user, cwd=data, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ChaosError(f"initdb failed: {done.stderr.strip()}")
        self._running["postgresql"] = _Program(
            [
                *(str(self._programs.postgres / "postgres"), "-D", str(data), "-p", str(self.ports["postgresql"])),
                *("-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={data}", "-c", "fsync=off"),
            ],
            user=user,
        )

    def _fill_database(self) -> None:
        command = [str(self._programs.postgres / "psql"), "-h", "127.0.0.1", "-p", str(self.ports["postgresql"])]
        command += ["-U", "library", "-d", "postgres", "-q", "-c", "CREATE DATABASE library"]
        until = time.monotonic() + READY_WITHIN_S
        while (done := subprocess.run(command, capture_output=True, text=True, check=False)).returncode:
            if time.monotonic() > until:
                raise ChaosError(f"PostgreSQL does not answer: {done.stderr.strip()}")
            time.sleep(0.3)
        self.query(_SCHEMA)

    def _launch(self, name: str) -> None:
        program = self._running[name]
        log = (self.folder / f"{name}.log").open("ab")
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", **program.environment}
        with log:
            program.process = subprocess.Popen(
                program.command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                user=program.user,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - one prctl call, no lock is taken
            )
        program.starts += 1

    def _ask_to_end(self, name: str) -> None:
        process = self._running[name].process
        if process is None or process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            # PostgreSQL's fast way to stop is SIGINT: SIGTERM waits for its clients.
            process.send_signal(signal.SIGINT if name == "postgresql" else signal.SIGTERM)

    def _keep(self) -> None:
        """Collect what ended by itself, and start it again, as a container platform does."""
        while not self._stopping.wait(RESTART_AFTER_S):
            with self._lock:
                for name, program in self._running.items():
                    has_ended = program.process is not None and program.process.poll() is not None
                    if has_ended and program.wanted and self.restarts:
                        self._launch(name)

    def _asked(self, words: list[str]) -> None:
        """What somebody asked on the socket."""
        verb, name, *more = words
        if self._stopping.is_set():
            raise ChaosError("the library ends")
        if name not in self._running:
            raise ChaosError(f"no program {name!r}; there are {', '.join(self._running)}")
        if verb == "deploy" and more and name in NODE_SERVICES:
            self.replace(name, more[0], **dict(word.split("=", 1) for word in more[1:]))
            return
        if verb not in ("start", "stop", "restart"):
            raise ChaosError(f"{name} takes start, stop, restart, or deploy with a version, not {' '.join(words)}")
        with self._lock:
            if verb != "start":
                self.stop(name)
            process = self._running[name].process
            if verb != "stop" and (process is None or process.poll() is not None):
                self.start(name)

    def _await_port(self, name: str) -> None:
        until = time.monotonic() + READY_WITHIN_S
        while True:
            process = self._running[name].process
            if process and process.poll() is not None:
                raise ChaosError(f"{name} ended: {self.log(name)[-600:]}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.ports[name]), 1.0):
                return
            if time.monotonic() > until:
                raise ChaosError(f"{name} does not listen: {self.log(name)[-600:]}")
            time.sleep(0.2)

    def log(self, name: str) -> str:
        """What a program printed."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def state(self) -> dict[str, Any]:
        """Of each program, whether it runs, and how often it was started."""
        return {
            name: {"runs": bool(program.process and program.process.poll() is None), "starts": program.starts}
            for name, program in self._running.items()
        }


def _end(process: subprocess.Popen[bytes], within_s: float = END_WITHIN_S) -> None:
    """Ask a process to end, and kill it where it does not."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        process.wait(max(within_s, 0.1))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end_with_parent() -> None:
    end_with_parent(signal.SIGKILL)
