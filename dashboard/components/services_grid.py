"""Every service in a grid that sorts: state, requests, failures and latency."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dash_ag_grid as dag

from dashboard.components.elements import Part, card
from dashboard.components.wording import count, milliseconds, per_second, percent
from dashboard.figures.sparkline import red_lines
from dashboard.palette import Palette
from dashboard.reads.fleet import Member
from dashboard.reads.health import MARKS
from dashboard.urls import View
from dashboard.viewer import Viewer

FEW = 14
LINES = 60  # of the worst services get sparklines: a thousand services with three each are megabytes at every refresh
_NUMBER = {"cellRenderer": "SparkCell", "type": "rightAligned", "flex": 3, "minWidth": 80}
COLUMNS = [
    {"field": "service", "headerName": "Service", "cellRenderer": "ServiceCell", "flex": 3, "minWidth": 112},
    {"field": "rank", "headerName": "State", "cellRenderer": "StateCell", "flex": 2, "minWidth": 110, "sort": "asc"},
    {"field": "rate", "headerName": "Requests", **_NUMBER},
    {"field": "failed", "headerName": "Failed", **_NUMBER},
    {"field": "p95", "headerName": "p95", **_NUMBER},
]
OPTIONS = {
    "theme": "themeQuartz",
    "rowHeight": 40,
    "headerHeight": 36,
    "animateRows": False,
    "suppressCellFocus": False,
    "enableCellTextSelection": True,
    "suppressScrollOnNewData": True,
    "tooltipShowDelay": 300,
}


def services_grid(members: Mapping[str, Member], view: View, viewer: Viewer, *, of: int) -> Part:
    """A row for each service that is shown, `of` so many, worst first; the worst have a sparkline for each number."""
    worst = sorted(members.items(), key=lambda item: (item[1].health.rank, -item[1].recent.per_second, item[0]))
    rows = [
        _row(name, member, view) | (_lines(member, viewer.palette) if number < LINES else {})
        for number, (name, member) in enumerate(worst)
    ]
    is_short = len(rows) <= FEW
    return card(
        "All services" if len(members) == of else "These services",
        dag.AgGrid(
            id="services-grid",
            rowData=rows,
            columnDefs=COLUMNS,
            getRowId="params.data.id",
            defaultColDef={"sortable": True, "resizable": True, "suppressMovable": True},
            dashGridOptions=OPTIONS | {"domLayout": "autoHeight" if is_short else "normal"},
            rowClassRules={"chosen-row": f"params.data.id === '{_quoted(view.service)}'"},
            style={"width": "100%"} | ({} if is_short else {"height": "500px"}),
            className="grid",
        ),
        aside=count(of, "service") if len(members) == of else f"{len(members)} of {count(of, 'service')}",
    )


def _row(name: str, member: Member, view: View) -> dict[str, Any]:
    health, recent = member.health, member.recent
    return {
        "id": name,
        "service": name,
        "href": view.link("/services", service=name),
        "state": health.state,
        "mark": MARKS[health.state],
        "rank": health.rank,
        "rate": round(recent.per_second, 3),
        "rateText": per_second(recent.per_second),
        "failed": recent.error_ratio,
        "failedText": percent(recent.error_ratio),
        "p95": recent.p95_ms,
        "p95Text": milliseconds(recent.p95_ms),
    }


def _lines(member: Member, palette: Palette) -> dict[str, str]:
    return dict(zip(("rateLine", "failedLine", "p95Line"), red_lines(member.series, palette), strict=True))


def _quoted(name: str | None) -> str:
    """A name that is safe within the grid's expression."""
    return "".join(c for c in name or "" if c.isalnum() or c in "-_. ")
