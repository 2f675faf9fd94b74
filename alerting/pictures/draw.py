"""Draws one plot: JSON of a `Plot` on standard input, a PNG on standard output. It runs in a process of its own.

The drawing library takes a hundred megabytes and a second or two, which the role that pages must not spend. A light
card with its own background is as legible on Slack's dark theme as on its light one.
"""

from __future__ import annotations

import io
import os
import resource
import sys
from dataclasses import replace
from typing import Final

from alerting.pictures import fonts
from alerting.pictures.plot import Plot
from watchkeeper.child_process import end_with_parent
from watchkeeper.state.codec import parse
from watchkeeper.text import one_line, prose
from watchkeeper.vocabulary import utc

MEMORY: Final = 2 << 30  # bytes of addresses
CPU_S: Final = 20
SIZE_IN: Final = (8.0, 3.8)
DPI: Final = 150
LEFT: Final = 0.1  # where the axes and every text begin, as a share of the width
TICK_S: Final = 300
SHORT_UNIT: Final = 3  # characters of a unit that stands with each number
INK, FAINT, LINE, BAND, ONSET = "#1d2733", "#5b6673", "#0b5cad", "#cfe3d4", "#b3261e"


def main() -> None:
    """Draw what is asked for on standard input."""
    end_with_parent()
    os.nice(10)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    sys.stdout.buffer.write(png(parse(Plot, sys.stdin.read())))


def png(plot: Plot) -> bytes:
    """The picture of a plot."""
    from matplotlib import rc_context

    families = fonts.installed()
    # Foreign text is text: one line, and no boxes for what no font has.
    unit = fonts.legible(one_line(plot.unit, 24), families) if plot.unit else ""
    legible = replace(
        plot,
        title=fonts.legible(one_line(plot.title, 80), families, "bold"),
        sentence=fonts.legible(prose(plot.sentence, 100), families),
        unit="" if fonts.LEFT_OUT in unit else unit,
    )
    with rc_context({"font.family": families}):
        return _drawn(legible)


def _drawn(plot: Plot) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    figure = Figure(figsize=SIZE_IN, dpi=DPI, facecolor="#ffffff")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((LEFT, 0.26, 0.985 - LEFT, 0.56))
    first, onset = plot.start.timestamp(), plot.onset.timestamp()
    times = [first + plot.step_s * number for number in range(len(plot.values))]
    values = [float("nan") if value is None else value for value in plot.values]
    if plot.usual:
        low, high = plot.usual
        axes.axhspan(
            low, high, color=BAND, lw=0, label=f"usual: {_number(low, plot.unit)} to {_number(high, plot.unit)}"
        )
    axes.plot(times, values, color=LINE, linewidth=2.2, marker=".", markersize=4, label="measured")
    if times[0] <= onset <= times[-1] + plot.step_s:
        axes.axvline(onset, color=ONSET, linewidth=1.6, linestyle="--", label=f"onset {plot.onset:%H:%M:%S}")
    known = [value for value in plot.values if value is not None]
    if known and min(known) >= 0:
        axes.set_ylim(bottom=0, top=max([*known, plot.usual[1] if plot.usual else 0.0]) * 1.12 or 1.0)
    marks = range(-(-int(first) // TICK_S) * TICK_S, int(times[-1]) + 1, TICK_S)
    axes.set_xticks(list(marks), [f"{utc(mark):%H:%M}" for mark in marks])
    axes.margins(x=0.01)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _number(value, plot.unit)))
    if plot.unit != "ratio" and len(plot.unit) > SHORT_UNIT:
        axes.set_ylabel(plot.unit, color=FAINT)
    axes.set_xlabel("time of day, UTC", color=FAINT)
    axes.grid(axis="y", color="#e3e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#aab3bd")
    axes.tick_params(colors=FAINT, labelsize=10)
    title = figure.text(LEFT, 0.93, plot.title, fontsize=13, color=INK, fontweight="bold")
    sentence = figure.text(LEFT, 0.855, plot.sentence, fontsize=10, color=FAINT)
    # A dollar is a dollar: foreign text is no formula.
    for text in (title, sentence, axes.yaxis.label):
        text.set_parse_math(False)
    figure.legend(
        loc="lower left", bbox_to_anchor=(LEFT - 0.012, 0.0), ncols=3, frameon=False, fontsize=10, labelcolor=INK
    )
    picture = io.BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": "Watchkeeper"})
    return picture.getvalue()


def _number(value: float, unit: str) -> str:
    """A value with its unit, short: `31 %`, `1,240 ms`, `0.4 /s`."""
    if unit == "ratio":
        return f"{value * 100:.3g} %"
    shown = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{shown} {one_line(unit, SHORT_UNIT)}" if 0 < len(unit) <= SHORT_UNIT else shown


if __name__ == "__main__":
    main()
