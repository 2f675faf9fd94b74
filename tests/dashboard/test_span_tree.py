"""The spans of a trace as a tree: self times, the critical path, clocks that differ, and what is odd."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.reads.span_tree import SpanRow, SpanTree, span_tree

MS = 1_000_000


def row(span_id: str, parent: str, start_ms: float, ms: float, **changes: Any) -> SpanRow:
    """A span of service `web` that went well."""
    values: dict[str, Any] = {"service": "web", "operation": span_id, "kind": "Server"}
    values |= {"failed": False, "message": "", "events": 0, "links": 0} | changes
    return SpanRow(span_id=span_id, parent_id=parent, start_ns=int(start_ms * MS), duration_ns=int(ms * MS), **values)


def path(tree: SpanTree) -> dict[str, float]:
    """Milliseconds of the critical path by span."""
    return {span_id: span.path_ns / MS for span_id, span in tree.spans.items() if span.on_path}


def test_the_critical_path_goes_through_what_ended_last() -> None:
    """Of two calls side by side the longer one is waited for; before it, the one that ended before it began."""
    tree = span_tree(
        [
            row("root", "", 0, 100),
            row("first", "root", 5, 15),
            row("short", "root", 30, 20),
            row("long", "root", 30, 60),
            row("query", "long", 40, 45),
        ]
    )
    assert path(tree) == {"root": 25.0, "first": 15.0, "long": 15.0, "query": 45.0}
    assert sum(path(tree).values()) == 100
    assert tree.path_shares()[0] == ("web", "query", 45 * MS)


def test_self_time_is_what_no_child_takes() -> None:
    """Children side by side count once; what a child does after its parent's end does not count."""
    tree = span_tree(
        [
            row("root", "", 0, 100),
            row("a", "root", 10, 30),
            row("b", "root", 20, 30),
            row("late", "root", 90, 500, kind="Consumer"),
        ]
    )
    assert tree.spans["root"].self_ns == 50 * MS
    assert tree.spans["a"].self_ns == 30 * MS


def test_a_call_answered_before_it_was_made_is_moved_into_it() -> None:
    """The other clock is two seconds behind: the answer and all below it are moved to the middle of the call."""
    tree = span_tree(
        [
            row("root", "", 0, 100),
            row("call", "root", 10, 80, kind="Client"),
            row("served", "call", -1980, 60, service="pay"),
            row("inner", "served", -1970, 20, service="pay", kind="Internal"),
        ]
    )
    assert tree.spans["served"].start_ns == 20 * MS
    assert tree.spans["inner"].start_ns == 30 * MS
    assert tree.moved() == {"pay": 2000 * MS}
    assert path(tree) == {"root": 20.0, "call": 20.0, "served": 40.0, "inner": 20.0}


def test_a_message_taken_later_is_not_moved() -> None:
    """Nothing is known of its consumer's clock; nor is a server that works on after its caller gave up."""
    tree = span_tree(
        [
            row("send", "", 0, 5, kind="Producer"),
            row("taken", "send", 4000, 50, service="mail", kind="Consumer"),
            row("call", "", 0, 100, kind="Client"),
            row("slow", "call", 10, 3000, service="pay"),
        ]
    )
    assert tree.moved() == {}


def test_an_error_began_where_nothing_below_failed() -> None:
    """The caller's failure is a consequence."""
    tree = span_tree(
        [
            row("root", "", 0, 100, failed=True),
            row("call", "root", 1, 90, failed=True),
            row("served", "call", 2, 80, failed=True, service="pay"),
            row("fine", "root", 95, 1),
        ]
    )
    assert [span.row.span_id for span in tree.origins()] == ["served"]
    assert (tree.spans["root"].below, tree.spans["root"].failed_below) == (3, 2)
    assert tree.ancestors("served") == ["call", "root"]


def test_what_has_no_parent_is_a_root_and_a_ring_is_opened() -> None:
    """Each span stands once, whatever their parents say."""
    tree = span_tree(
        [
            row("orphan", "lost", 0, 5),
            row("a", "b", 1, 9),
            row("b", "a", 2, 5),
            row("own", "own", 3, 1),
            row("orphan", "a", 4, 50),
        ]
    )
    assert set(tree.roots) == {"orphan", "own", "a"}
    assert set(tree.spans) == {"orphan", "own", "a", "b"}
    assert tree.spans["orphan"].row.duration_ns == 5 * MS
    assert tree.main.row.span_id == "a"


def test_a_trace_as_deep_as_it_has_spans_does_not_overflow() -> None:
    """Ten thousand calls, each within the one before."""
    tree = span_tree(row(str(i), str(i - 1) if i else "", i / 1000, 100 - i / 500) for i in range(10_000))
    assert tree.spans["9999"].depth == 9999
    assert sum(path(tree).values()) == pytest.approx(100)


SPANS = st.lists(
    st.tuples(
        st.integers(0, 9), st.integers(0, 12), st.integers(-50, 50), st.integers(0, 60),
        st.sampled_from(["web", "pay"]), st.sampled_from(["Server", "Client", "Consumer", "Internal"]),
    ),
    min_size=1, max_size=12,
)  # fmt: skip


@given(SPANS)
def test_any_spans_make_a_tree_whose_path_fits_its_root(spans: list[tuple[int, int, int, int, str, str]]) -> None:
    """Rings, doubles and clocks as they come: no time is negative, and none is spent twice."""
    tree = span_tree(row(str(i), str(p), s, d, service=name, kind=kind) for i, p, s, d, name, kind in spans)
    assert set(tree.spans) == {str(span[0]) for span in spans}
    for span in tree.spans.values():
        assert 0 <= span.self_ns <= span.row.duration_ns
        assert span.path_ns >= 0
    assert sum(span.path_ns for span in tree.spans.values()) <= tree.main.row.duration_ns
    assert sum(span.below + 1 for span in (tree.spans[root] for root in tree.roots)) == len(tree.spans)
