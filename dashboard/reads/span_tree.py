"""The spans of one trace as a tree: corrected starts, self times, and the critical path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanRow:
    """One span as it is stored; times in nanoseconds, `start_ns` since Unix's epoch. Events and links are counted."""

    span_id: str
    parent_id: str
    service: str
    operation: str
    kind: str
    start_ns: int
    duration_ns: int
    failed: bool
    message: str
    events: int
    links: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeSpan:
    """One span in its tree; times in nanoseconds.

    Attributes:
        start_ns: its start by its caller's clock: `moved_ns` later than its own service's clock says.
        self_ns: of its duration, what none of its children takes.
        path_ns: of the critical path, what is spent in it itself; 0 if it is not on the path.
        through_ns: of the critical path, what is spent in it and below it.
        below, failed_below: spans below it, and how many of them failed.
    """

    row: SpanRow
    depth: int
    start_ns: int
    moved_ns: int
    self_ns: int
    path_ns: int
    through_ns: int
    children: tuple[str, ...]
    below: int
    failed_below: int

    @property
    def on_path(self) -> bool:
        """Whether the critical path leads through it."""
        return self.through_ns > 0

    @property
    def end_ns(self) -> int:
        return self.start_ns + self.row.duration_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanTree:
    """All spans of a trace by id, each after its parent.

    Attributes:
        roots: the ids of those without a recorded parent.
        parents: of the others, the parent's id.
        start_ns, duration_ns: from the first start to the last end.
    """

    spans: Mapping[str, TreeSpan]
    roots: tuple[str, ...]
    parents: Mapping[str, str]
    start_ns: int
    duration_ns: int

    @property
    def main(self) -> TreeSpan:
        """The root that takes longest; the critical path begins at it."""
        return max((self.spans[root] for root in self.roots), key=lambda span: (span.row.duration_ns, -span.start_ns))

    def ancestors(self, span_id: str) -> list[str]:
        """The ids above a span, the nearest first."""
        above: list[str] = []
        while span_id in self.parents:
            span_id = self.parents[span_id]
            above.append(span_id)
        return above

    def path_shares(self) -> list[tuple[str, str, int]]:
        """Where the time of the critical path goes: service, operation, nanoseconds; most first."""
        shares: Counter[tuple[str, str]] = Counter()
        for span in self.spans.values():
            shares[span.row.service, span.row.operation] += span.path_ns
        return [(service, operation, ns) for (service, operation), ns in shares.most_common() if ns > 0]

    def origins(self) -> list[TreeSpan]:
        """Failed spans below which none failed: where an error began. By start."""
        found = [span for span in self.spans.values() if span.row.failed and not span.failed_below]
        return sorted(found, key=lambda span: span.start_ns)

    def moved(self) -> dict[str, int]:
        """By how many nanoseconds spans were moved, the largest distance of each service."""
        by_service: dict[str, int] = {}
        for span in self.spans.values():
            if span.moved_ns:
                service = span.row.service
                by_service[service] = max(by_service.get(service, 0), span.moved_ns, key=abs)
        return by_service


def span_tree(rows: Iterable[SpanRow]) -> SpanTree:
    """Arrange spans under their parents, in order of start.

    A span whose parent was not recorded is a root; one of a ring of parents is, too. Of spans with the same id the
    first is kept. Costs O(n log n); a trace may be as deep as it has spans.

    Raises:
        ValueError: there is no span.
    """
    by_id: dict[str, SpanRow] = {}
    for row in rows:
        by_id.setdefault(row.span_id, row)
    if not by_id:
        raise ValueError("a tree needs a span")
    children, roots = _children(by_id)
    order, depths, parents = _preorder(children, roots)
    starts = _starts(by_id, order, parents)
    path = _critical_path(by_id, children, starts, max(roots, key=lambda r: (by_id[r].duration_ns, -starts[r])))
    below, failed_below = dict.fromkeys(order, 0), dict.fromkeys(order, 0)
    through = {span_id: path.get(span_id, 0) for span_id in order}
    for span_id in reversed(order):
        parent = parents.get(span_id)
        if parent is not None:
            through[parent] += through[span_id]
            below[parent] += below[span_id] + 1
            failed_below[parent] += failed_below[span_id] + by_id[span_id].failed
    spans = {
        span_id: TreeSpan(
            row=by_id[span_id],
            depth=depths[span_id],
            start_ns=starts[span_id],
            moved_ns=starts[span_id] - by_id[span_id].start_ns,
            self_ns=_self_time(by_id, children.get(span_id, ()), starts, span_id),
            path_ns=path.get(span_id, 0),
            through_ns=through[span_id],
            children=tuple(children.get(span_id, ())),
            below=below[span_id],
            failed_below=failed_below[span_id],
        )
        for span_id in order
    }
    start = min(starts.values())
    end = max(span.end_ns for span in spans.values())
    return SpanTree(spans=spans, roots=tuple(roots), parents=parents, start_ns=start, duration_ns=end - start)


def _children(by_id: Mapping[str, SpanRow]) -> tuple[dict[str, list[str]], list[str]]:
    """The children of each span, by start, and the roots."""
    children: dict[str, list[str]] = {}
    roots: list[str] = []
    for row in sorted(by_id.values(), key=lambda row: (row.start_ns, row.span_id)):
        if row.parent_id in by_id and row.parent_id != row.span_id:
            children.setdefault(row.parent_id, []).append(row.span_id)
        else:
            roots.append(row.span_id)
    reached = set(_preorder(children, roots)[0])
    for span_id in by_id:  # what is left hangs in rings: each is opened at its first span
        if span_id not in reached:
            children[by_id[span_id].parent_id].remove(span_id)
            roots.append(span_id)
            reached |= set(_preorder(children, [span_id])[0])
    return children, roots


def _preorder(
    children: Mapping[str, Sequence[str]], roots: Sequence[str]
) -> tuple[list[str], dict[str, int], dict[str, str]]:
    """Every span after its parent; with its depth, and its parent."""
    order: list[str] = []
    depths: dict[str, int] = dict.fromkeys(roots, 0)
    parents: dict[str, str] = {}
    waiting = list(reversed(roots))
    while waiting:
        span_id = waiting.pop()
        order.append(span_id)
        for child in reversed(children.get(span_id, ())):
            depths[child] = depths[span_id] + 1
            parents[child] = span_id
            waiting.append(child)
    return order, depths, parents


def _starts(by_id: Mapping[str, SpanRow], order: Sequence[str], parents: Mapping[str, str]) -> dict[str, int]:
    """Each span's start by its caller's clock.

    A call that was answered before it was made, or after it had ended, shows that the two clocks differ. Its answer is
    moved to the middle of the call, and so is all that its service does below it. A message may be taken at any time
    after it was sent: nothing is known of that clock. Source: the adjuster of clock skew in Jaeger.
    """
    shifts: dict[str, int] = {}
    for span_id in order:
        row, parent = by_id[span_id], by_id.get(parents.get(span_id, ""))
        if parent is None:
            shifts[span_id] = 0
            continue
        if row.service == parent.service:
            shifts[span_id] = shifts[parent.span_id]
            continue
        begin = parent.start_ns + shifts[parent.span_id]
        spare = parent.duration_ns - row.duration_ns
        latest = begin + (spare if spare >= 0 else parent.duration_ns)
        if row.kind == "Consumer" or parent.kind == "Producer" or begin <= row.start_ns <= latest:
            shifts[span_id] = 0
        else:
            shifts[span_id] = begin + max(spare, 0) // 2 - row.start_ns
    return {span_id: by_id[span_id].start_ns + shift for span_id, shift in shifts.items()}


def _self_time(by_id: Mapping[str, SpanRow], children: Iterable[str], starts: Mapping[str, int], span_id: str) -> int:
    """A span's duration without the time that at least one child takes of it."""
    begin, end = starts[span_id], starts[span_id] + by_id[span_id].duration_ns
    covered, until = 0, begin
    for first, last in sorted((starts[c], starts[c] + by_id[c].duration_ns) for c in children):
        if min(last, end) > max(first, until):
            covered += min(last, end) - max(first, until)
            until = min(last, end)
    return end - begin - covered


def _critical_path(
    by_id: Mapping[str, SpanRow], children: Mapping[str, Sequence[str]], starts: Mapping[str, int], root: str
) -> dict[str, int]:
    """Nanoseconds of the critical path in each span that it leads through: what would have to be faster.

    From a span's end backwards: the path goes through the child that ended last, then from that child's start through
    the one that ended last before, and so on; the rest is the span's own.
    Source: Z. Zhang et al., CRISP, USENIX ATC 2022.
    """
    path: dict[str, int] = {}
    waiting = [(root, starts[root], starts[root] + by_id[root].duration_ns)]
    while waiting:
        span_id, since, at = waiting.pop()
        own, inside = 0, False
        for child in sorted(children.get(span_id, ()), key=lambda c: -(starts[c] + by_id[c].duration_ns)):
            begin, end = max(starts[child], since), starts[child] + by_id[child].duration_ns
            if inside and end > at:
                continue  # it ran beside the one that the path goes through
            end = min(end, at)
            if end <= begin:
                continue
            own += at - end
            waiting.append((child, begin, end))
            at, inside = begin, True
        path[span_id] = own + at - since
    return path
