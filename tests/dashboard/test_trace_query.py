"""The choices of the page Traces: what an address asks for, and what is said of what cannot be read."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.reads.trace_query import attribute_conditions, condition_text, duration_ms, trace_query
from dashboard.urls import parse
from watchkeeper.store.span_search import AttributeCondition, SpanSearch


def test_an_address_becomes_a_search() -> None:
    """Every choice, with its unit."""
    view = parse(
        "/traces", "?service=pay&op=POST%20/&attr=a%3Db&min=1.5s&max=2min&q=full&status=failed&scope=all&sort=newest"
    )
    query = trace_query(view)
    assert query.search == SpanSearch(
        scope="all", service="pay", operation="POST /", attributes=(AttributeCondition(key="a", value="b"),),
        failed=True, least_ms=1500.0, most_ms=120_000.0, text="full",
    )  # fmt: skip
    assert (query.order, query.problems) == ("newest", ())


def test_without_choices_whole_traces_are_searched_and_with_a_service_its_requests() -> None:
    """The slowest first."""
    assert trace_query(parse("/traces", "")).search == SpanSearch(scope="roots")
    assert trace_query(parse("/traces", "?service=pay")).search == SpanSearch(scope="served", service="pay")
    assert trace_query(parse("/traces", "")).order == "slowest"


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("?min=fast", "min: 'fast' is no duration; write 250ms, 1.5s or 2min"),
        ("?min=2s&max=1s", "min must be less than max; max is left out"),
        ("?attr=%3Dx", "attributes: cannot read '=x'"),
        ("?attr=a%3D", "a= has no value"),
        ("?attr=a%3E%3Dmany", "a>= compares numbers, and 'many' is none"),
        ("?attr=a%3E%3Dnan", "a>= compares numbers, and 'nan' is none"),
        ("?attr=a%3D%22b", "cannot read"),
        ("?attr=" + "+".join(f"k{i}%3Dv" for i in range(9)), "at most 8 conditions are read, not 9"),
    ],
)
def test_what_cannot_be_read_is_left_out_and_named(address: str, words: str) -> None:
    """The rest of the address still counts."""
    query = trace_query(parse("/traces", f"{address}&service=pay"))
    assert words in " ".join(query.problems)
    assert (query.search.service, query.search.attributes, query.search.most_ms) == ("pay", (), None)


def test_conditions_are_read_with_each_operator() -> None:
    """A key alone and `=*` mean that the attribute is there."""
    read = attribute_conditions('a=1 b!=x c>=5 d<2 e f=* g="two words" h="say \\"hi\\""')
    assert [(one.key, one.operator, one.value) for one in read] == [
        ("a", "=", "1"), ("b", "!=", "x"), ("c", ">=", "5"), ("d", "<", "2"), ("e", "exists", ""), ("f", "exists", ""),
        ("g", "=", "two words"), ("h", "=", 'say "hi"'),
    ]  # fmt: skip


@given(st.text(min_size=1))
def test_any_value_can_be_written_as_a_condition(value: str) -> None:
    """A link from an attribute finds that attribute."""
    assert attribute_conditions(condition_text("key", value)) == (AttributeCondition(key="key", value=value),)


@given(st.text(max_size=80))
def test_any_text_is_conditions_or_refused(text: str) -> None:
    """Never a traceback."""
    with contextlib.suppress(ValueError):
        assert all(condition.key for condition in attribute_conditions(text))


@pytest.mark.parametrize(("text", "ms"), [("250", 250), ("1.5s", 1500), ("2 min", 120_000), ("500us", 0.5), ("", None)])
def test_a_duration_has_a_unit_or_is_in_milliseconds(text: str, ms: float | None) -> None:
    """An empty one is none."""
    assert duration_ms(text) == ms


def test_an_endless_duration_is_cut() -> None:
    """A year is enough."""
    bound = duration_ms("9" * 400 + "h")
    assert bound is not None
    assert math.isfinite(bound)
