"""The embedded engine behind ClickHouse's HTTP interface: who may do what, and what a mistake looks like."""

from __future__ import annotations

import gzip
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest

from bench.own_roles import OwnRoles
from tests.waiting import STALLED_S, until
from watchkeeper.errors import StoreError, WatchkeeperError
from watchkeeper.store.statements import RejectedError, Statements
from watchkeeper.store.telemetry import Telemetry

pytestmark = pytest.mark.xdist_group("store")


def ask(
    roles: OwnRoles,
    sql: str,
    *,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    password: str | None = None,
) -> tuple[int, bytes, str]:
    """One statement as the reader: status, body, exception code."""
    credentials = {"X-ClickHouse-User": "watchkeeper", "X-ClickHouse-Key": password or roles.config.store_password()}
    url = f"{roles.config.store_url}/?{urllib.parse.urlencode({'query': sql})}" if sql else roles.config.store_url
    request = urllib.request.Request(url, data=body, headers=credentials | dict(headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read(), ""
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers.get("X-ClickHouse-Exception-Code", "")


def test_it_works(roles: OwnRoles) -> None:
    """An ordinary client's query with a parameter gives an Arrow table."""
    table = roles.telemetry.query("SELECT {n:UInt32} + 1 AS more, {text:String} AS text", {"n": 41, "text": "it's"})
    assert table.to_pylist() == [{"more": 42, "text": "it's"}]


def test_a_wrong_password_runs_nothing(roles: OwnRoles) -> None:
    """Without the password the answer is 401 and ClickHouse's code for it."""
    assert ask(roles, "SELECT 1", password="guess")[::2] == (401, "516")


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO red (service) VALUES ('x')",
        "DROP TABLE red",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "SET readonly = 0",
        "SELECT 1 SETTINGS readonly = 0",
    ],
)
def test_a_reader_only_reads_tables(roles: OwnRoles, sql: str) -> None:
    """Writing, files, the network and lifting the restriction are refused with code 164."""
    status, text, code = ask(roles, sql)
    assert (status, code) == (403, "164"), text


def test_a_mistake_carries_the_servers_code_and_words(roles: OwnRoles) -> None:
    """A syntax error is 400 with code 62; the client's error says what the server said."""
    status, _, code = ask(roles, "SELEC 1")
    assert (status, code) == (400, "62")
    with pytest.raises(StoreError, match="no_such_column"):
        roles.telemetry.query("SELECT no_such_column FROM red")


def test_a_query_may_come_in_a_zipped_body(roles: OwnRoles) -> None:
    """A statement in the body, gzipped, is run."""
    status, text, _ = ask(roles, "", body=gzip.compress(b"SELECT 1 + 1"), headers={"Content-Encoding": "gzip"})
    assert (status, text) == (200, b"2\n")


def test_parameters_that_are_too_long_for_an_address_come_as_a_form(roles: OwnRoles) -> None:
    """The client sends them so by itself: each value arrives byte for byte, lines and a boundary's dashes included."""
    values = {f"v{number}": "e" + "\u0301" * 2000 + f"\r\n--boundary--\n\t\\{number}\n" for number in range(6)}
    columns = ", ".join(f"{{{name}:String}} AS {name}" for name in values)
    (row,) = roles.telemetry.query(f"SELECT {columns}", values).to_pylist()
    assert row == values


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data; name=query\r\n\r\nSELECT 1"),
        ("multipart/form-data", b"SELECT 1"),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data\r\n\r\nSELECT 1\r\n--b--\r\n"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="query"\r\n\r\n\xff\r\n--b--',
        ),
        ("multipart/form-data; boundary=b", b""),
    ],
    ids=["cut", "no boundary", "no name", "not UTF-8", "nothing"],
)
def test_a_form_that_makes_no_sense_is_refused(roles: OwnRoles, kind: str, body: bytes) -> None:
    """400 and the reason; the store serves on."""
    status, text, _ = ask(roles, "", body=body, headers={"Content-Type": kind})
    assert status == 400
    assert b"the request cannot be read" in text
    assert ask(roles, "SELECT 1")[0] == 200


def test_a_body_that_is_cut_short_is_refused(roles: OwnRoles) -> None:
    """Half a gzip stream is 400, not a traceback and not half a statement."""
    half = gzip.compress(b"SELECT 1 + 1" * 100)[:30]
    assert ask(roles, "", body=half, headers={"Content-Encoding": "gzip"})[0] == 400


def test_a_long_query_holds_nobody_up_and_can_be_killed(roles: OwnRoles) -> None:
    """While one query sleeps, others are answered; KILL QUERY ends it with code 394."""
    outcome: list[tuple[int, bytes, str]] = []
    slow = "SELECT count() FROM system.numbers WHERE NOT ignore(sipHash64(number)) /* tagged-slow */"
    thread = threading.Thread(target=lambda: outcome.append(ask(roles, slow)))
    thread.start()
    running = "SELECT count() FROM system.processes WHERE query LIKE '%tagged-slow%' AND query NOT LIKE '%processes%'"
    until(lambda: ask(roles, running)[1] == b"1\n")
    ask(roles, "KILL QUERY WHERE query LIKE '%tagged-slow%' AND query NOT LIKE '%KILL%' ASYNC")
    thread.join(STALLED_S)
    assert not thread.is_alive()
    assert [each[::2] for each in outcome] == [(500, "394")]


def test_a_query_that_wants_too_much_memory_is_stopped(roles: OwnRoles) -> None:
    """Over a reader's share of store.memory_mib the code is 241, and the store lives on."""
    status, _, code = ask(roles, "SELECT groupArray(number) FROM numbers(200000000)")
    assert (status, code) == (500, "241")
    assert ask(roles, "SELECT 1")[0] == 200


def test_a_store_that_is_away_is_worth_a_retry(roles: OwnRoles) -> None:
    """An unreachable store raises an error that says so, for readers and for the loader."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(StoreError, match="cannot be reached") as raised:
        Telemetry(url=url, database="otel", user="watchkeeper", password="x").query("SELECT 1")
    assert raised.value.retry
    with pytest.raises(StoreError, match="cannot be reached"):
        Statements(url=url, user="loader", password="x").run("SELECT 1", b"")


def test_the_loader_learns_why_it_was_refused(loader: Statements) -> None:
    """A refused statement raises with ClickHouse's number."""
    with pytest.raises(RejectedError) as raised:
        loader.run("INSERT INTO otel.no_such_table FORMAT TSV", b"1\n")
    assert raised.value.code == 60


def test_a_taken_port_names_its_owner(roles: OwnRoles, tmp_path: Path) -> None:
    """A second store on the same port ends at once and says who holds it."""
    second = OwnRoles(tmp_path, {"store": {"port": roles.config.store.port}})
    pid = roles.processes["store"].pid
    with second, pytest.raises(WatchkeeperError, match=rf"held by .*\(pid {pid}\)"):
        second.start("store")
