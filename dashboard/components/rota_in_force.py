"""Which version of the rota is in force, where it comes from, and what the file does not own."""

from __future__ import annotations

from typing import Final

from dash import html

from alerting.oncall.ownership import ONE, Owners
from alerting.oncall.versions import RotaVersion
from dashboard.components.elements import Part, card, moment
from dashboard.viewer import Viewer
from watchkeeper.text import seen_name

LISTED: Final = 20


def rota_card(version: RotaVersion | None, viewer: Viewer) -> Part:
    """The version in force, and how to change it; before the first one, that the file counts."""
    if version is None:
        text = "The file's rota is used. It becomes the first version when the watch role starts."
        return card("The rota", html.P(text, className="muted"))
    owners = version.owners
    by = [
        f"Version {version.id}, by {seen_name(version.by)}, since ",
        moment(version.since, viewer, seconds=False),
        ".",
    ]
    return card("The rota", html.P(by), html.P(_change(owners), className="muted"), _others(owners))


def _change(owners: Owners) -> list[Part]:
    where = ["Edit ", html.Code(seen_name(owners.file))] if owners.file else ["Edit the configuration file"]
    return [*where, ", then run ", html.Code("watchkeeper oncall apply"), "."]


def _others(owners: Owners) -> Part:
    """The objects that the file does not own: they are changed through the API."""
    rows = []
    for key, who in sorted(owners.others.items())[:LISTED]:
        kind, _, name = key.partition("/")
        one = next((word for known, word in ONE.items() if known == kind), kind)
        rows.append(html.Li(f"{one} {seen_name(name)}, made by {seen_name(who)}"))
    more = len(owners.others) - LISTED
    if more > 0:
        rows.append(html.Li(f"and {more} more"))
    return html.Div([html.P("Not owned by the file:"), html.Ul(rows)]) if rows else None
