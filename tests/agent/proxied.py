"""A service that answers, and a proxy in front of it, for tests."""

from __future__ import annotations

import contextlib
import os
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from agent.proxy.control import ask
from agent.proxy.listener import Route
from agent.proxy.running import ensure
from tests.waiting import until
from watchkeeper.ports import free_port


class Answers(BaseHTTPRequestHandler):
    """Answers every request with what it was sent, and keeps the connection."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self) -> None:
        self._answer(self.path.encode())

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(body)

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


class Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Connections break here on purpose."""


@contextmanager
def http_service() -> Iterator[int]:
    """An HTTP service; its port."""
    server = Quiet(("127.0.0.1", 0), Answers)
    with served(server) as port:
        yield port


@contextmanager
def tls_service(folder: Path) -> Iterator[tuple[int, Path]]:
    """The same behind TLS: its port, and the certificate that callers trust."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = Quiet(("127.0.0.1", 0), Answers)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with served(server) as port:
        yield port, certificate


@contextmanager
def echo_service() -> Iterator[int]:
    """Sends back every byte."""

    class Echo(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while data := self.request.recv(65536):
                self.request.sendall(data)

    with served(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo)) as port:
        yield port


@contextmanager
def served(server: socketserver.BaseServer) -> Iterator[int]:
    """A server in a thread; its port."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def proxy_to(*ports: int) -> Iterator[list[int]]:
    """A proxy of these ports in a process of its own; where it listens."""
    routes = [Route(listen=free_port(), to=port) for port in ports]
    assert ensure(routes) == {}
    try:
        yield [route.listen for route in routes]
    finally:
        pids = set()
        for route in routes:
            with contextlib.suppress(Exception):
                state = ask(route.listen, {"do": "close"})
                pids |= {state["pid"]} if state else set()
        for pid in pids:
            until(lambda pid=pid: _gone(pid), what=f"the end of proxy {pid}")


def _gone(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
