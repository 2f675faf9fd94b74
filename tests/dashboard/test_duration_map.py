"""The map of durations: cells at their place, failures marked, and a time and a band for every cell."""

from __future__ import annotations

from datetime import timedelta

from dashboard.figures.duration_map import band_words, duration_figure
from dashboard.reads.trace_search import Cell, step_for
from dashboard.viewer import Viewer
from tests.dashboard.values import NOW
from watchkeeper.store.span_search import BANDS
from watchkeeper.vocabulary import Window

WINDOW = Window(start=NOW - timedelta(minutes=10), end=NOW)


def cell(minute: int, band: int, spans: int, failed: int = 0) -> Cell:
    """Spans of one minute and one band."""
    return Cell(start=WINDOW.start + timedelta(minutes=minute), band=band, spans=spans, failed=failed)


def test_a_cell_stands_at_its_time_and_duration(reader: Viewer) -> None:
    """Its centre is the middle of its step and of its band; its words name both counts."""
    figure = duration_figure([cell(3, 2 * BANDS, 40, failed=10), cell(9, 0, 1)], WINDOW, 60, reader)
    heat, crosses = figure["data"]
    assert len(heat["x"]) == 10
    assert heat["x"][3] == reader.local(WINDOW.start + timedelta(seconds=210))
    row = heat["y"].index(2 + 0.5 / BANDS)
    assert heat["z"][row][3] > heat["z"][heat["y"].index(0.5 / BANDS)][9] > 0
    assert heat["text"][row][3] == "100 ms to 133 ms: 40 spans, 10 failed"
    assert (crosses["x"], crosses["y"]) == ([heat["x"][3]], [2 + 0.5 / BANDS])


def test_one_span_leaves_room_to_select_around_it(reader: Viewer) -> None:
    """The axis holds at least a power of ten."""
    figure = duration_figure([cell(0, 5, 1)], WINDOW, 60, reader)
    low, high = figure["layout"]["yaxis"]["range"]
    assert high - low >= 1
    assert duration_figure([], WINDOW, 60, reader)["data"][0]["z"]


def test_a_cell_outside_the_window_is_left_out(reader: Viewer) -> None:
    """A window that ends within a step does not fail for the span that came later."""
    figure = duration_figure([cell(10, 5, 1), cell(-1, 5, 1)], WINDOW, 60, reader)
    assert all(z is None for row in figure["data"][0]["z"] for z in row)


def test_bands_are_written_with_their_bounds() -> None:
    """As a reader writes a duration."""
    assert band_words(0, BANDS) == "1.0 ms to 10 ms"
    assert band_words(3 * BANDS, BANDS // 2) == "1 s to 3.16 s"


def test_a_map_has_at_most_sixty_columns() -> None:
    """From five minutes to a month."""
    for seconds in (300, 1800, 86_400, 31 * 86_400):
        window = Window.last(seconds, until=NOW)
        assert window.seconds / step_for(window) <= 63
