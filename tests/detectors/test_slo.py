"""Error budgets: exact sums, several windows, and nothing said that was not measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seeing import seen

from detectors.detector import Setup
from detectors.slo.burn import SloBurn
from detectors.slo.openslo import Slo, read
from watchkeeper.errors import ConfigError
from watchkeeper.vocabulary import Finding, utc

NOW = 1_800_000_000 - 1_800_000_000 % 60
MONTH = 30 * 86400
SLO = Slo(name="checkout", title="Checkout", service="orders", operation="", target=0.999, window_s=MONTH)

FILE = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: checkout, displayName: Checkout works}
spec:
  service: orders
  budgetingMethod: Occurrences
  timeWindow: [{duration: 4w, isRolling: true}]
  indicator:
    metadata: {name: orders}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: watchkeeper, spec: {service: orders, operation: POST /orders, signal: successes}}}
        total: {metricSource: {type: watchkeeper, spec: {service: orders, operation: POST /orders, signal: calls}}}
  objectives: [{target: 0.995}]
"""


def burn(bad_by_minute: dict[range, float], *, total: float = 100.0, minutes: int = MONTH // 60) -> SloBurn:
    """A budget of which `bad_by_minute` failed; a range counts minutes back from now."""
    slo = SloBurn(Setup(objectives=(SLO,)))
    minute = NOW - 60 * np.arange(minutes)
    counts, bad = np.full(minutes, total), np.zeros(minutes)
    for span, value in bad_by_minute.items():
        bad[span.start : span.stop] = value
    slo.place("checkout", utc(NOW + 59), minute, counts - bad, counts)
    return slo


def judged(slo: SloBurn) -> list[Finding]:
    return slo.judge(seen(NOW + 59))


def test_an_untouched_budget_is_whole() -> None:
    """No bad event leaves exactly 100 %, and no finding."""
    slo = burn({})
    assert judged(slo) == []
    assert slo.budgets()[0].left == 1.0


def test_a_budget_is_exact() -> None:
    """Half of the allowed bad events leaves exactly half."""
    allowed = MONTH / 60 * 100 * 0.001
    slo = burn({range(20_000, 20_100): allowed / 200})
    judged(slo)
    assert slo.budgets()[0].left == pytest.approx(0.5, abs=1e-9)


def test_a_fast_burn_pages() -> None:
    """2 % failing for an hour is twenty times too fast: a page, with the time at which it began."""
    (finding,) = judged(burn({range(60): 2.0}))
    assert (finding.severity, finding.kind) == ("page", "slo")
    assert "1 h" in finding.summary
    assert finding.value == pytest.approx(20.0)
    assert finding.onset == utc(NOW - 59 * 60)


def test_both_windows_must_burn() -> None:
    """An hour that burnt, over for five minutes, wakes nobody; what is left is a ticket at most."""
    assert [f.severity for f in judged(burn({range(6, 66): 2.0}))] in ([], ["ticket"])


def test_a_slow_burn_is_a_ticket() -> None:
    """Four times too fast for a day and a half opens a ticket and wakes nobody."""
    (finding,) = judged(burn({range(2160): 0.4}))
    assert finding.severity == "ticket"


def test_a_lonely_failure_at_night_wakes_nobody() -> None:
    """Two failures of three requests are not ten."""
    assert judged(burn({range(2): 1.0}, total=1.5)) == []


def test_more_good_than_events_says_so_and_freezes() -> None:
    """Counts that cannot be are told as a ticket, and the budget stays at its last known value."""
    slo = burn({range(20_000, 20_010): 100.0})
    judged(slo)
    before = slo.budgets()[0].left
    slo.place("checkout", utc(NOW + 59), np.array([NOW]), np.array([200.0]), np.array([100.0]))
    (finding,) = judged(slo)
    assert (finding.severity, slo.budgets()[0].state, slo.budgets()[0].left) == ("ticket", "impossible", before)


def test_silence_is_not_health() -> None:
    """An objective without events for a quarter of an hour says so."""
    slo = burn({})
    (finding,) = slo.judge(seen(NOW + 3600))
    assert finding.detector == "slo.unmeasured"
    assert "no event was reported for 1 h" in finding.summary


def test_it_reads_openslo(tmp_path: Path) -> None:
    """A standard file becomes an objective; 4w is four weeks."""
    path = tmp_path / "slo.yaml"
    path.write_text(FILE)
    (slo,) = read([path])
    assert (slo.service, slo.operation, slo.target, slo.window_s) == ("orders", "POST /orders", 0.995, 28 * 86400)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("Occurrences", "Timeslices", "budgetingMethod"),
        ("isRolling: true", "isRolling: false", "rolling"),
        ("type: watchkeeper", "type: prometheus", "prometheus"),
        ("target: 0.995", "target: 1.5", "below 1"),
        ("4w", "4x", "4x"),
        ("signal: successes", "signal: calls", "signal"),
    ],
)
def test_what_it_cannot_do_is_an_error(tmp_path: Path, old: str, new: str, says: str) -> None:
    """Nothing that a file asks for is silently ignored."""
    path = tmp_path / "slo.yaml"
    path.write_text(FILE.replace(old, new))
    with pytest.raises(ConfigError, match=says):
        read([path])


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(-50, 5000), st.floats(0, 1e6), st.floats(-10, 1e6)), min_size=1, max_size=40)
)
def test_a_budget_is_never_above_whole_nor_wrong(rows: list[tuple[int, float, float]]) -> None:
    """Whatever is counted, with gaps, more good than events or minutes to come: a budget is exact or says it is not."""
    slo = SloBurn(Setup(objectives=(SLO,)))
    minute = np.array([NOW - 60 * back for back, *_ in rows])
    total = np.array([total for _, total, _ in rows])
    good = np.array([good for *_, good in rows])
    slo.place("checkout", utc(NOW + 59), minute, good, total)
    found = judged(slo)
    budget = slo.budgets()[0]
    assert budget.left <= 1.0
    if budget.state == "measured":
        assert 0 <= budget.good <= budget.total
        assert budget.left == pytest.approx(1 - (budget.total - budget.good) / (budget.total * 0.001), rel=1e-6)
    else:
        assert [finding.severity for finding in found] == ["ticket"]
        assert budget.reason
