"""The store's port: foreign names and pages, bodies of any size, framing that makes no sense, slow and many clients."""

from __future__ import annotations

import contextlib
import gzip
import socket
import time
from base64 import b64encode
from pathlib import Path

import pytest

from bench.own_roles import OwnRoles
from watchkeeper.store.chdb_server import LARGEST_ROWS, LARGEST_STATEMENT, MOST_CONNECTIONS

pytestmark = pytest.mark.xdist_group("store")
DEADLINE_S = 60.0


def credentials(roles: OwnRoles, user: str = "watchkeeper") -> str:
    """The Authorization header of a user."""
    password = roles.config.store_password() if user == "watchkeeper" else roles.config.secret("store-loader")
    return f"Authorization: Basic {b64encode(f'{user}:{password}'.encode()).decode()}\r\n"


def connect(roles: OwnRoles) -> socket.socket:
    """A connection to the store."""
    return socket.create_connection(("127.0.0.1", roles.config.store.port), timeout=DEADLINE_S)


def answer_of(connection: socket.socket) -> bytes:
    """Everything that is answered until the connection is closed."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def raw(roles: OwnRoles, head: str, body: bytes = b"") -> tuple[int, bytes]:
    """One request as it stands, on a connection of its own: status and answer."""
    with connect(roles) as connection:
        with contextlib.suppress(OSError):  # the answer may come before the body is whole
            connection.sendall(head.encode("latin-1") + b"\r\n" + body)
        answer = answer_of(connection)
    return int(answer.split(b" ", 2)[1]), answer


def memory_kib(roles: OwnRoles) -> int:
    """The store's highest resident memory so far."""
    status = Path(f"/proc/{roles.processes['store'].pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


def is_well(roles: OwnRoles) -> bool:
    """Whether the store still answers, and printed no traceback."""
    return bool(roles.telemetry.query("SELECT 1 AS n")["n"][0].as_py() == 1) and "Traceback" not in roles.log("store")


@pytest.mark.parametrize("path", ["/?query=SELECT+1", "/metrics", "/ping", "/readyz"])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8123", "127.0.0.1.evil.example", "127.0.0.1@evil.example", "store", ""]
)
def test_a_foreign_host_is_refused_before_anything_else(roles: OwnRoles, path: str, host: str) -> None:
    """DNS rebinding: 421, though the password is right."""
    head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{credentials(roles)}"
    assert raw(roles, head)[0] == 421


@pytest.mark.parametrize("header", ["Origin: http://evil.example", "Origin: null", "Sec-Fetch-Site: same-origin"])
@pytest.mark.parametrize("path", ["/?query=SELECT+1", "/metrics"])
def test_a_page_in_a_browser_is_refused(roles: OwnRoles, path: str, header: str) -> None:
    """The store serves programs only: 403 for any page, of whatever site."""
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\nConnection: close\r\n{credentials(roles)}"
    assert raw(roles, head)[0] == 403


@pytest.mark.parametrize("host", ["127.0.0.1:9", "localhost", "LOCALHOST.:80", "[::1]:8123"])
def test_the_names_of_loopback_are_answered(roles: OwnRoles, host: str) -> None:
    """Whatever port they name: a tunnel may have another."""
    head = f"GET /?query=SELECT+1 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{credentials(roles)}"
    assert raw(roles, head)[0] == 200


@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: -5",
        "Content-Length: five",
        "Content-Length: 1e3",
        "Content-Length: 99999999999999999999999",
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Content-Length: +3",
        "Content-Encoding: br\r\nContent-Length: 3",
        "Content-Encoding: gzip\r\nContent-Length: 3",
    ],
)
@pytest.mark.parametrize("user", ["watchkeeper", "loader"])
def test_framing_without_sense_is_an_answer(roles: OwnRoles, user: str, framing: str) -> None:
    """Negative, no number, twice, two ways at once: a 4xx at once, and no traceback."""
    head = f"POST / HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n{credentials(roles, user)}"
    assert 400 <= raw(roles, head, b"abc")[0] < 500
    assert is_well(roles)


CHUNKS = [b"zz\r\nabc\r\n0\r\n\r\n", b"-3\r\nabc\r\n", b"0x3\r\nabc\r\n0\r\n\r\n", b"3\r\nabcdef\r\n0\r\n\r\n", b"\r\n"]


@pytest.mark.parametrize("chunks", CHUNKS)
def test_chunks_without_sense_are_an_answer(roles: OwnRoles, chunks: bytes) -> None:
    """A size that is no number, or a lie, is 400."""
    head = f"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n{credentials(roles)}"
    assert raw(roles, head, chunks)[0] == 400
    assert is_well(roles)


def test_another_transfer_encoding_is_an_answer(roles: OwnRoles) -> None:
    """Only chunked is known."""
    head = f"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n{credentials(roles)}"
    assert raw(roles, head)[0] == 501


def test_a_statement_may_come_in_chunks(roles: OwnRoles) -> None:
    """As an ordinary client may send it, with an extension and a trailer."""
    head = (
        f"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n{credentials(roles)}"
    )
    status, answer = raw(roles, head, b"6;x=y\r\nSELECT\r\n4\r\n 1+1\r\n0\r\nX: y\r\n\r\n")
    assert (status, answer[-2:]) == (200, b"2\n")


@pytest.mark.parametrize("user", ["", "watchkeeper", "loader"])
@pytest.mark.parametrize("framing", ["length", "chunked", "zipped"])
@pytest.mark.parametrize("query", ["", "?query=INSERT+INTO+red+FORMAT+TSV"])
def test_a_body_of_any_size_costs_no_memory(roles: OwnRoles, user: str, framing: str, query: str) -> None:
    """400 MB announced, in chunks, or out of a small zipped body: refused, with a few MB more than before at most."""
    is_well(roles)
    before = memory_kib(roles)
    head = f"POST /{query} HTTP/1.1\r\nHost: localhost\r\n{credentials(roles, user) if user else ''}"
    size = 400 << 20
    body: bytes
    match framing:
        case "length":
            head, body = f"{head}Content-Length: {size}\r\n", b"x" * (8 << 20)
        case "chunked":
            head, body = f"{head}Transfer-Encoding: chunked\r\n", b"1000000\r\n" + b"x" * (8 << 20)
        case _:
            body = gzip.compress(b"\n" * (LARGEST_STATEMENT * 4), 9)
            head = f"{head}Content-Encoding: gzip\r\nContent-Length: {len(body)}\r\n"
    if user == "loader" and query and framing != "length":
        pytest.skip("rows of the loader may be this large; see the next test")
    assert raw(roles, head, body)[0] in (400, 401, 413)
    assert memory_kib(roles) - before < (48 << 10)
    assert is_well(roles)


def test_rows_that_unzip_to_too_much_are_refused(roles: OwnRoles) -> None:
    """A zipped segment of more than the limit is 413, and its rows never are in memory."""
    is_well(roles)
    before = memory_kib(roles)
    body = gzip.compress(b"\0" * (LARGEST_ROWS + (1 << 20)), 1)
    sql = "INSERT+INTO+red+(service)+SELECT+s+FROM+input('s+String')+FORMAT+RowBinary"
    head = (
        f"POST /?query={sql} HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\n"
        f"Content-Length: {len(body)}\r\n{credentials(roles, 'loader')}"
    )
    assert raw(roles, head, body)[0] == 413
    assert memory_kib(roles) - before < (96 << 10)
    assert is_well(roles)


@pytest.mark.parametrize("target", ["//[", "/?query=%ff%fe", "/?" + "a=1&" * 2000, "http://[", "/?param_=x", "/\x01"])
def test_a_target_without_sense_is_an_answer(roles: OwnRoles, target: str) -> None:
    """Whatever stands in the first line, somebody answers, and nobody prints a traceback."""
    head = f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{credentials(roles)}"
    assert 200 <= raw(roles, head)[0] < 600
    assert is_well(roles)


@pytest.mark.parametrize("authorization", ["Basic", "Basic \xff", "Basic " + "A" * 40_000, "Bearer x", "Basic QQ"])
def test_credentials_without_sense_are_refused(roles: OwnRoles, authorization: str) -> None:
    """401 for whatever is no user and password."""
    head = f"GET /?query=SELECT+1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: {authorization}\r\n"
    assert raw(roles, head)[0] == 401
    assert is_well(roles)


def test_silent_connections_keep_nobody_out(roles: OwnRoles) -> None:
    """More connections than the store holds, all of which say half a line: others are answered."""
    idle = []
    try:
        for _ in range(MOST_CONNECTIONS + 20):
            connection = connect(roles)
            connection.sendall(b"GET /?query=")
            idle.append(connection)
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                assert roles.telemetry.query("SELECT 1 AS n")["n"][0].as_py() == 1
                break
            except OSError:
                assert time.monotonic() < deadline
        assert idle[0].recv(1) == b""
    finally:
        for connection in idle:
            connection.close()
    assert is_well(roles)
