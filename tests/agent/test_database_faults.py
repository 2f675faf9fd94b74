"""Faults of a Redis and of a PostgreSQL that really run."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import psycopg
import pytest

from agent.faults.postgresql_lock import PostgresqlLock
from agent.faults.postgresql_slow import PostgresqlSlow
from agent.faults.redis_full import RedisFull
from agent.faults.redis_wire import Redis, Refused
from agent.holders import marked
from agent.holders.put_back import stand_by
from tests.agent.databases import postgresql, redis
from tests.agent.trials import effect_of, instance_of, plan, trial
from tests.waiting import until
from watchkeeper.errors import AgentError
from watchkeeper.ports import free_port


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with redis() as url:
        yield url


@pytest.fixture(scope="module")
def postgresql_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with postgresql(tmp_path_factory.mktemp("postgresql")) as url:
        yield url


def _asked(url: str, statement: str, options: str = "") -> str:
    """The error's class, or `ok`."""
    try:
        with psycopg.connect(url, options=options) as connection:
            connection.execute(statement)
    except psycopg.errors.QueryCanceled:
        return "waited too long"
    except psycopg.OperationalError:
        return ""
    return "ok"


def test_a_full_redis_rejects_writes_and_loses_nothing(redis_url: str) -> None:
    """With a policy that would throw everything away, had the fault not seen to it; both settings come back."""
    fault = RedisFull()
    with Redis(redis_url) as store:
        for number in range(500):
            store.ask("SET", f"loan-{number}", "x" * 100)
        with trial(fault, instance_of("readers", settings={"redis_url": redis_url})) as record:
            with pytest.raises(Refused, match="OOM"):
                store.ask("SET", "another", "loan")
            assert "OOM" in effect_of(fault, record)
            assert store.ask("GET", "loan-7") == "x" * 100
        assert store.ask("DBSIZE") == 500
        assert (store.setting("maxmemory"), store.setting("maxmemory-policy")) == ("50000000", "allkeys-lru")
        assert store.ask("SET", "another", "loan") == "OK"
        store.ask("FLUSHALL")


def test_a_full_redis_is_not_filled_again(redis_url: str) -> None:
    """What it was before would be forgotten."""
    instance = instance_of("readers", settings={"redis_url": redis_url})
    with trial(RedisFull(), instance):
        assert "full already" in RedisFull().lacks(instance)
        with pytest.raises(AgentError, match="full already"):
            RedisFull().plan(instance, 60.0, {})


def test_what_somebody_else_set_meanwhile_stays(redis_url: str) -> None:
    with Redis(redis_url) as store:
        with trial(RedisFull(), instance_of("readers", settings={"redis_url": redis_url})):
            store.set("maxmemory", "60000000")
        assert store.setting("maxmemory") == "60000000"
        store.set("maxmemory", "50000000")


def test_redis_recovers_although_everybody_who_knew_was_killed(redis_url: str) -> None:
    """The process that stands by puts the settings back by itself, and ends."""
    fault = RedisFull()
    record = plan(fault, instance_of("readers", settings={"redis_url": redis_url}))
    facts = {name: record[name] for name in ("mark", "url", "limit", "policy")}
    stand_by(record["mark"], "agent.faults.redis_full:RedisFull", -4.5, facts)
    with Redis(redis_url) as store:
        store.set("maxmemory-policy", "noeviction")
        store.set("maxmemory", "1")
        until(lambda: fault.remains(record) == (), what="the settings as they were")
        assert (store.setting("maxmemory"), store.setting("maxmemory-policy")) == ("50000000", "allkeys-lru")


def test_a_redis_that_is_gone_has_nothing_left_to_put_back() -> None:
    fault = RedisFull()
    instance = instance_of("readers", settings={"redis_url": f"redis://127.0.0.1:{free_port()}"})
    assert "nothing listens" in fault.lacks(instance)


def test_a_wrong_password_is_a_sentence_without_it(redis_url: str) -> None:
    wrong = redis_url.replace("it%27s", "hunter2")
    said = RedisFull().lacks(instance_of("readers", settings={"redis_url": wrong}))
    assert "refuses AUTH" in said
    assert "hunter2" not in said


def test_a_locked_table_lets_everybody_wait(postgresql_url: str) -> None:
    """Readers too; another table is free; after the end all go on."""
    instance = instance_of("desk", settings={"postgresql_url": postgresql_url, "postgresql_tables": "loans"})
    impatient = "-c statement_timeout=300"
    fault = PostgresqlLock()
    with trial(fault, instance) as record:
        assert _asked(postgresql_url, "SELECT * FROM loans", impatient) == "waited too long"
        assert _asked(postgresql_url, 'SELECT * FROM "old stock"."Titles"', impatient) == "ok"
        assert "waits" in effect_of(fault, record)
    assert _asked(postgresql_url, "SELECT * FROM loans") == "ok"


def test_the_server_ends_a_session_that_was_left_alone(postgresql_url: str) -> None:
    """The process that holds it is stopped for good, as if its host were cut off."""
    instance = instance_of("desk", settings={"postgresql_url": postgresql_url, "postgresql_tables": "loans"})
    fault = PostgresqlLock()
    record = plan(fault, instance, seconds=1.0)
    fault.begin(record)
    for pid in marked.marked(record["mark"]):
        os.kill(pid, 19)
    until(lambda: _asked(postgresql_url, "SELECT * FROM loans", "-c statement_timeout=300") == "ok", what="the table")
    fault.end(record)
    assert fault.remains(record) == ()


def test_slow_statements_are_slow_and_succeed(postgresql_url: str) -> None:
    table = "old stock.Titles"
    settings = {"postgresql_url": postgresql_url, "postgresql_tables": f"loans, {table}"}
    fault = PostgresqlSlow()
    with trial(fault, instance_of("desk", settings=settings), table=table, hold_ms=300.0, pause_ms=20.0) as record:
        times = []
        for _ in range(6):
            began = time.monotonic()
            assert _asked(postgresql_url, 'SELECT * FROM "old stock"."Titles"') == "ok"
            times.append(time.monotonic() - began)
        assert max(times) > 0.1
        assert "waits up to 300 ms" in effect_of(fault, record)


def test_a_table_that_the_file_does_not_list_is_refused(postgresql_url: str) -> None:
    instance = instance_of("desk", settings={"postgresql_url": postgresql_url, "postgresql_tables": "loans"})
    with pytest.raises(AgentError, match="table must be one of loans, not 'pg_class'"):
        PostgresqlLock().plan(instance, 60.0, {"table": "pg_class"})


def test_a_table_that_does_not_exist_is_a_sentence(postgresql_url: str) -> None:
    instance = instance_of("desk", settings={"postgresql_url": postgresql_url, "postgresql_tables": "fines"})
    record = plan(PostgresqlLock(), instance)
    with pytest.raises(AgentError, match=r"fines cannot be locked: .*does not exist"):
        PostgresqlLock().begin(record)
    PostgresqlLock().end(record)
    assert PostgresqlLock().remains(record) == ()
