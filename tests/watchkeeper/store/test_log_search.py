"""Searches of log lines through a real store: each term of the language finds what it says, and nothing else."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.own_roles import OwnRoles
from watchkeeper.errors import QueryError
from watchkeeper.store.log_query import MESSAGE, Not, Term, parse, quoted
from watchkeeper.store.log_search import histogram, is_counted, kinds, lines_around, newest_lines, searched
from watchkeeper.store.statements import Statements
from watchkeeper.vocabulary import Window

pytestmark = pytest.mark.xdist_group("store")
START = datetime.now(UTC).replace(microsecond=0, second=0) - timedelta(minutes=10)
WINDOW = Window(start=START, end=START + timedelta(minutes=5))
HOSTILE = (
    "' OR 1=1 --",
    "\\",
    "\\'; DROP TABLE otel_logs",
    "{value_0:String}",
    "%",
    "_",
    "a\tb",
    "a\nb",
    "*",
    '"quoted"',
    "-x",
    "OR",
    "пла́теж",
    "🔥",
    "a\u202eb",
)
Find = Callable[..., list[str]]


def put(loader: Statements, *rows: dict[str, Any]) -> None:
    """Insert lines; `at` is in seconds after the start."""
    full = [
        {
            "Timestamp": f"{START.timestamp() + row.get('at', 0):.9f}",
            "ServiceName": row["service"],
            "SeverityNumber": row.get("number", 9),
            "SeverityText": row.get("text", ""),
            "Body": row.get("body", "hello"),
            "TraceId": row.get("trace", ""),
            "LogAttributes": row.get("attributes", {}),
            "ResourceAttributes": row.get("resource", {}),
        }
        for row in rows
    ]
    body = "\n".join(json.dumps(row) for row in full).encode()
    loader.run(f"INSERT INTO otel.otel_logs ({', '.join(full[0])}) FORMAT JSONEachRow", body)


def status(code: int) -> dict[str, str]:
    """A line's attributes."""
    return {"http.status_code": str(code)}


@pytest.fixture(scope="module")
def find(roles: OwnRoles, loader: Statements) -> Find:
    """Searches eight lines of a shop; gives the bodies of what is found, newest first."""
    put(
        loader,
        {"at": 0, "service": "q-web", "body": "cache is warm", "number": 9},
        {"at": 1, "service": "q-web", "body": "GET /cart timed out after 30 s", "number": 13, "trace": "ab" * 16},
        {
            "at": 2,
            "service": "q-pay",
            "body": "charge declined",
            "number": 17,
            "attributes": status(402),
        },
        {
            "at": 3,
            "service": "q-pay",
            "body": "Timed Out: bank",
            "number": 21,
            "attributes": status(504),
        },
        {"at": 4, "service": "q-pay", "body": "100% of a_b", "number": 5, "resource": {"host.name": "h-1"}},
        {"at": 5, "service": "q-pay", "body": "100 of aXb", "number": 0, "text": "warning"},
        {"at": 6, "service": "q-pay", "body": "no level", "number": 0},
        {"at": 7, "service": "q-web", "body": 'said "hi" to C:\\temp', "attributes": {"level": "x", "user id": "7"}},
    )

    def find(text: str) -> list[str]:
        query = parse(f"service:q-* ({text})" if text else "service:q-*")
        return [row["body"] for row in newest_lines(roles.telemetry, query, WINDOW, 100)]

    return find


@pytest.mark.parametrize(
    ("text", "bodies"),
    [
        ("service:q-web cache", ["cache is warm"]),
        ('"timed out"', ["Timed Out: bank", "GET /cart timed out after 30 s"]),
        ("timed -bank", ["GET /cart timed out after 30 s"]),
        ("timed NOT (bank OR cart)", []),
        ("cache OR declined", ["charge declined", "cache is warm"]),
        ("severity>=error", ["Timed Out: bank", "charge declined"]),
        ("severity:warn", ["100 of aXb", "GET /cart timed out after 30 s"]),
        ("severity<info", ["100% of a_b"]),
        ("level:unset", ["no level"]),
        ("-severity:* service:q-pay", []),
        ("http.status_code:402", ["charge declined"]),
        ("http.status_code>=500", ["Timed Out: bank"]),
        ("-http.status_code:* service:q-pay", ["no level", "100 of aXb", "100% of a_b"]),
        ("http.status_code:*02", ["charge declined"]),
        ("host.name:h-1", ["100% of a_b"]),
        ("instance:h-1", ["100% of a_b"]),
        ("trace:" + "ab" * 16, ["GET /cart timed out after 30 s"]),
        ('"100%"', ["100% of a_b"]),
        ('"100*a_b"', ["100% of a_b"]),
        ("get*30", ["GET /cart timed out after 30 s"]),
        ('"said \\"hi\\""', ['said "hi" to C:\\temp']),
        ('"C:\\\\temp"', ['said "hi" to C:\\temp']),
    ],
)
def test_a_term_finds_what_it_describes(find: Find, text: str, bodies: list[str]) -> None:
    """Text in any case, fields exactly, wildcards, numbers, severities by rank, negation and alternatives."""
    assert bodies == find(text)


def test_an_empty_search_finds_everything(find: Find) -> None:
    """And the newest comes first."""
    assert len(find("")) == 8
    assert find("")[0].startswith("said")


@pytest.mark.parametrize("name", HOSTILE)
def test_what_somebody_writes_is_only_ever_a_value(roles: OwnRoles, loader: Statements, name: str) -> None:
    """A name with quotes, backslashes, wildcards or control characters finds its own line and no other."""
    service = f"h-{name}-{time.time_ns()}"
    put(
        loader,
        {"service": service, "body": f"<{name}>", "attributes": {"k": name}},
        {"service": service, "body": "other", "attributes": {"k": "other"}},
    )
    for term in (quoted(f"<{name}>"), f"k:{quoted(name)}", f"message:{quoted(name)}"):
        query = parse(f"service:{quoted(service)} {term}")
        assert [row["body"] for row in newest_lines(roles.telemetry, query, WINDOW, 9)] == [f"<{name}>"], term


@pytest.mark.parametrize("text", ["service:q-pay", "service:q-* -severity>=error", "service:q-pay OR service:q-web"])
def test_the_roll_up_and_the_lines_count_the_same(roles: OwnRoles, find: Find, text: str) -> None:
    """What names services and severities only is answered by the roll-up, as the lines themselves would."""
    del find
    counted = parse(text)
    assert is_counted(counted)
    read = parse(f"({text}) -message:zzzz")
    assert not is_counted(read)
    rows = histogram(roles.telemetry, counted, WINDOW, 5).to_pylist()
    assert rows == histogram(roles.telemetry, read, WINDOW, 5).to_pylist()
    assert sum(row["lines"] for row in rows) == len(newest_lines(roles.telemetry, counted, WINDOW, 100)) > 0


def test_a_search_reads_no_more_than_its_share_of_lines(roles: OwnRoles, loader: Statements) -> None:
    """Of a service with many lines only the newest are looked at; what the roll-up answers is never cut."""
    service = f"many-{time.time_ns()}"
    put(loader, *({"at": number, "service": service} for number in range(200)))
    part = searched(roles.telemetry, parse(f"service:{service} hello"), WINDOW, most=50)
    assert part.end == WINDOW.end
    assert START + timedelta(seconds=140) <= part.start <= START + timedelta(seconds=160)
    assert searched(roles.telemetry, parse(f"service:{service}"), WINDOW, most=50) == WINDOW
    assert searched(roles.telemetry, parse(f"service:{service} hello"), WINDOW, most=500) == WINDOW


def test_context_is_the_same_instance_before_and_after(roles: OwnRoles, loader: Statements) -> None:
    """Another instance's lines are left out; the moment's own stand in the middle."""
    service = f"ctx-{time.time_ns()}"
    rows = [
        {"at": number, "service": service, "body": f"{pod} {number}", "resource": {"k8s.pod.name": pod}}
        for number in range(60)
        for pod in ("a", "b")
    ]
    put(loader, *rows)
    at_ns = int((START.timestamp() + 30) * 1e9)
    around = lines_around(roles.telemetry, service, "a", at_ns, each_way=3)
    assert [row["body"] for row in around] == [f"a {number}" for number in range(27, 34)]
    assert dict(around[0]["resource"]) == {"k8s.pod.name": "a"}


def test_kinds_are_counted_before_and_now(roles: OwnRoles, loader: Statements) -> None:
    """Numbers make no kind; what is there on one side only has none on the other."""
    service = f"kinds-{time.time_ns()}"
    put(
        loader,
        *({"at": number, "service": service, "body": f"sent {number} mails"} for number in range(100)),
        *(
            {"at": 60 + number, "service": service, "body": f"relay {number} is gone", "number": 17}
            for number in range(5)
        ),
    )
    split = START + timedelta(seconds=60)
    before = Window(start=START, end=split)
    now = Window(start=split, end=START + timedelta(seconds=120))
    shown = kinds(roles.telemetry, parse(f"service:{service}"), before, now)
    rows = {row["severity"]: row for row in shown.rows.to_pylist()}
    assert shown.every == 1
    assert (rows["INFO"]["now"], rows["INFO"]["before"]) == (40, 60)
    assert (rows["ERROR"]["now"], rows["ERROR"]["before"]) == (5, 0)
    assert rows["ERROR"]["first_ns"] == int((START.timestamp() + 60) * 1e9)


@pytest.mark.parametrize(
    ("text", "at", "words"),
    [
        ('cart "timed out', 5, "never closed"),
        ("(a OR b", 0, "never closed"),
        ("a )", 2, "closes nothing"),
        ("a ()", 2, "nothing between"),
        ('a ""', 2, "nothing between"),
        ("OR a", 0, "before it"),
        ("a OR", 2, "after it"),
        ("a NOT", 2, "after it"),
        ("service: cart", 8, "such as service:checkout"),
        ("severity>=wran", 10, "did you mean warn"),
        ("severity>=wa*", 10, "without *"),
        ("http.status_code>=five", 18, "no number"),
        ("size>=nan", 6, "no number"),
        ("service>=cart", 7, "write service:value"),
        ("a " * 41, 80, "at most 40 terms"),
        ("(" * 11 + "a" + ")" * 11, 10, "at most 10"),
        ("x" * 2001, 2000, "shorten"),
    ],
)
def test_a_mistake_points_at_its_character(text: str, at: int, words: str) -> None:
    """And says what to write instead."""
    with pytest.raises(QueryError, match=words.replace("*", r"\*")) as raised:
        parse(text)
    assert raised.value.at == at


def test_signs_in_text_are_no_language() -> None:
    """Addresses, arrows, times and lone dashes are searched as they stand; however many negations stand together."""
    for text in ("http://host/x", "a->b", "12:30:45", "-", "c++"):
        assert parse(text).of == (Term(MESSAGE, ":", (text,)),)
    assert isinstance(parse("-" * 1999 + "x").of[0], Not)
    assert isinstance(parse("-" * 1998 + "x").of[0], Term)


PIECES = [*"ab:*\"()- \\\n><=%_'{}0.", " OR ", "NOT ", "severity>=", "warn", "service:", "x>=", "é", "\u202e"]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_no_text_does_harm(roles: OwnRoles, text: str) -> None:
    """Whatever is typed is a search that the store runs, or a mistake with a place in the text."""
    try:
        newest_lines(roles.telemetry, parse(text), WINDOW, 5)
    except QueryError as error:
        assert 0 <= error.at <= len(text)  # noqa: PT017 - most texts are no mistake
