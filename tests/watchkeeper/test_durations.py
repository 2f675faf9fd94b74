"""Spans of time in messages, and waits between tries."""

from __future__ import annotations

from datetime import timedelta

import pytest

from watchkeeper.durations import backoff_s, duration, spread_s


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (0, "0 s"),
        (-5, "0 s"),
        (0.0042, "4.2 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1 s"),
        (2.14, "2.1 s"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (299, "4 min 59 s"),
        (301, "5 min"),
        (3599.7, "1 h"),
        (86_399.9, "1 d"),
        (timedelta(days=3, hours=2, minutes=50), "3 d 2 h"),
    ],
)
def test_a_span_reads_in_its_best_units(span: timedelta | float, text: str) -> None:
    """Two units at most, and none that rounds up to the next."""
    assert duration(span) == text


def test_each_wait_is_twice_the_one_before_up_to_the_longest() -> None:
    """However many failures there were."""
    assert [backoff_s(failures, 1.0, 60.0) for failures in (0, 1, 2, 6, 7, 10_000)] == [1, 1, 2, 32, 60, 60]


def test_a_spread_wait_is_at_least_half_and_never_longer() -> None:
    """And two that failed together do not wait the same."""
    waits = [spread_s(8.0) for _ in range(200)]
    assert 4 <= min(waits) < max(waits) <= 8
