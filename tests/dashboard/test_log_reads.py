"""What the page Logs reads, from a real store: pages of lines, templates with their change, and a line by its name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from bench.own_roles import OwnRoles, loader_of
from dashboard.reads.cache import Cache
from dashboard.reads.logs import SHOWN, LogReads, Template, search_for
from tests.dashboard.values import NOW
from watchkeeper.store.log_query import All, Term, parse
from watchkeeper.vocabulary import Window

pytestmark = pytest.mark.xdist_group("log reads")
WINDOW = Window(start=NOW - timedelta(minutes=10), end=NOW)
BEFORE = Window(start=NOW - timedelta(minutes=20), end=NOW - timedelta(minutes=10))


def line(second: float, service: str, body: str, severity: int = 9) -> dict[str, Any]:
    """A line so many seconds after the window began."""
    at = (WINDOW.start + timedelta(seconds=second)).timestamp()
    return {"Timestamp": f"{at:.6f}", "ServiceName": service, "SeverityNumber": severity, "Body": body}


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogReads]:
    """Twenty minutes of a shop: a failure begins halfway, mail becomes rare, and one message is new."""
    rows = [line(second, "cart", f"cart of user {second} was loaded") for second in range(-600, 600)]
    rows += [line(second, "mail", f"mail {second} was delivered") for second in range(-600, 0, 2)]
    rows += [line(second, "mail", f"mail {second} was delivered") for second in range(0, 600, 60)]
    rows += [line(second, "cart", "bank refused the charge", 17) for second in range(0, 600, 4)]
    rows += [line(-300, "mail", "relay of host west is full", 13)] * 20
    rows += [line(30, "same", "same moment")] * 250
    with OwnRoles(tmp_path_factory.mktemp("logs"), {"store": {"retention_days": 3650}}) as own:
        own.start("store")
        loader = loader_of(own.config)
        body = "\n".join(json.dumps(row) for row in rows).encode()
        loader.run(f"INSERT INTO otel.otel_logs ({', '.join(rows[0])}) FORMAT JSONEachRow", body)
        yield LogReads(own.telemetry, Cache(0.0))


def test_pages_show_each_line_once_newest_first(logs: LogReads) -> None:
    """Page by page, as many lines come as were counted, in order, none twice."""
    query = parse("service:cart loaded")
    first = logs.search(query, WINDOW, 5)
    assert first.total == 600
    assert len(first.lines) == SHOWN
    seen = [one for page in range(1, 8) for one in logs.search(query, WINDOW, 5, page).lines]
    assert [one.at_ns for one in seen] == sorted((one.at_ns for one in seen), reverse=True)
    assert len({one.name for one in seen}) == len(seen) == 600


def test_lines_of_one_moment_are_on_several_pages(logs: LogReads) -> None:
    """More lines than fit a page have one timestamp, as syslog writes them: none is lost."""
    assert [len(logs.search(parse("service:same"), WINDOW, 5, page).lines) for page in (1, 2, 3, 4)] == [
        100,
        100,
        50,
        0,
    ]


def test_counts_are_by_severity_and_time(logs: LogReads) -> None:
    """The histogram's counts are those of the lines."""
    found = logs.search(parse("service:cart"), WINDOW, 60)
    assert {severity: sum(buckets.values()) for severity, buckets in found.counts.items()} == {
        "INFO": 600,
        "ERROR": 150,
    }
    assert found.window == WINDOW


def test_templates_say_what_is_new_rarer_gone_and_as_before(logs: LogReads) -> None:
    """Each kind of line once, with its lines in both windows."""
    templates = {one.text: one for one in logs.templates(parse("-service:same"), BEFORE, WINDOW).templates}
    changes = {text: (one.now, one.before, one.change) for text, one in templates.items()}
    assert changes == {
        "cart of user <*> was loaded": (600, 600, "same"),
        "mail <*> was delivered": (10, 300, "fewer"),
        "bank refused the charge": (150, 0, "new"),
        "relay of host west is full": (0, 20, "gone"),
    }
    assert templates["bank refused the charge"].first == WINDOW.start
    assert templates["bank refused the charge"].severity == "ERROR"


def test_nothing_is_new_where_there_is_nothing_before(logs: LogReads) -> None:
    """A store that has no earlier line cannot tell: no template is called new."""
    long_ago = Window(start=NOW - timedelta(hours=9), end=NOW - timedelta(hours=8))
    templates = logs.templates(parse("service:cart"), long_ago, WINDOW).templates
    assert {one.change for one in templates} == {"unknown"}


def test_a_template_leads_to_its_lines(logs: LogReads) -> None:
    """The search made from a template finds as many lines as it was counted to have."""
    for one in logs.templates(parse("service:cart"), BEFORE, WINDOW).templates:
        query = All((Term("service", ":", ("cart",)), *parse(search_for(one.text)).of))
        assert logs.search(query, WINDOW, 60).total == one.now


@pytest.mark.parametrize(
    ("now", "expected", "change"),
    [(3, 0.0, "new"), (0, 2.0, "same"), (0, 9.0, "gone"), (12, 6.0, "same"), (60, 6.0, "more"), (1300, 1000.0, "same")],
)
def test_chance_is_no_change(now: int, expected: float, change: str) -> None:
    """A few lines more or fewer are none, nor is a third more of many."""
    assert Template(text="x", now=now, before=int(expected), expected=expected).change == change


def test_a_line_is_found_by_its_name(logs: LogReads) -> None:
    """A shared link shows the same line; a name that nobody gave shows none."""
    newest = logs.search(parse("service:mail"), WINDOW, 60).lines[0]
    assert logs.line(newest.name) == newest
    for name in ("", "1-AB", "x", "9" * 30 + "-AB", newest.name + "0"):
        assert logs.line(name) is None
    around = logs.around(newest.service, newest.instance, newest.at_ns)
    assert newest in around
    assert {one.service for one in around} == {"mail"}
