"""What sets an instance of a service apart, and what plots show of findings."""

from __future__ import annotations

from datetime import timedelta

from dashboard.components.service_instances import apart
from dashboard.figures.red import Band, red_figure
from dashboard.reads.traffic import Instance
from dashboard.viewer import Viewer
from tests.dashboard.test_figures import START, series
from tests.dashboard.values import NOW


def instance(name: str, *, calls: int = 200, failed: float = 0.0, p95_ms: float = 40.0) -> Instance:
    return Instance(
        name=name, version="1", calls=calls, error_ratio=failed, p50_ms=p95_ms / 2, p95_ms=p95_ms, first=NOW, last=NOW
    )


def test_an_instance_that_fails_or_is_slow_alone_is_named() -> None:
    """Compared with the median of the others: what all of them do sets none apart."""
    well = [instance(f"i-{number}") for number in range(3)]
    bad = instance("i-bad", failed=0.3, p95_ms=400.0)
    assert apart(bad, [*well, bad]) == ("fails more", "slower")
    assert [apart(one, [*well, bad]) for one in well] == [(), (), ()]
    every = [instance(f"i-{number}", failed=0.3) for number in range(3)]
    assert [apart(one, every) for one in every] == [(), (), ()]


def test_few_requests_or_no_other_instance_say_nothing() -> None:
    """One failure of two requests is no finding, and one instance has nobody to be compared with."""
    rare = instance("i-rare", calls=2, failed=0.5)
    assert apart(rare, [instance("i-0"), rare]) == ()
    alone = instance("only", failed=1.0)
    assert apart(alone, [alone, rare]) == ()


def test_a_finding_is_shaded_within_the_plot_and_darker_for_a_higher_score(reader: Viewer) -> None:
    """Cut to the series' time; one that was over before is not drawn."""
    bands = [
        Band(start=START - timedelta(hours=1), end=START + timedelta(seconds=10), score=0.4),
        Band(start=START + timedelta(seconds=20), end=START + timedelta(hours=1), score=0.9),
        Band(start=START - timedelta(hours=2), end=START - timedelta(hours=1), score=1.0),
    ]
    shapes = red_figure(series([10, 10, 10], [0, 0, 0]), reader, bands=bands)["layout"]["shapes"]
    assert [(shape["x0"], shape["x1"]) for shape in shapes] == [
        ("2026-03-01 03:50:00", "2026-03-01 03:50:10"),
        ("2026-03-01 03:50:20", "2026-03-01 03:50:30"),
    ]
    assert shapes[0]["opacity"] < shapes[1]["opacity"]
    assert {shape["layer"] for shape in shapes} == {"below"}
