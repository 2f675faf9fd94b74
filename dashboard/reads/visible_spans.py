"""Which spans of a trace are shown: as many as a reader can take in, those that explain it first."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from dashboard.reads.span_tree import SpanTree, TreeSpan

MOST_ROWS: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Hidden:
    """Spans below `parent` ("" for roots) that are not shown: in how many of its calls, how many, and failed ones."""

    parent: str
    calls: int
    spans: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VisibleRow:
    """A span, or what stands for hidden ones; `depth` counts from the top of what is shown."""

    depth: int
    span: TreeSpan | None = None
    hidden: Hidden | None = None


def visible_rows(
    tree: SpanTree, top: str = "", page: int = 0, wanted: str = "", limit: int = MOST_ROWS
) -> list[VisibleRow]:
    """At most about `limit` spans below `top` ("" for the whole trace), each after its parent.

    First `wanted` with what is above it, then failures, then what the critical path spends most time in.
    Pages from 1 on list the calls of `top` in order of start, `limit` a page, without what is below them.
    """
    if top not in tree.spans:
        top = ""
    if page:
        return _listed(tree, top, (page - 1) * limit, limit)
    shown = _chosen(tree, top, set(tree.ancestors(wanted)) | {wanted} if wanted in tree.spans else set(), limit)
    rows: list[VisibleRow] = []
    begin = tree.spans[top].depth if top else 0
    waiting: list[VisibleRow] = []

    def push(parent: str, children: Iterable[str], depth: int) -> None:
        inside = [child for child in children if child in shown]
        hidden = _hidden(tree, parent, [child for child in children if child not in shown])
        if hidden:
            waiting.append(VisibleRow(depth=depth, hidden=hidden))
        waiting.extend(VisibleRow(depth=depth, span=tree.spans[child]) for child in reversed(inside))

    push("", (top,) if top else tree.roots, 0)
    while waiting:
        row = waiting.pop()
        rows.append(row)
        if row.span:
            push(row.span.row.span_id, row.span.children, row.span.depth - begin + 1)
    return rows


def _chosen(tree: SpanTree, top: str, wanted: set[str], limit: int) -> set[str]:
    """The spans to show: a parent is chosen before its children. Failures take at most half of the rows."""

    def by_failure(span_id: str) -> tuple[bool, bool, int, str]:
        span = tree.spans[span_id]
        return span_id not in wanted, not (span.row.failed or span.failed_below), span.depth, span_id

    def by_time(span_id: str) -> tuple[int, int, int, str]:
        span = tree.spans[span_id]
        return -span.through_ns, span.depth, -span.row.duration_ns, span_id

    shown: set[str] = set()
    waiting = [by_failure(span_id) for span_id in ((top,) if top else tree.roots)]
    heapq.heapify(waiting)
    while waiting and (not waiting[0][0] or (not waiting[0][1] and len(shown) < limit // 2)):
        span_id = heapq.heappop(waiting)[-1]
        shown.add(span_id)
        for child in tree.spans[span_id].children:
            heapq.heappush(waiting, by_failure(child))
    others = [by_time(each[-1]) for each in waiting]
    heapq.heapify(others)
    while others and len(shown) < limit:
        span_id = heapq.heappop(others)[-1]
        shown.add(span_id)
        for child in tree.spans[span_id].children:
            heapq.heappush(others, by_time(child))
    return shown


def _listed(tree: SpanTree, top: str, skip: int, limit: int) -> list[VisibleRow]:
    calls = tree.spans[top].children if top else tree.roots
    rows = [VisibleRow(depth=0, span=tree.spans[top])] if top else []
    depth = len(rows)
    for child in calls[skip : skip + limit]:
        rows.append(VisibleRow(depth=depth, span=tree.spans[child]))
        hidden = _hidden(tree, child, tree.spans[child].children)
        if hidden:
            rows.append(VisibleRow(depth=depth + 1, hidden=hidden))
    hidden = _hidden(tree, top, calls[skip + limit :])
    return [*rows, VisibleRow(depth=depth, hidden=hidden)] if hidden else rows


def _hidden(tree: SpanTree, parent: str, calls: Iterable[str]) -> Hidden | None:
    spans = [tree.spans[call] for call in calls]
    if not spans:
        return None
    return Hidden(
        parent=parent,
        calls=len(spans),
        spans=sum(span.below + 1 for span in spans),
        failed=sum(span.failed_below + span.row.failed for span in spans),
    )
