"""What distinguishes two groups: by more than chance, with an interval, the most certain first."""

from __future__ import annotations

from datetime import timedelta
from math import comb

import pytest

from dashboard.reads.differences import chance, differences
from tests.dashboard.values import NOW
from watchkeeper.store.span_comparison import Group, SpanComparison, ValueCount
from watchkeeper.vocabulary import Window


def compared(n: int, m: int, *values: tuple[str, int, int]) -> SpanComparison:
    """`n` selected and `m` other spans, with how many of each have a value."""
    return SpanComparison(
        selected=Group(spans=n, failed=0, p50_ms=1.0, p95_ms=2.0),
        others=Group(spans=m, failed=0, p50_ms=1.0, p95_ms=2.0),
        sampled_selected=n,
        sampled_others=m,
        values=tuple(ValueCount(place="span", key="k", value=v, selected=a, others=b) for v, a, b in values),
        least_ms=1.0,
        window=Window.last(timedelta(minutes=5).total_seconds(), until=NOW),
    )


@pytest.mark.parametrize(("a", "n", "b", "m"), [(2, 2, 10, 50), (5, 9, 1, 30), (0, 12, 9, 20), (7, 7, 0, 7)])
def test_chance_is_twice_the_exact_tail(a: int, n: int, b: int, m: int) -> None:
    """Counted out from the hypergeometric distribution."""
    ways = [comb(a + b, x) * comb(n + m - a - b, n - x) for x in range(min(n, a + b) + 1)]
    tail = sum(ways[a:]) if a * (n + m) >= (a + b) * n else sum(ways[: a + 1])
    assert chance(a, n, b, m) == pytest.approx(min(1.0, 2 * tail / comb(n + m, n)))


def test_few_spans_are_no_discovery_and_many_are() -> None:
    """Two of two, and three of three, may be chance; sixty of sixty are not."""
    assert differences(compared(2, 50, ("a", 2, 10))) == []
    assert differences(compared(3, 1000, ("a", 3, 125), *((f"v{i}", 0, 9) for i in range(30)))) == []
    (one,) = differences(compared(60, 540, ("a", 60, 100)))
    assert (one.share_selected, one.difference) == (1.0, pytest.approx(1 - 100 / 540))
    assert 0.7 < one.low < one.difference < one.high < 0.9


def test_the_most_certain_difference_comes_first() -> None:
    """A large share of many goes before a larger one of few; of two that replace each other, the selected one's."""
    found = differences(compared(400, 4000, ("new", 390, 40), ("old", 10, 3960), ("rare", 12, 0), ("same", 200, 2000)))
    assert [one.value.value for one in found] == ["new", "old", "rare"]


def test_a_difference_too_small_to_explain_anything_is_left_out() -> None:
    """One point of share, however sure."""
    assert differences(compared(100_000, 100_000, ("a", 51_000, 50_000))) == []


def test_nothing_is_compared_with_nothing() -> None:
    """An empty group has no shares."""
    assert differences(compared(0, 50, ("a", 0, 50))) == []
