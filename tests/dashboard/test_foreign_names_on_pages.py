"""Names from outside on the dashboard's pages: escaped by the browser's library, seen, bounded, and inert in plots."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from dash import dcc, html
from dash.development.base_component import Component

from alerting.incidents.commands import Incidents
from bench.own_roles import OwnRoles
from dashboard.commands import Notice
from dashboard.components.attempts import DEFECT
from dashboard.components.elements import table
from dashboard.components.escaping import inert
from dashboard.dialogs.approve import plan
from dashboard.figures.evidence import Signal, evidence_figure
from dashboard.figures.handoffs import Shift, handoff_figure
from dashboard.figures.marks import Moment
from dashboard.figures.topology import Call, topology
from dashboard.page import PageRequest
from dashboard.pages.incident import TABS, render
from dashboard.reads.sources import Sources
from dashboard.urls import View
from dashboard.viewer import Viewer
from tests.alerting.channels.slack.test_foreign_names_in_slack import hostile
from tests.dashboard.values import NOW
from tests.hostile import EVERY
from watchkeeper.clock import FrozenClock
from watchkeeper.state.database import Database


def strings(part: Any) -> Iterator[str]:
    """Every text that a tree would show."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, (list, tuple)):
        for child in part:
            yield from strings(child)
    elif isinstance(part, Component):
        for word in ("children", "title", "aria-label", "alt"):
            yield from strings(getattr(part, word, None))


def addresses(part: Any) -> Iterator[str]:
    if isinstance(part, (list, tuple)):
        for child in part:
            yield from addresses(child)
    elif isinstance(part, Component):
        if getattr(part, "href", None):
            yield part.href
        yield from addresses(getattr(part, "children", None))


def unseen(text: str) -> set[str]:
    return {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")} - {"\n", "\t"}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRoles]:
    with OwnRoles(tmp_path_factory.mktemp("hostile")) as roles:
        roles.start("store")
        yield roles


@pytest.fixture
def sources(own: OwnRoles, db: Database, clock: FrozenClock) -> Sources:
    incidents = Incidents(db, clock, own.config.oncall)
    return Sources(telemetry=own.telemetry, incidents=incidents, db=db, config=own.config, clock=clock)


@pytest.mark.parametrize("which", sorted(EVERY))
def test_a_page_only_shows_foreign_names(
    sources: Sources, reader: Viewer, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    """Nothing unseen, nothing endless, no link but our own, and no raw HTML anywhere in an incident's page."""
    incident = hostile(EVERY[which])
    monkeypatch.setattr(sources.records, "incident", lambda _: incident)
    tabs = [
        PageRequest(sources=sources, view=View(path="/incidents/i", choices={"tab": tab}), viewer=reader, argument="i")
        for tab in TABS
    ]
    page = inert([*(render(request) for request in tabs), plan(incident)])
    shown = list(strings(page))
    assert DEFECT not in shown
    for text in shown:
        assert unseen(text) == set()
        assert len(text) <= 4000
    assert [address for address in addresses(page) if not re.match(r"^/[a-z]", address)] == []
    (message,) = Notice(title=EVERY[which], message=EVERY[which], good=True).shown()
    assert unseen(message["title"] + message["message"]) == set()
    assert len(message["message"]) <= 1000


def test_a_name_that_looks_like_nothing_is_written_as_blank() -> None:
    """A link, a head or a cell whose text is blank can still be seen; the blanks between words stay."""
    page = inert(html.Div([dcc.Link("  ", href="/x"), " ", html.Strong("\u200b"), html.Th("cart")]))
    assert [text for text in strings(page) if text != " "] == ["(blank)", "\\u200b", "cart"]


def test_a_column_without_a_head_is_not_named_blank() -> None:
    """What Watchkeeper itself leaves empty is no name."""
    page = inert(table(["", "Bad"], [html.Tr([html.Th("cart"), html.Td("1 of 2")])], caption="Misses"))
    assert "(blank)" not in list(strings(page))


@pytest.mark.parametrize("which", sorted(EVERY))
def test_a_plot_only_shows_foreign_names(reader: Viewer, which: str) -> None:
    """Titles, units, words at moments, people and schedules: no HTML of theirs, no placeholder."""
    name = EVERY[which]
    signal = Signal(title=name, unit=name, start=NOW, step_s=5, values=np.zeros(10), expected=1.0)
    figures = [
        evidence_figure(signal, reader, [Moment(at=NOW, text=name, kind="change")]),
        handoff_figure(
            [Shift(schedule=name, person=name, start=NOW, end=NOW + timedelta(hours=1))],
            reader,
            NOW,
            NOW + timedelta(hours=2),
        ),
    ]
    for figure in figures:
        text = json.dumps(figure)
        own = text.replace("<extra></extra>", "").replace("<br>", "").replace("%{y:,.4~g}", "")
        assert not re.search(r"[<>]|%\{", own)
        assert len(text) < 20_000


@pytest.mark.parametrize("which", sorted(EVERY))
def test_a_map_shows_a_service_of_any_name(reader: Viewer, which: str) -> None:
    """Each node has an id and a label of a bounded length, and each edge ends at nodes that there are."""
    name = EVERY[which]
    call = Call(caller=name, callee="", per_second=1.0, error_ratio=0.0, mean_ms=1.0, instrumented=True)
    elements = topology([call], {}, reader.palette)
    nodes = {element["data"]["id"] for element in elements if "source" not in element["data"]}
    edges = [element["data"] for element in elements if "source" in element["data"]]
    assert all(nodes)
    assert all({edge["source"], edge["target"]} <= nodes for edge in edges)
    for element in elements:
        assert unseen(element["data"]["label"]) == set()
        assert len(element["data"]["label"]) < 200
