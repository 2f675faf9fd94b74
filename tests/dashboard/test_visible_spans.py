"""What is shown of a large trace: a bounded number of rows, and a way to each of the others."""

from __future__ import annotations

from dashboard.reads.span_tree import SpanTree, span_tree
from dashboard.reads.visible_spans import visible_rows
from tests.dashboard.test_span_tree import row


def wide(calls: int = 5000) -> SpanTree:
    """A request with thousands of short calls, of which number 4,321 fails, and a long one at the end."""
    rows = [row("root", "", 0, 1000)]
    rows += [row(f"c{i}", "root", i * 0.1, 0.05, failed=i == 4321) for i in range(calls)]
    rows += [row("long", "root", 600, 390), row("below", "long", 610, 300)]
    return span_tree(rows)


def test_what_explains_a_large_trace_is_shown_and_the_rest_is_counted() -> None:
    """Failure and critical path stand among the rows; all others are in the sums."""
    tree = wide()
    rows = visible_rows(tree, limit=50)
    spans = [each.span.row.span_id for each in rows if each.span]
    assert len(spans) == 50
    assert {"root", "c4321", "long", "below"} <= set(spans)
    assert spans[0] == "root"
    assert spans.index("below") == spans.index("long") + 1
    assert sum(each.hidden.spans for each in rows if each.hidden) + len(spans) == len(tree.spans)


def test_every_call_is_on_some_page() -> None:
    """Page by page in order of start, and nothing below is lost."""
    tree = wide(300)
    seen: list[str] = []
    for page in range(1, 5):
        rows = visible_rows(tree, "root", page, limit=100)
        seen += [each.span.row.span_id for each in rows[1:] if each.span]
        (last,) = [each.hidden for each in rows if each.hidden and each.hidden.parent == "root"] or [None]
        assert (last.calls if last else 0) == max(0, 302 - 1 - 100 * page)
    assert sorted(seen) == sorted(set(tree.spans) - {"root", "below"})


def test_a_chosen_span_is_shown_with_all_above_it() -> None:
    """However unimportant it is."""
    tree = wide()
    spans = [each.span.row.span_id for each in visible_rows(tree, wanted="c4000", limit=5) if each.span]
    assert {"root", "c4000"} <= set(spans)
    assert visible_rows(tree, wanted="nothing", limit=5)


def test_a_small_trace_is_shown_whole_and_a_part_alone() -> None:
    """A part begins at its own depth."""
    tree = wide(3)
    assert [each.hidden for each in visible_rows(tree) if each.hidden] == []
    assert [(each.depth, each.span.row.span_id) for each in visible_rows(tree, "long") if each.span] == [
        (0, "long"),
        (1, "below"),
    ]


def test_thousands_of_roots_are_paged() -> None:
    """A trace whose parents were lost."""
    tree = span_tree(row(f"r{i}", "lost", i, 1) for i in range(500))
    rows = visible_rows(tree, limit=100)
    assert rows[-1].hidden is not None
    assert (rows[-1].hidden.parent, rows[-1].hidden.spans) == ("", 400)
    assert len([each for each in visible_rows(tree, "", 5, limit=100) if each.span]) == 100
