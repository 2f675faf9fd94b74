"""The report as Markdown and as HTML: complete, and safe whatever a name holds."""

from __future__ import annotations

import re
from dataclasses import replace

from chaos.assessment import RETRY_AFTER, Assessment
from chaos.report import as_html, as_markdown, count_text, document, number_text
from chaos.resilience import resilience
from tests.chaos.test_coverage import NOW, POSSIBLE, WRONG, tried
from tests.chaos.test_resilience import phases, seen, traffic
from watchkeeper.intervals import Median, Rate, Share

HOSTILE = "<script>alert(1)</script> | [x](javascript:alert(1)) `a`\n# b"
FAILING = phases(traffic(10, errors=1))


def known(**changes: object) -> Assessment:
    tests = (tried("orders", "kill"), tried("cart", "hang", "missed"), tried("web", "kill", answer=WRONG))
    return replace(
        Assessment(known=tests, possible=frozenset(POSSIBLE), edges=(("web", "orders"),), now=NOW), **changes
    )  # type: ignore[arg-type]


def test_it_holds_everything_that_is_known() -> None:
    """Each part once, each number with its interval, and what could not be read."""
    shown = resilience([seen(FAILING, FAILING, FAILING)])
    text = as_markdown(document(known(gaps=("the store is away",)), shown, "callers are not known"))
    titles = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert titles == list(dict.fromkeys(titles))
    assert {"Summary", "Coverage", "Next experiments", "Trend", "By fault"} <= set(titles)
    assert "| Recall | 67 % (21 to 94) | 2 of 3 |" in text
    assert "Not complete: the store is away." in text
    assert "Not complete: callers are not known." in text
    assert "| single point of failure | payments |" in text
    assert "| cart | missed 0/1 | untested | untested |" in text


def test_a_name_is_only_a_name() -> None:
    """No tag, no link, no further column, no heading."""
    hostile = replace(known(), known=(tried(HOSTILE, HOSTILE),), possible=frozenset({(HOSTILE, HOSTILE)}))
    sections = document(hostile, resilience([]))
    page = as_html(sections)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    text = as_markdown(sections)
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1, table
    assert not re.search(r"(?<!\\)\[x", text)
    assert "\n# b" not in text


def test_numbers_are_written_with_their_bounds() -> None:
    """Percent, seconds and pages an hour; a dash where nothing was measured."""
    assert number_text(Share(right=9, count=10)) == "90 % (60 to 98)"
    assert number_text(Median.of([float(n) for n in range(1, 8)])) == "4.0 (1.0 to 7.0)"
    assert number_text(Rate(events=1, hours=2)) == "0.5 (0.0 to 2.8)"
    assert {number_text(empty) for empty in (Share.of(()), Median.of(()), Rate(events=0, hours=0))} == {"–"}
    assert (count_text(Rate(events=1, hours=0.5)), count_text(Rate(events=0, hours=2))) == ("1 in 30 min", "0 in 2.0 h")


def test_what_waits_for_its_outcome_or_had_no_effect_is_not_proposed_again() -> None:
    """It runs, is not settled, or had no effect today; tomorrow it may be tried again."""
    running = replace(tried("cart", "hang"), outcome=None)
    without = tried("cart", "kill", "no effect", days=0.5)
    here = known(
        known=(running, without), possible=frozenset({("cart", "hang"), ("cart", "kill"), ("cart", "latency")})
    )
    assert {one.cell.fault for one in here.next_experiments(9)} == {"latency"}
    later = replace(here, now=NOW + RETRY_AFTER)
    assert {one.cell.fault for one in later.next_experiments(9)} == {"latency", "kill"}
