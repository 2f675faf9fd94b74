"""One experiment on one time axis: what customers and the broken service saw, and what happened when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from chaos.scored import ScoredExperiment
from dashboard.figures.frame import MENU_PX, Figure, layout, numbers, time_axis, value_axis
from dashboard.figures.labels import plot_text
from dashboard.figures.marks import Moment, mark
from dashboard.reads.series import RedSeries
from dashboard.viewer import Viewer
from watchkeeper.vocabulary import Window

LONGEST = 60  # letters of a service's name
BEFORE, AFTER = timedelta(seconds=45), timedelta(seconds=60)


def moments_of(one: ScoredExperiment, now: datetime) -> list[Moment]:
    """What happened until now, in order."""
    truth = one.truth
    effect_at = truth.effect_at or truth.began
    marks = [Moment(at=truth.began, text="injected", kind="change")]
    if truth.effect_at:
        marks.append(Moment(at=truth.effect_at, text="effect", kind="onset"))
    paged_at = _after(effect_at, one.paged_s)
    later = (
        (_after(effect_at, one.detected_s), "detected", "page"),
        (paged_at, "paged", "page"),
        (_after(paged_at, one.acknowledged_s), "acknowledged", "ack"),
        (_after(effect_at, one.repaired_s), "repaired", "resolved"),
        (_after(truth.ended, one.cleared_s), "cleared", "resolved"),
    )
    marks += [Moment(at=at, text=text, kind=kind) for at, text, kind in later if at]  # type: ignore[arg-type]
    marks.append(Moment(at=truth.ended, text="ended", kind="change"))
    return sorted((moment for moment in marks if moment.at <= now), key=lambda moment: moment.at)


def _after(since: datetime | None, seconds: float | None) -> datetime | None:
    return since + timedelta(seconds=seconds) if since and seconds is not None else None


def window_of(one: ScoredExperiment, now: datetime) -> Window:
    """From a while before the fault to a while after all that came of it, or until now."""
    last = max((moment.at for moment in moments_of(one, now)), default=one.truth.began)
    start = one.truth.began - BEFORE
    return Window(start=start, end=max(min(now, max(last, one.truth.ended) + AFTER), start + BEFORE))


def experiment_figure(
    series: Mapping[str, RedSeries], names: Sequence[str], window: Window, viewer: Viewer, marks: Sequence[Moment]
) -> Figure:
    """Two plots with a shared x axis: failed share and p95 of `names`, the broken service first."""
    p = viewer.palette
    colours = (p.errors, p.rate, p.latency, p.silent)
    figure: Figure = {"data": [], "layout": layout(viewer, height=300)}
    for name, colour in zip(names, colours, strict=False):
        if name not in series:
            continue
        own, shown = series[name], plot_text(name, LONGEST)
        x = [viewer.local(at) for at in own.times]
        for values, axis, hover in (
            (numbers(own.error_ratio), "y", "%{y:.1%}"),
            (numbers(own.p95_ms), "y2", "%{y:,.0f} ms"),
        ):
            figure["data"].append(
                {
                    "type": "scatter", "mode": "lines", "x": x, "y": values, "name": shown, "xaxis": "x", "yaxis": axis,
                    "line": {"color": colour, "width": 1.6, "dash": "solid" if name == names[0] else "dot"},
                    "hovertemplate": f"{hover}<extra>{shown}</extra>", "showlegend": axis == "y",
                }
            )  # fmt: skip
    figure["layout"] |= {
        "showlegend": True,
        "legend": {"orientation": "h", "y": -0.16, "x": 0, "font": {"color": p.muted}},
        "margin": {"l": 48, "r": MENU_PX, "t": 10, "b": 44},
        "xaxis": time_axis(viewer, window.start, window.end) | {"anchor": "y2"},
        "yaxis": value_axis(p, title="failed", form=".0%")
        | {"domain": [0.56, 1.0], "range": [0, 1], "rangemode": "normal"},
        "yaxis2": value_axis(p, title="p95 ms") | {"domain": [0.0, 0.44]},
    }
    mark(figure, viewer, [moment for moment in marks if window.start <= moment.at <= window.end])
    return figure
