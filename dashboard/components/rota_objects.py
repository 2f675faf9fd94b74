"""The people, schedules, policies and teams of the rota, each with its owner and, unless the file owns it, Edit."""

from __future__ import annotations

from typing import Any, Final

import dash_mantine_components as dmc
from dash import html

from alerting.oncall.ownership import ONE, Kind, Owners, objects
from alerting.oncall.versions import RotaVersion
from dashboard.components.elements import Part, card, empty, pill, table
from dashboard.components.wording import count, listed
from watchkeeper.config import OnCallConfig
from watchkeeper.durations import duration
from watchkeeper.text import seen_name

TITLES: Final = {"people": "People", "teams": "Teams", "schedules": "Schedules", "policies": "Policies"}
ORDER: Final[tuple[Kind, ...]] = ("people", "schedules", "policies", "teams")
LISTED: Final = 100  # of one kind


def objects_card(oncall: OnCallConfig, version: RotaVersion | None) -> Part:
    """Every object of the rota that is in force."""
    owners = version.owners if version else Owners()
    return card("People, schedules and policies", *(part for kind in ORDER for part in _kind(kind, oncall, owners)))


def _kind(kind: Kind, oncall: OnCallConfig, owners: Owners) -> list[Part]:
    known = objects(oncall, kind)
    rows = [_row(kind, name, value, owners) for name, value in list(known.items())[:LISTED]]
    add = dmc.Button(
        f"Add a {ONE[kind]}", id={"rota_open": f"{kind}/"}, n_clicks=0, size="compact-sm", variant="default"
    )
    more = len(known) - LISTED
    return [
        html.Div([html.H3(TITLES[kind]), add], className="rota-kind"),
        table(["Id", "Owner", "Change"], rows, caption=TITLES[kind], kind="rota-table")
        if rows
        else empty(f"No {ONE[kind]}"),
        html.P(f"and {count(more, 'more')}", className="muted") if more > 0 else None,
    ]


def _row(kind: Kind, name: str, value: Any, owners: Owners) -> Part:
    maker = owners.of(kind, name)
    where = owners.file.rsplit("/", 1)[-1] or "the configuration file"
    owner: Part = seen_name(maker) if maker else html.Span(seen_name(where), title=seen_name(owners.file or where))
    label = f"Edit the {ONE[kind]} {seen_name(name)}"
    edit: Part = dmc.Button(
        "Edit", id={"rota_open": f"{kind}/{name}"}, n_clicks=0, size="compact-sm", variant="default",
        **{"aria-label": label},
    )  # fmt: skip
    change = edit if maker else pill("locked", "unknown", "■")
    return html.Tr(
        [
            html.Th([seen_name(name), html.Div(_SUMMARY[kind](value), className="muted rota-about")], scope="row"),
            html.Td(owner),
            html.Td(change),
        ]
    )


def _person(value: Any) -> str:
    rules = [
        f"{rule['channel']} after {duration(rule['after_s'])}" if rule["after_s"] else f"{rule['channel']} at once"
        for rule in value["notification_rules"]
    ] or [listed(list(value["addresses"])) or "no address"]
    return f"{seen_name(value['name'])}: {', '.join(rules)}"


def _schedule(value: Any) -> str:
    last = value["layers"][-1]
    turn = duration(last["turn_hours"] * 3600)
    people = ", ".join(map(seen_name, last["people"][:5])) + (" …" if len(last["people"]) > 5 else "")
    return f"{count(len(value['layers']), 'layer')}, {value['timezone']}; {people}, {turn} each"


def _policy(value: Any) -> str:
    fits = [
        *value["services"],
        *value["teams"],
        *value["severities"],
        *(f"{k}={v}" for k, v in value["labels"].items()),
    ]
    what = listed([seen_name(each) for each in fits[:5]]) or "everything"
    return f"{what}: {count(len(value['steps']), 'step')}"


def _team(value: Any) -> str:
    return listed([seen_name(each) for each in value[:8]]) + (" …" if len(value) > 8 else "")


_SUMMARY: Final = {"people": _person, "schedules": _schedule, "policies": _policy, "teams": _team}
