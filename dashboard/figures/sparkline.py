"""A sparkline as a small SVG image: no script, no layout, a few hundred bytes."""

from __future__ import annotations

from urllib.parse import quote

import numpy as np

from dashboard.palette import Palette
from dashboard.reads.series import Floats, RedSeries

WIDTH, HEIGHT, PAD = 132, 28, 3.0
MOST = 42  # points: three pixels each


def sparkline(values: Floats, colour: str, *, floor: float = 0.0, least_top: float = 0.0) -> str:
    """A line over `values`, shape (n,), as a data URI for an image of 132 by 28 pixels.

    The scale starts at `floor` and reaches the largest value, at least `least_top`, so that a flat, tiny
    value does not look like trouble. NaN leaves a gap. Of values closer than three pixels the largest is drawn.
    """
    values = _largest(values)
    n = len(values)
    finite = np.isfinite(values)
    top = max(float(np.max(values[finite])) if finite.any() else 0.0, least_top, floor + 1e-9)
    x = np.linspace(PAD, WIDTH - PAD, n) if n > 1 else np.array([WIDTH / 2])
    y = HEIGHT - PAD - (np.clip(values, floor, top) - floor) / (top - floor) * (HEIGHT - 2 * PAD)
    lines: list[str] = []
    areas: list[str] = []
    for run in _runs(finite):
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x[run], y[run], strict=True))
        if run.stop - run.start == 1:
            lines.append(f"<circle cx='{x[run][0]:.1f}' cy='{y[run][0]:.1f}' r='1' fill='{colour}'/>")
            continue
        lines.append(f"<polyline points='{points}'/>")
        areas.append(f"<polygon points='{x[run][0]:.1f},{HEIGHT} {points} {x[run][-1]:.1f},{HEIGHT}'/>")
    base = f"<path d='M0 {HEIGHT - 0.5}H{WIDTH}' stroke='{colour}' stroke-opacity='.25'/>"
    svg = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' width='{WIDTH}' height='{HEIGHT}'>"
        f"{base}<g fill='{colour}' fill-opacity='.14'>{''.join(areas)}</g>"
        f"<g fill='none' stroke='{colour}' stroke-width='1.4' stroke-linejoin='round'>{''.join(lines)}</g></svg>"
    )
    return "data:image/svg+xml," + quote(svg, safe=" '/=:,;<>()")


def red_lines(series: RedSeries, palette: Palette) -> tuple[str, str, str]:
    """The sparklines of a service: requests, failures and p95 latency."""
    return (
        sparkline(series.rate, palette.rate),
        sparkline(series.error_ratio, palette.errors, least_top=0.05),
        sparkline(series.p95_ms, palette.latency),
    )


def _largest(values: Floats) -> Floats:
    """At most `MOST` values: the largest of each stretch, NaN where all of it is."""
    per = -(-len(values) // MOST) if len(values) else 1
    filled = np.concatenate([values, np.full(-len(values) % per, np.nan)]).reshape(-1, per)
    return np.where(np.isnan(filled).all(axis=1), np.nan, np.nanmax(np.nan_to_num(filled, nan=-np.inf), axis=1))


def _runs(finite: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[slice]:
    """The stretches of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], finite, [False])).astype(np.int8)))
    return [slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
