"""What has become of an error budget, against counts whose answers are known."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from detectors.slo.budget import burns, counted_since, course, forecast, left, spent_within, worst_hours
from detectors.slo.minutes import Minutes
from detectors.slo.openslo import Slo
from watchkeeper.vocabulary import Window, utc

NOW_S = 1_800_000_000 - 1_800_000_000 % 3600 + 3540
NOW = utc(float(NOW_S))
DAY = 1440
SLO = Slo(name="checkout", title="Checkout", service="orders", operation="", target=0.99, window_s=28 * 86_400)
SIZE = 28 * DAY


def minutes(bad: dict[range, float], *, total: float = 100.0, known: int = SIZE) -> Minutes:
    """A hundred events a minute, of which some fail; a range counts minutes back from now, 0 is the newest."""
    counted = Minutes(SLO.window_s)
    counted.advance(NOW)
    at = NOW_S // 60 * 60 - 60 * np.arange(known)
    failed = np.zeros(known)
    for span, value in bad.items():
        failed[span.start : span.stop] = value
    counted.place(at, np.full(known, total) - failed, np.full(known, total))
    return counted


def test_what_is_left_is_exact() -> None:
    """A budget of 1 % of 28 days is half gone when half a percent failed."""
    assert left(SLO, minutes({})) == 1.0
    assert left(SLO, minutes({range(SIZE): 0.5})) == pytest.approx(0.5)
    assert left(SLO, minutes({range(SIZE): 3.0})) == pytest.approx(-2.0)
    assert left(SLO, minutes({}, total=0.0)) is None


def test_burn_rates_are_of_their_own_spans() -> None:
    """Ten percent of the last hour fail: 10 times too fast over it, and a sixth of that over six hours."""
    rates = {one.seconds: one.rate for one in burns(SLO, minutes({range(60): 10.0}))}
    assert rates == {3600: pytest.approx(10.0), 21_600: pytest.approx(10 / 6), 259_200: pytest.approx(10 / 72)}
    assert {one.rate for one in burns(SLO, minutes({}, total=0.0))} == {None}


def test_the_course_ends_where_the_budget_is() -> None:
    """It falls from 1 to what is left, and never rises."""
    times, shares = course(SLO, minutes({range(100, 200): 50.0}))
    assert times[0] == NOW.replace(second=0) - timedelta(minutes=SIZE - 1)
    assert shares[0] == 1.0
    assert shares[-1] == pytest.approx(1 - 5000 / (SIZE * 100 * 0.01))
    assert (np.diff(shares) <= 0).all()


def test_a_steady_burn_is_gone_when_arithmetic_says_so() -> None:
    """Five times too fast since the last quarter of an hour of untouched weeks: gone after a fifth of the window."""
    shown = forecast(SLO, minutes({range(360): 5.0}), NOW)
    assert shown is not None
    # 360 minutes are behind: bad(t) = 5 (360 + t) reaches 1 % of all events.
    expected = SIZE * 100 * 0.01 / 5 - 360
    assert shown.gone is not None
    assert abs((shown.gone - NOW) / timedelta(minutes=1) - expected) <= 1
    assert shown.earliest is not None
    assert shown.latest is not None
    assert shown.earliest <= shown.gone <= shown.latest


def test_bursts_make_the_interval_wide() -> None:
    """The same share in one burst says less about what is to come: its best end is safe."""
    steady = forecast(SLO, minutes({range(360): 5.0}), NOW)
    burst = forecast(SLO, minutes({range(30): 60.0}), NOW)
    assert steady is not None
    assert burst is not None
    assert burst.gone == steady.gone
    assert burst.latest is None
    assert burst.earliest is not None
    assert steady.earliest is not None
    assert burst.earliest < steady.earliest


def test_what_drops_out_of_the_window_gives_budget_back() -> None:
    """A bad day four weeks ago leaves soon, and nothing fails now: safe, although little is left."""
    shown = forecast(SLO, minutes({range(SIZE - DAY, SIZE): 25.0}), NOW)
    assert shown is not None
    assert (shown.gone, shown.latest) == (None, None)
    assert left(SLO, minutes({range(SIZE - DAY, SIZE): 25.0})) == pytest.approx(1 - 25 / 28)


def test_an_overdrawn_budget_is_gone_now() -> None:
    """And without an event in the last hours nothing is forecast."""
    shown = forecast(SLO, minutes({range(SIZE): 2.0}), NOW)
    assert shown is not None
    assert (shown.gone, shown.back) == (NOW, None)
    day = forecast(SLO, minutes({range(SIZE - 2 * DAY, SIZE - DAY): 30.0}), NOW)
    assert day is not None
    # Of 30 a minute, 28 use it up: a fifteenth of the day must drop out, once it comes to the window's end.
    assert day.back is not None
    assert abs((day.back - NOW) / timedelta(minutes=1) - (DAY + DAY / 15)) <= 1
    assert forecast(SLO, minutes({}, total=0.0), NOW) is None


def test_the_worst_hours_come_first() -> None:
    """By what they used up; hours without a failure are none."""
    counted = minutes({range(60): 1.0, range(600, 660): 8.0})
    hours = worst_hours(SLO, counted)
    assert [one.bad for one in hours] == [480.0, 60.0]
    assert hours[1].window.end - NOW == timedelta(seconds=60)
    assert hours[0].share == pytest.approx(480 / (SIZE * 100 * 0.01))


def test_windows_that_overlap_count_each_minute_once() -> None:
    """Two incidents at the same time did not use up twice as much; one outside used up nothing."""
    counted = minutes({range(60): 10.0})
    hour = Window(start=NOW - timedelta(minutes=30), end=NOW)
    spent = spent_within(SLO, counted, [hour, hour])
    assert spent is not None
    assert 300 <= spent.bad <= 310
    long_ago = Window(start=NOW - timedelta(days=90), end=NOW - timedelta(days=89))
    assert spent_within(SLO, counted, [long_ago]) is None


def test_a_short_history_says_since_when_it_counts() -> None:
    """Where the store keeps a week of a window of four, the week is the budget."""
    counted = minutes({range(60): 10.0}, known=7 * DAY)
    assert counted_since(counted) == NOW.replace(second=0) - timedelta(minutes=7 * DAY - 1)
    assert left(SLO, counted) == pytest.approx(1 - 600 / (7 * DAY * 100 * 0.01))
