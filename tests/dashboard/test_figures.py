"""Figures: valid for plotly, in the reader's zone, and readable without colour."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import get_args
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import numpy as np
import plotly.graph_objects as go
import pytest

from dashboard.figures.evidence import Signal, evidence_figure
from dashboard.figures.handoffs import Shift, handoff_figure
from dashboard.figures.log_histogram import histogram_figure
from dashboard.figures.marks import Kind, Moment, marked_words
from dashboard.figures.red import red_figure
from dashboard.figures.sparkline import PAD, sparkline
from dashboard.figures.topology import Call, topology
from dashboard.palette import DARK, LIGHT, Palette
from dashboard.reads.health import Health
from dashboard.reads.series import RedSeries
from dashboard.viewer import Viewer
from watchkeeper.vocabulary import Window

START = datetime(2026, 3, 1, 2, 50, tzinfo=UTC)


def series(calls: list[float], errors: list[float]) -> RedSeries:
    """Ten-second buckets."""
    latency = np.where(np.array(calls) > 0, 40.0, np.nan)
    return RedSeries(
        service="cart",
        start=START,
        step_s=10,
        calls=np.array(calls, dtype=float),
        errors=np.array(errors, dtype=float),
        p50_ms=latency,
        p95_ms=latency,
    )


def call(caller: str, callee: str, **changes: object) -> Call:
    values: dict[str, object] = {"per_second": 3.0, "error_ratio": 0.0, "mean_ms": 4.0, "instrumented": True}
    return Call(caller=caller, callee=callee, **(values | changes))  # type: ignore[arg-type]


def well(*names: str) -> dict[str, Health]:
    return {name: Health(service=name, state="ok", reason="") for name in names}


def test_red_is_a_valid_figure_in_the_readers_own_time(reader: Viewer) -> None:
    """Plotly accepts it, and its axis shows Stockholm's wall clock."""
    figure = red_figure(
        series([10, 0, 20], [1, 0, 0]), reader, [Moment(at=START + timedelta(seconds=12), text="onset")]
    )
    go.Figure(figure)
    assert figure["data"][0]["x"][0] == "2026-03-01 03:50:00"
    assert figure["data"][1]["y"] == [0.1, None, 0.0]
    assert [a["text"] for a in figure["layout"]["annotations"]] == ["onset"]


def test_moments_outside_the_plot_are_left_out(reader: Viewer) -> None:
    """A deploy of yesterday does not stretch today's axis."""
    figure = red_figure(
        series([1, 2], [0, 0]), reader, [Moment(at=START - timedelta(days=1), text="deploy", kind="change")]
    )
    assert figure["layout"]["shapes"] == []


def test_words_of_moments_close_together_stand_in_rows(reader: Viewer) -> None:
    """Deploy, onset and page within seconds of each other stay readable."""
    at = [START + timedelta(seconds=s) for s in (10, 11, 12)]
    marks = [Moment(at=t, text=word) for t, word in zip(at, ("deploy", "onset", "paged"), strict=True)]
    figure = red_figure(series([1.0] * 90, [0.0] * 90), reader, marks)
    assert [a["yshift"] for a in figure["layout"]["annotations"]] == [0, -13, -26]


def onsets(*seconds: float) -> list[Moment]:
    return [
        Moment(at=START + timedelta(seconds=s), text=f"depot-{n} onset", plural="onsets") for n, s in enumerate(seconds)
    ]


def test_near_onsets_have_one_line_with_their_number(reader: Viewer) -> None:
    """Ten at one time are `10 onsets`, named on hover and in the sentence; one far from them keeps its own words."""
    figure = red_figure(series([1.0] * 90, [0.0] * 90), reader, onsets(*range(100, 110), 300))
    go.Figure(figure)
    first, second = figure["layout"]["annotations"]
    assert (first["text"], second["text"]) == ("10 onsets", "depot-10 onset")
    assert first["x"] == reader.local(START + timedelta(seconds=100))
    assert "03:51:40 depot-0 onset<br>03:51:41 depot-1 onset" in first["hovertext"]
    assert len([shape for shape in figure["layout"]["shapes"] if shape["type"] == "line"]) == 2
    (shade,) = (shape for shape in figure["layout"]["shapes"] if shape["type"] == "rect")
    assert shade["x1"] == reader.local(START + timedelta(seconds=109))
    words = marked_words(figure)
    assert "10 onsets (03:51:40 depot-0 onset, " in words
    assert words.endswith("03:55:00 depot-10 onset.")


@pytest.mark.parametrize("narrow", [False, True])
def test_words_of_many_marks_never_cover_the_plot(reader: Viewer, narrow: bool) -> None:
    """A hundred onsets all over the axis take three rows of words at most, and none is lost from the numbers."""
    figure = red_figure(
        series([1.0] * 90, [0.0] * 90), replace(reader, narrow=narrow), onsets(*(9.0 * n for n in range(100)))
    )
    marks = figure["layout"]["annotations"]
    assert min(one["yshift"] for one in marks) >= -2 * 13
    assert sum(int(one["text"].split()[0]) for one in marks) == 100
    assert "and " in marks[0]["hovertext"]


def test_what_happens_once_is_never_grouped(reader: Viewer) -> None:
    """A change and the page after it are two lines, near or not; a hostile name stays text in the sentence."""
    at = START + timedelta(seconds=100)
    marks = [
        Moment(at=at, text="<b>deploy</b>", kind="change", plural="changes"),
        Moment(at=at, text="paged", kind="page"),
    ]
    figure = red_figure(series([1.0] * 90, [0.0] * 90), reader, marks)
    assert [one["text"] for one in figure["layout"]["annotations"]] == ["&lt;b&gt;deploy&lt;/b&gt;", "paged"]
    assert marked_words(figure) == " Marked: 03:51:40 <b>deploy</b>; 03:51:40 paged."


def test_evidence_shows_what_was_expected(reader: Viewer) -> None:
    """The expected value is a dashed line with its word, not only a colour."""
    signal = Signal(
        title="cart: p95", unit="ms", start=START, step_s=5, values=np.array([4.0, np.nan, 900.0]), expected=4.0
    )
    figure = evidence_figure(signal, reader, [])
    go.Figure(figure)
    assert figure["layout"]["shapes"][0]["line"]["dash"] == "dash"
    assert figure["layout"]["annotations"][0]["text"] == "expected"


def test_handoffs_are_cut_to_the_plot_and_gaps_name_nobody(reader: Viewer) -> None:
    """A shift that began last week starts at the axis; a gap has words and a pattern."""
    end = START + timedelta(days=2)
    shifts = [
        Shift(schedule="primary", person="Ana", start=START - timedelta(days=5), end=START + timedelta(days=1)),
        Shift(schedule="primary", person=None, start=START + timedelta(days=1), end=end, source="gap"),
    ]
    figure = handoff_figure(shifts, reader, START, end)
    go.Figure(figure)
    assert figure["data"][0]["base"] == [reader.local(START)]
    assert figure["data"][1]["text"] == "nobody"
    assert figure["data"][1]["marker"]["pattern"]["shape"] == "x"


def test_a_sparkline_is_well_formed_and_breaks_at_gaps() -> None:
    """Two runs of values are two lines; one value alone is a dot; nothing at all is still an image."""
    source = sparkline(np.array([1.0, 2.0, np.nan, 3.0, 4.0, np.nan, 5.0]), "#0b6b74")
    svg = unquote(source.removeprefix("data:image/svg+xml,"))
    root = ET.fromstring(svg)
    names = [element.tag.rpartition("}")[2] for element in root.iter()]
    assert names.count("polyline") == 2
    assert names.count("circle") == 1
    ET.fromstring(unquote(sparkline(np.full(4, np.nan), "#0b6b74").removeprefix("data:image/svg+xml,")))


def test_a_sparkline_of_many_values_stays_small_and_keeps_its_peak() -> None:
    """A day of values is drawn with a point each three pixels; one bucket of trouble in it is still to be seen."""
    calm = sparkline(np.full(10_000, 1.0), "#0b6b74", least_top=50.0)
    trouble = np.full(10_000, 1.0)
    trouble[7_777] = 50.0
    assert len(calm) < 2_000
    peak = f",{PAD:.1f}"
    assert peak in unquote(sparkline(trouble, "#0b6b74"))
    assert peak not in unquote(calm)
    assert "NaN" not in calm
    assert "inf" not in sparkline(np.append(trouble, np.nan), "#0b6b74")


def test_a_tiny_value_does_not_look_like_trouble() -> None:
    """The scale reaches at least what counts as trouble."""
    low = sparkline(np.array([0.0, 0.001]), "#000000", least_top=0.05)
    assert ",24.6" in unquote(low)


def test_callers_stand_left_of_what_they_call() -> None:
    """The map reads from users to databases, and every service of the table is on it."""
    elements = topology(
        [call("web", "cart"), call("cart", "db", instrumented=False)], well("web", "cart", "idle"), LIGHT
    )
    x = {e["data"]["id"]: e["position"]["x"] for e in elements if "position" in e}
    assert x["web"] < x["cart"] < x["db"]
    assert "idle" in x


def test_a_cycle_of_calls_still_gets_a_place() -> None:
    """Services that call each other do not hang the layout."""
    elements = topology([call("a", "b"), call("b", "c"), call("c", "a")], well("a", "b", "c"), LIGHT)
    places = {(e["position"]["x"], e["position"]["y"]) for e in elements if "position" in e}
    assert len(places) == 3


def test_the_map_shows_states_by_word_and_shape() -> None:
    """A failing service is a diamond with its state; an uninstrumented one is dashed and labelled."""
    health = well("web") | {"cart": Health(service="cart", state="failing", reason="", suspected=0.82)}
    elements = topology([call("web", "cart", error_ratio=0.4), call("cart", "db", instrumented=False)], health, DARK)
    data = {e["data"]["id"]: e["data"] for e in elements}
    assert data["cart"]["shape"] == "diamond"
    assert data["cart"]["label"] == "cart\n◆ failing\nsuspected cause 82 %"
    assert data["db"]["label"] == "db\nnot instrumented"
    assert data["web→cart"]["short"] == "✕ 40 %"


def test_a_narrow_screen_gets_callers_above_callees() -> None:
    """On a phone the map runs downwards."""
    elements = topology([call("web", "cart")], well("web", "cart"), LIGHT, downward=True)
    y = {e["data"]["id"]: e["position"]["y"] for e in elements if "position" in e}
    assert y["web"] < y["cart"]


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_text_colours_have_enough_contrast(palette: Palette) -> None:
    """Every colour that text is drawn in reaches 4.5 to 1 on the surface (WCAG 2.2, 1.4.3)."""
    for name in (
        "text",
        "muted",
        "accent",
        "ok",
        "degraded",
        "failing",
        "silent",
        "unknown",
        "rate",
        "errors",
        "latency",
    ):
        assert _contrast(getattr(palette, name), palette.surface) >= 4.5, name


def test_the_line_of_a_mark_has_an_edge_over_bars_alone(reader: Viewer) -> None:
    """It is lost on a bar of its own colour; through a curve, an edge would hide where that jumps."""
    window, moment = Window(start=START, end=START + timedelta(minutes=1)), Moment(at=START, text="onset")
    bars = histogram_figure({"error": {START: 3}}, window, 15, reader, [moment])
    edge, line = bars["layout"]["shapes"]
    assert (edge["x0"], edge["x1"]) == (line["x0"], line["x1"])
    assert edge["line"]["width"] > line["line"]["width"]
    assert line["line"]["color"] == reader.palette.failing
    assert len(red_figure(series([10] * 6, [0] * 6), reader, [moment])["layout"]["shapes"]) == 1


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_the_words_of_a_mark_have_their_contrast_over_any_bar(reader: Viewer, palette: Palette) -> None:
    """What lies behind shines through their background a little; the words themselves do not fade."""
    kinds = get_args(Kind)
    moments = [Moment(at=START + timedelta(seconds=5 * i), text=kind, kind=kind) for i, kind in enumerate(kinds)]
    figure = red_figure(series([10] * 6, [0] * 6), replace(reader, palette=palette), moments)
    words = figure["layout"]["annotations"]
    assert [one["text"] for one in words] == list(kinds)
    for one in words:
        assert "opacity" not in one
        *background, alpha = one["bgcolor"].removeprefix("rgba(").removesuffix(")").split(",")
        for name in ("surface", "errors", "degraded", "rate", "silent", "unknown", "latency", "latency_soft", "line"):
            bar = getattr(palette, name)
            mixed = [
                round(float(alpha) * int(over) + (1 - float(alpha)) * int(bar[i : i + 2], 16))
                for over, i in zip(background, (1, 3, 5), strict=True)
            ]
            seen = "#" + "".join(f"{part:02x}" for part in mixed)
            assert _contrast(one["font"]["color"], seen) >= 4.5, (one["text"], name)


def _contrast(first: str, second: str) -> float:
    light, dark = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
