"""The marks for moments on a plot over time: a line each, and near ones together as one line with their number."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from dashboard.components.wording import clock_text
from dashboard.figures.frame import Figure
from dashboard.figures.labels import plot_text
from dashboard.palette import translucent
from dashboard.viewer import Viewer

Kind = Literal["onset", "change", "page", "ack", "resolved"]
MARK: Final = "mark"  # the name of a mark's annotation
LONGEST_WORDS: Final = 40
LONGEST_NAME: Final = 60
MOST_NAMED: Final = 12  # of a group, on hover and in the sentence
MOST_ROWS: Final = 3  # of words
ROW_PX: Final = 13
EDGE_PX: Final = 3.6
COVERED: Final = 0.9  # of what lies behind the words: a line can be followed, and the words have their contrast
SAME: Final = 0.004  # of the axis: two lines that no eye tells apart
# How near moments of one kind are, as shares of the axis, to be one group: the first with which the words fit.
NEAR: Final = (0.03, 0.06, 0.12, 0.25, 0.5)
# Of the axis, for one letter: a plot is about 400 pixels wide, and a phone's about 300.
WORD_SHARE: Final = 0.017
WORD_SHARE_NARROW: Final = 0.022


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Something that happened at one time, drawn as a vertical line with its words at the top.

    `plural` is what several of these are called, such as `onsets`; without it, this one has a line of its own always.
    """

    at: datetime
    text: str
    kind: Kind = "onset"
    plural: str = ""


@dataclass(frozen=True, slots=True)
class _Group:
    """One moment, or several of one kind, sorted by time; each with its place as a share of the axis."""

    moments: Sequence[tuple[float, Moment]]

    @property
    def kind(self) -> Kind:
        return self.moments[0][1].kind

    @property
    def begin(self) -> float:
        return self.moments[0][0]

    @property
    def end(self) -> float:
        return self.moments[-1][0]

    @property
    def words(self) -> str:
        """What stands at the line: the moment's own words, or how many there are."""
        if len(self.moments) == 1:
            return plot_text(self.moments[0][1].text, LONGEST_WORDS)
        return f"{len(self.moments)} {self.moments[0][1].plural}"

    def names(self, viewer: Viewer) -> str:
        """Each with its time, one a line."""
        lines = [
            f"{clock_text(moment.at, viewer.zone, viewer.now)} {plot_text(moment.text, LONGEST_NAME)}"
            for _, moment in self.moments[:MOST_NAMED]
        ]
        more = len(self.moments) - len(lines)
        return "<br>".join([*lines, f"and {more} more"] if more else lines)


@dataclass(frozen=True, slots=True)
class _Label:
    """Where a group's words stand: the row from above, and whether they reach to the left of the line."""

    group: _Group
    row: int
    leftward: bool


def mark(figure: Figure, viewer: Viewer, moments: Sequence[Moment]) -> None:
    """Draw vertical lines through the whole figure, each with its words; neighbours' words stand in lower rows.

    Moments of one kind that are near one another have one line, with their number and, on hover, their names; where
    they spread, a shade reaches to the last. Moments outside the x axis are left out.
    """
    p = viewer.palette
    colours = {"onset": p.failing, "change": p.degraded, "page": p.accent, "ack": p.accent, "resolved": p.ok}
    place = {"xref": "x", "yref": "paper"}
    full = {**place, "y0": 0, "y1": 1}
    # On a bar of its own colour a line is lost without an edge; one through a curve would hide where that jumps.
    has_bars = any(trace["type"] == "bar" for trace in figure["data"])
    edges = [{"color": translucent(p.surface, COVERED), "width": EDGE_PX}] if has_bars else []
    for label in _labels(_placed(figure, viewer, moments), viewer):
        group, colour = label.group, colours[label.group.kind]
        first, last = (viewer.local(group.moments[i][1].at) for i in (0, -1))
        line = {"color": colour, "width": 1.2, "dash": "solid" if group.kind == "onset" else "dot"}
        if group.end - group.begin > SAME:
            shade = {"fillcolor": colour, "opacity": 0.1, "line": {"width": 0}, "layer": "below"}
            figure["layout"]["shapes"].append({"type": "rect", **full, "x0": first, "x1": last, **shade})
        for stroke in (*edges, line):
            figure["layout"]["shapes"].append(
                {"type": "line", **full, "x0": first, "x1": first, "line": stroke, "layer": "above"}
            )
        figure["layout"]["annotations"].append(
            {
                **place,
                "name": MARK,
                "x": first,
                "y": 1,
                "text": group.words,
                "hovertext": group.names(viewer),
                "showarrow": False,
                "xanchor": "right" if label.leftward else "left",
                "yanchor": "top",
                "xshift": -3 if label.leftward else 3,
                "yshift": -ROW_PX * label.row,
                "font": {"size": 10, "color": colour},
                # Not the opacity of the whole, which would fade the words, too.
                "bgcolor": translucent(p.surface, COVERED),
            }
        )


def marked_words(figure: Figure) -> str:
    """The marks of a figure as a sentence, for who cannot see them; empty without any."""
    marks = [one for one in figure["layout"].get("annotations", ()) if one.get("name") == MARK]
    return f" Marked: {'; '.join(_spelled(one) for one in marks)}." if marks else ""


def _spelled(annotation: dict[str, Any]) -> str:
    names = html.unescape(annotation["hovertext"]).split("<br>")
    return names[0] if len(names) == 1 else f"{annotation['text']} ({', '.join(names)})"


def _placed(figure: Figure, viewer: Viewer, moments: Sequence[Moment]) -> Sequence[tuple[float, Moment]]:
    """The moments on the axis, which may show a part of the figure's time, with their place as a share of it."""
    first, last = (datetime.fromisoformat(end) for end in figure["layout"]["xaxis"]["range"])
    span = (last - first).total_seconds()
    places = [
        ((datetime.fromisoformat(viewer.local(moment.at)) - first).total_seconds() / span, moment) for moment in moments
    ]
    return sorted((one for one in places if 0 <= one[0] <= 1), key=lambda one: one[1].at)


def _labels(places: Sequence[tuple[float, Moment]], viewer: Viewer) -> Sequence[_Label]:
    """Groups with the place of their words, in as few groups as it takes for the words to fit."""
    labels: Sequence[_Label] = ()
    for near in NEAR:
        labels = _rows(_grouped(places, near), WORD_SHARE_NARROW if viewer.narrow else WORD_SHARE)
        if all(label.row < MOST_ROWS for label in labels):
            break
    return labels


def _grouped(places: Sequence[tuple[float, Moment]], near: float) -> Sequence[_Group]:
    """Moments of one plural within `near` of the first of their group."""
    groups: list[list[tuple[float, Moment]]] = []
    current: dict[str, list[tuple[float, Moment]]] = {}
    for place, moment in places:
        members = current.get(moment.plural) if moment.plural else None
        if members and place - members[0][0] <= near:
            members.append((place, moment))
            continue
        groups.append([(place, moment)])
        current[moment.plural] = groups[-1]
    return [_Group(members) for members in groups]


def _rows(groups: Sequence[_Group], letter: float) -> Sequence[_Label]:
    """The highest row in which each group's words have room."""
    labels = []
    ends: list[float] = []  # how far each row of words reaches, as a share of the axis
    for group in groups:
        width = letter * len(group.words)
        leftward = group.begin + width > 1
        begin = group.begin - width if leftward else group.begin
        row = next((i for i, end in enumerate(ends) if end <= begin), len(ends))
        ends[row : row + 1] = [begin + width]
        labels.append(_Label(group, row, leftward))
    return labels
