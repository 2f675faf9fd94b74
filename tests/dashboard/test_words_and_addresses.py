"""Numbers, times and addresses."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from dashboard.components.wording import (
    ago,
    clock_text,
    duration,
    likely,
    milliseconds,
    per_second,
    percent,
    zone_named,
)
from dashboard.urls import View, parse, step_for
from watchkeeper.vocabulary import Window

NOW = datetime(2026, 3, 1, 3, 0, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (math.nan, "–"), (0.84, "0.8 ms"), (41.2, "41 ms"), (1250.0, "1.25 s"), (120_000.0, "2 min")],
)
def test_latencies_read_in_the_unit_that_fits(value: float | None, text: str) -> None:
    """A latency is shown with its unit, and a missing one as a dash."""
    assert milliseconds(value) == text


def test_a_share_that_is_not_zero_never_reads_as_zero() -> None:
    """One failure in ten thousand is not none."""
    assert percent(0.0001) == "<0.1 %"
    assert percent(0) == "0 %"
    assert percent(0.414) == "41 %"


def test_a_probability_never_claims_certainty() -> None:
    """A calibrated probability of 0.998 is not a promise."""
    assert likely(0.998) == ">99 %"
    assert likely(0.001) == "<1 %"
    assert likely(0.82) == "82 %"


def test_rates_and_spans_of_time_are_short() -> None:
    """Two units at most."""
    assert per_second(1234) == "1.23k/s"
    assert duration(7510) == "2 h 5 min"
    assert duration(timedelta(seconds=75)) == "1 min 15 s"
    assert ago(NOW - timedelta(minutes=12), NOW) == "12 min ago"
    assert ago(NOW + timedelta(hours=2), NOW) == "in 2 h"


def test_times_are_in_the_readers_zone_with_a_date_when_it_is_not_today() -> None:
    """What is today in one zone may be yesterday in another."""
    tokyo = ZoneInfo("Asia/Tokyo")
    assert clock_text(NOW, tokyo, NOW) == "12:00:07"
    assert clock_text(NOW - timedelta(hours=13), tokyo, NOW, seconds=False) == "Sat 28 Feb 23:00"


def test_an_unknown_zone_reads_as_utc() -> None:
    """A browser may report a zone that this machine does not have."""
    assert zone_named("Mars/Olympus").key == "UTC"
    assert zone_named("../../etc/passwd").key == "UTC"


def test_an_address_survives_the_round_trip() -> None:
    """Range, selection and filter stand in the address and are read back from it."""
    view = parse("/services", "?range=1h&service=cart%20two&state=open")
    assert view == View(path="/services", range="1h", service="cart two", state="open")
    assert parse(view.path, view.address().partition("?")[2]) == view


def test_a_pages_own_choices_stand_in_the_address_and_stay_on_that_page() -> None:
    """A filter that one page knows survives the round trip and a change of another, and does not follow to a page."""
    view = parse("/traces", "?service=cart&status=failed&http.route=%2Fa%26b")
    assert view.choice("status") == "failed"
    assert view.choice("min", "0") == "0"
    again = parse("/traces", view.link(min="250ms").partition("?")[2])
    assert again.choices == {"status": "failed", "http.route": "/a&b", "min": "250ms"}
    assert view.link(status=None) == "/traces?service=cart&http.route=%2Fa%26b"
    assert view.link("/logs") == "/logs?service=cart"
    assert view.link("/logs", text="refused") == "/logs?service=cart&text=refused"
    assert view.link(range="1h") == "/traces?range=1h&service=cart&status=failed&http.route=%2Fa%26b"


def test_an_address_with_too_much_in_it_is_cut_and_says_so() -> None:
    """Whatever stands in an address is bounded before a page sees it."""
    crowded = parse("/traces", "?" + "&".join(f"c{number}=1" for number in range(100)))
    assert len(crowded.choices) == 24
    assert "100 choices" in crowded.problem
    long = parse("/traces", "?text=" + "x" * 1001 + "&status=failed&Bad Name=1")
    assert long.choices == {"status": "failed"}
    assert "text is longer" in long.problem


def test_a_shared_link_holds_absolute_times() -> None:
    """Whoever opens it later sees the same span of time."""
    address = parse("/", "?range=15m").frozen(NOW)
    assert address == "/?from=2026-03-01T02:45:05Z&to=2026-03-01T03:00:05Z"
    later = parse("/", address.partition("?")[2])
    assert not later.is_live
    assert later.window(NOW + timedelta(days=3)).end == NOW.replace(second=5)


@pytest.mark.parametrize(
    "search",
    [
        "range=forever",
        "from=yesterday&to=now",
        "from=2026-03-01T03:00:00Z",
        "from=2026-03-02T00:00:00Z&to=2026-03-01T00:00:00Z",
        "from=2020-01-01T00:00:00Z&to=2026-03-01T00:00:00Z",
    ],
)
def test_a_bad_range_falls_back_and_says_so(search: str) -> None:
    """A mangled address shows the default range with a note, not an error."""
    view = parse("/", search)
    assert view.is_live
    assert view.problem


def test_every_range_is_drawn_in_a_bounded_number_of_buckets() -> None:
    """A week costs no more points than five minutes."""
    for seconds in (300, 1800, 86_400, 604_800, 31 * 86_400):
        window = Window.last(seconds, until=NOW)
        assert window.seconds / step_for(window) <= 130
