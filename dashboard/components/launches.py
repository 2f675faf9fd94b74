"""Experiments that were started from this page and are not among the experiments: they begin, or were refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from dash import html

from chaos.assessment import Assessment
from chaos.launches import Launch
from dashboard.components.elements import Part, card, moment, pill
from dashboard.page import PageRequest

SHOWN_FOR: Final = timedelta(minutes=15)  # what was refused is of interest to whoever just tried
MOST: Final = 3


def launches_card(request: PageRequest, known: Assessment) -> Part:
    """The newest starts that broke nothing, or not yet: with what the command printed last."""
    if request.sources.launches is None:
        return None
    now = request.viewer.now
    recent = [
        one for one in request.sources.launches.newest() if now - one.began < SHOWN_FOR and not _broke(one, known)
    ]
    if not recent:
        return None
    items = [
        html.Li(
            [
                moment(one.began, request.viewer),
                html.Div(
                    [
                        html.Strong(f"{one.fault} in {one.service}"),
                        " ",
                        pill("begins", "accent", "◐") if one.runs else pill("ended", "unknown", "○"),
                        html.Div(one.said, className="reason") if one.said else None,
                    ]
                ),
            ]
        )
        for one in recent[:MOST]
    ]
    return card("Started here", html.Ul(items, className="events"))


def _broke(launch: Launch, known: Assessment) -> bool:
    """Whether an experiment of its fault and service began after it was started."""
    return any(
        (one.truth.service, one.truth.fault) == (launch.service, launch.fault) and one.truth.began >= launch.began
        for one in known.known
    )
