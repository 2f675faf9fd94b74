"""Call edges are whole, however many `ingest` processes there are and however late a call comes."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from otlp_requests import segment, traces

from bench.own_roles import OwnRoles
from watchkeeper.store.edges import CALLEE_S, LATE_EVERY_S, LATE_S, LEARN_AT_FIRST, LEARN_EVERY_S, EdgeRefresh
from watchkeeper.store.otlp import Destination, inserts
from watchkeeper.store.schema import statements
from watchkeeper.store.statements import Statements
from watchkeeper.store.telemetry import connect

pytestmark = pytest.mark.xdist_group("store")
START = datetime.now(UTC).replace(microsecond=0, second=0) - timedelta(minutes=30)
Call = tuple[bytes, bytes]


class Shop:
    """A database of its own, in which a web service calls a cart."""

    def __init__(self, roles: OwnRoles, loader: Statements) -> None:
        self.database = "edges_" + secrets.token_hex(3)
        self._loader = loader
        for statement in statements(self.database, 7):
            loader.run(statement)
        config = roles.config
        self._client = connect(config.store_url, self.database, "loader", config.secret("store-loader"))

    def ingest(self) -> EdgeRefresh:
        """What one ingest process runs."""
        return EdgeRefresh(self._loader, self.database)

    def callers(self, calls: list[Call], at: datetime = START, **more: Any) -> None:
        """The callers' sides arrive."""
        spans = [{"at": at, "ms": 30, "kind": "client", "trace": trace, "id": span, **more} for trace, span in calls]
        self._load(traces("web", *spans))

    def callees(self, calls: list[Call], at: datetime = START) -> None:
        """The callees' sides arrive."""
        self._load(traces("cart", *({"at": at, "ms": 20, "trace": trace, "parent": span} for trace, span in calls)))

    def _load(self, request: Any) -> None:
        into = Destination(database=self.database, memory_mib=500)
        for statement in inserts(into, "traces", secrets.token_hex(8)):
            self._loader.run(f"{statement} FORMAT Protobuf", segment(request))

    def edges(self) -> dict[tuple[str, str], tuple[int, int, float, float]]:
        """Calls, errors and both mean times by callee and source; what was taken back is not there."""
        rows = self._client.query(
            "SELECT callee, source, sum(calls) AS n, sum(errors), sum(client_ns_sum) / n / 1e6, "
            f"sum(server_ns_sum) / sum(server_calls) / 1e6 FROM {self.database}.edges "
            "GROUP BY callee, source HAVING n > 0"
        ).result_rows
        return {(row[0], row[1]): row[2:] for row in rows}

    def drop(self) -> None:
        self._loader.run(f"DROP DATABASE {self.database}")


@pytest.fixture
def shop(roles: OwnRoles, loader: Statements) -> Iterator[Shop]:
    """An empty shop."""
    made = Shop(roles, loader)
    yield made
    made.drop()


def calls(count: int) -> list[Call]:
    """Trace and span ids."""
    return [(secrets.token_bytes(16), secrets.token_bytes(8)) for _ in range(count)]


def after(seconds: float) -> float:
    """Unix seconds, counted from the start of the calls."""
    return START.timestamp() + seconds


def test_two_ingests_count_every_call_once(shop: Shop) -> None:
    """Each half of 1,000 calls comes in by another ingest, whichever closes the window first."""
    first, second = calls(500), calls(500)
    one, other = shop.ingest(), shop.ingest()
    shop.callers(first)
    shop.callees(first)
    one.run(after(20))
    shop.callers(second)
    shop.callees(second)
    other.run(after(21))
    assert shop.edges() == {("cart", "span"): (1000, 0, 30.0, 20.0)}
    for ingest in (one, other, shop.ingest()):
        ingest.run(after(60))
    assert shop.edges() == {("cart", "span"): (1000, 0, 30.0, 20.0)}


def test_the_sides_of_a_call_may_come_in_by_different_ingests(shop: Shop) -> None:
    """A window without the callee's side becomes one with it; what was there before is taken back."""
    made = calls(10)
    one, other = shop.ingest(), shop.ingest()
    shop.callers(made, attributes={"peer.service": "cart-address"}, error=True)
    one.run(after(20))
    assert list(shop.edges()) == [("cart-address", "attribute")]
    shop.callees(made)
    other.run(after(20))
    assert shop.edges() == {("cart", "span"): (10, 10, 30.0, 20.0)}


@pytest.mark.parametrize("later_s", [LATE_EVERY_S + 5, 120, LATE_S - 60])
def test_a_call_that_comes_late_is_counted(shop: Shop, later_s: int) -> None:
    """By the process that closed its window before."""
    made = calls(7)
    ingest = shop.ingest()
    shop.callers(made[:4])
    shop.callees(made[:4])
    ingest.run(after(20))
    shop.callers(made[4:])
    shop.callees(made[4:])
    ingest.run(after(20 + later_s))
    assert shop.edges() == {("cart", "span"): (7, 0, 30.0, 20.0)}


def test_a_callees_side_that_ended_earlier_may_come_late(shop: Shop) -> None:
    """It lies in a window before the caller's, which is worked out again, too."""
    made = calls(3)
    ingest = shop.ingest()
    shop.callers(made, at=START + timedelta(seconds=CALLEE_S), attributes={"peer.service": "address"})
    ingest.run(after(40))
    shop.callees(made, at=START)
    ingest.run(after(60))
    assert shop.edges() == {("cart", "span"): (3, 0, 30.0, 20.0)}


def test_running_again_changes_nothing(shop: Shop) -> None:
    """After a restart, by many processes, and in any order: no row more."""
    made = calls(20)
    shop.callers(made)
    shop.callees(made)
    for ends in (20, 20, 25, 90, 20, 400):
        shop.ingest().run(after(ends))
    assert shop.edges() == {("cart", "span"): (20, 0, 30.0, 20.0)}


def test_an_ingest_that_is_behind_closes_its_own_windows(shop: Shop) -> None:
    """One that catches up after the other went on: its calls of an hour ago have edges."""
    ahead, behind = shop.ingest(), shop.ingest()
    now = calls(2)
    shop.callers(now, at=START + timedelta(seconds=300))
    shop.callees(now, at=START + timedelta(seconds=300))
    ahead.run(after(320))
    old = calls(5)
    behind.run(after(-3600))
    shop.callers(old, at=START - timedelta(seconds=200))
    shop.callees(old, at=START - timedelta(seconds=200))
    behind.run(after(10))
    assert shop.edges() == {("cart", "span"): (7, 0, 30.0, 20.0)}


def test_addresses_are_learned_from_some_windows_once_most_are_known() -> None:
    """Every window at first, then one in thirty seconds; the calls of every window are joined."""
    sent: list[str] = []

    class Store:
        def run(self, sql: str) -> bytes:
            sent.append(sql)
            if "groupBitXor" in sql or "max(bucket)" in sql:
                return b"0\n"
            first = int(START.timestamp()) // 5 * 5
            return "".join(f"{first + 5 * number}\t1\n" for number in range(60)).encode()

    EdgeRefresh(Store(), "otel").run(START.timestamp() + 303)  # type: ignore[arg-type]
    learned, joined = (sum(f"INSERT INTO otel.{table} " in sql for sql in sent) for table in ("peers", "edges"))
    assert joined == 60
    assert learned == LEARN_AT_FIRST + (60 - LEARN_AT_FIRST) // (LEARN_EVERY_S // 5)
