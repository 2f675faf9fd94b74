"""Which services a map shows: a small system whole, a large one by health, by name, or around a service."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from dashboard.components.map_choices import choice_of
from dashboard.figures.neighbourhood import READABLE, Choice, choose
from dashboard.figures.topology import Call
from dashboard.reads.health import Health
from dashboard.reads.traffic import _calls
from dashboard.urls import parse
from tests.dashboard.test_figures import call, well

# a → b → c → d, and e, which nobody calls
SMALL = well("a", "b", "c", "d", "e")
CHAIN = [call("a", "b"), call("b", "c"), call("c", "d")]


def large(*unwell: str) -> tuple[dict[str, Health], list[Call]]:
    """Three hundred services, each calling the next; the first ones carry the most requests."""
    names = [f"svc-{number:03d}" for number in range(300)]
    health = well(*names) | {name: Health(service=name, state="failing", reason="") for name in unwell}
    calls = [call(first, second, per_second=300.0 - number) for number, (first, second) in enumerate(pairwise(names))]
    return health, calls


def test_a_small_system_is_shown_whole_with_one_that_stands_alone() -> None:
    """Nothing is chosen, nothing is hidden, and no words are needed."""
    shown = choose(SMALL, CHAIN, Choice())
    assert (shown.names, shown.words, shown.hidden) == (frozenset("abcde"), "", 0)


def test_three_hundred_services_show_what_is_unwell_with_its_neighbours() -> None:
    """And say how many are not shown."""
    shown = choose(*large("svc-100", "svc-250"), Choice())
    assert sorted(shown.names) == ["svc-099", "svc-100", "svc-101", "svc-249", "svc-250", "svc-251"]
    assert (shown.words, shown.hidden) == ("what is unwell, and its neighbours", 294)


def test_a_well_or_a_wholly_unwell_large_system_stays_readable() -> None:
    """The busiest of them; what is unwell before its neighbours. `All` is still a choice."""
    health, calls = large()
    quiet = choose(health, calls, Choice())
    assert len(quiet.names) == READABLE
    assert "svc-001" in quiet.names
    assert "svc-299" not in quiet.names
    storm = choose(*large(*(f"svc-{number:03d}" for number in range(0, 300, 5))), Choice())
    assert len(storm.names) == READABLE
    assert all(int(name[4:]) % 5 == 0 for name in storm.names)
    assert len(choose(health, calls, Choice(show="all")).names) == 300


def test_a_focus_follows_calls_both_ways_so_far() -> None:
    """One call, two calls; it wins over a name and over health; an unknown service is no focus."""
    health, calls = large("svc-200")
    near = choose(health, calls, Choice(service="svc-010", near=1, words="svc-2", show="unwell"))
    assert sorted(near.names) == ["svc-009", "svc-010", "svc-011"]
    assert near.words == "around svc-010: what is at most 1 call away"
    assert len(choose(health, calls, Choice(service="svc-010", near=2)).names) == 5
    assert choose(SMALL, CHAIN, Choice(service="gone", near=1)).words == ""


def test_a_name_is_found_in_any_case_with_its_neighbours() -> None:
    """No match shows nothing and says what was looked for."""
    shown = choose(SMALL, CHAIN, Choice(words="D"))
    assert shown.names == frozenset("cd")
    assert choose(SMALL, CHAIN, Choice(words="zz")).names == frozenset()


def test_the_address_holds_each_choice_and_odd_values_are_none() -> None:
    """`near` from 1 to 3, `show` of the three; nothing else has an effect."""
    view = parse("/services", "?service=cart&near=2&show=unwell&q=car")
    assert choice_of(view) == Choice(show="unwell", words="car", service="cart", near=2)
    odd = parse("/services", "?service=cart&near=99&show=everything")
    assert choice_of(odd) == Choice(service="cart")
    assert choice_of(replace(odd, choices={"near": "²"})).near == 0


def test_a_database_without_a_namespace_is_called_by_its_name() -> None:
    """Rows of an earlier version hold `redis:`; both are one callee."""
    import pyarrow as pa

    rows = [
        {
            "caller": "cart", "callee": callee, "calls": 5, "errors": 0, "source": "attribute", "client_mean_ms": 1.0,
            "server_mean_ms": None,
        }
        for callee in ("redis:", "redis")
    ]  # fmt: skip
    (one,) = _calls(pa.Table.from_pylist(rows), 10.0)
    assert (one.callee, one.per_second) == ("redis", 1.0)
