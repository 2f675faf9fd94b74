"""The dialog that makes, changes and removes one object of the rota: as a form or as YAML, with what would change.

What is saved is compared with the version that was in force when the dialog was opened: of two people at once, the
second is shown what the first one changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final
from uuid import uuid4

import dash_mantine_components as dmc
from dash import ALL, Input, Output, State, ctx, html, no_update

from alerting.oncall.applying import Plan, bring_into_force, expect, plan_edit
from alerting.oncall.in_force import RotaInForce
from alerting.oncall.object_text import as_text
from alerting.oncall.ownership import ONE, Kind, objects
from alerting.oncall.versions import newest, versions
from dashboard.commands import NOT_SIGNED_IN, Notice
from dashboard.components.escaping import inert
from dashboard.components.rota_changes import changes, meanwhile, refusal
from dashboard.components.rota_fields import NEW, ROWS, fields, fits, with_rows
from dashboard.dialogs.pressed import closing, notices, pressed_id, refresh
from dashboard.dialogs.rota_edit import (
    AS_FORM,
    AS_YAML,
    PREVIEW_ACTOR,
    Edited,
    Inputs,
    as_yaml,
    edited_of,
    from_yaml,
    in_force,
    kind_of,
    planned,
)
from dashboard.reads.sources import Sources
from dashboard.viewer import viewer
from dashboard.wiring import Wiring
from watchkeeper.config import OnCallConfig
from watchkeeper.errors import Conflict, WatchkeeperError
from watchkeeper.text import seen_name
from watchkeeper.vocabulary import Actor

SCOPE: Final = "rota"
PREVIEW: Final = "stack rota-preview"
HIDDEN: Final = {"display": "none"}


def dialog() -> Any:
    """Its fields are drawn when it is opened."""
    kinds = [{"value": AS_FORM, "label": "Form"}, {"value": AS_YAML, "label": "YAML"}]
    return dmc.Modal(
        id="rota-dialog",
        title="Change the rota",
        size="xl",
        closeOnClickOutside=False,
        closeButtonProps={"aria-label": "Close"},
        children=[
            dmc.SegmentedControl(id="rota-as", data=kinds, value=AS_FORM, size="xs", **{"aria-label": "Edit it as"}),
            html.Div(id="rota-fields", className="rota-fields"),
            html.Div(
                dmc.Textarea(id="rota-yaml", label="YAML, as in the file", autosize=True, minRows=8, maxRows=24,
                             debounce=True, classNames={"input": "mono"}),
                id="rota-text", style=HIDDEN,
            ),
            html.P(id="rota-question", className="rota-question", role="alert"),
            html.Div(id="rota-preview", className=PREVIEW, **{"aria-live": "polite"}),
            dmc.Button("Remove", id="rota-remove", n_clicks=0, variant="outline", className="danger", mt="md"),
            closing("rota", "Save"),
        ],
    )  # fmt: skip


def connect(wiring: Wiring) -> None:
    """Add the callbacks of the buttons and of the dialog."""
    _connect_opening(wiring)
    _connect_changing(wiring)
    _connect_preview(wiring)
    _connect_saving(wiring)


def _connect_opening(wiring: Wiring) -> None:
    sources = wiring.sources

    def opened(clicks: list[int | None]) -> Any:
        button = pressed_id(clicks)
        kind_text, _, name = str(button["rota_open"]).partition("/") if button else ("", "", "")
        kind = kind_of(kind_text)
        if kind is None:
            return (no_update,) * 10
        if notice := _refused(wiring):
            return notice.shown(), *(no_update,) * 9
        version = newest(sources.db)
        oncall = version.oncall if version else sources.config.oncall
        value = objects(oncall, kind).get(name) if name else NEW[kind]
        if value is None:
            return _gone(kind, name).shown(), *(no_update,) * 9
        shown_as = AS_FORM if fits(kind, value) else AS_YAML
        edited = Edited(kind=kind, name=name, version=version.id if version else 0, shown_as=shown_as)
        title = f"Add a {ONE[kind]}" if edited.is_new else f"The {ONE[kind]} {seen_name(name)}"
        drawn = _drawn(edited, value, sources)
        may_go = HIDDEN if edited.is_new else {}
        return no_update, edited.kept(), True, title, drawn, as_text(value), shown_as, may_go, "", []

    wiring.server(
        opened,
        notices(),
        Output("asked", "data", allow_duplicate=True),
        Output("rota-dialog", "opened"),
        Output("rota-dialog", "title"),
        Output("rota-fields", "children"),
        Output("rota-yaml", "value"),
        Output("rota-as", "value"),
        Output("rota-remove", "style"),
        Output("rota-question", "children", allow_duplicate=True),
        Output("rota-preview", "children", allow_duplicate=True),
        Input({"rota_open": ALL}, "n_clicks"),
    )


def _connect_changing(wiring: Wiring) -> None:
    """Between the form and YAML, and rows of the form."""
    sources = wiring.sources

    def shown(shown_as: str | None, asked: Any, ids: Any, values: Any, text: str | None) -> Any:
        edited = edited_of(asked)
        styles = (HIDDEN, {}) if shown_as == AS_YAML else ({}, HIDDEN)
        if edited is None or shown_as == edited.shown_as:
            return no_update, no_update, no_update, no_update, no_update, *styles
        inputs = Inputs(ids=ids, values=values, text=text or "")
        to = replace(edited, shown_as=AS_YAML if shown_as == AS_YAML else AS_FORM)
        try:
            if to.shown_as == AS_YAML:
                return no_update, to.kept(), no_update, as_yaml(edited, inputs), no_update, *styles
            name, value = from_yaml(sources, edited, inputs)
        except WatchkeeperError as error:
            same = (HIDDEN, {}) if edited.shown_as == AS_YAML else ({}, HIDDEN)
            notice = Notice(title="Still as it was", message=error.message, good=False)
            return notice.shown(), no_update, no_update, no_update, edited.shown_as, *same
        return no_update, to.kept(), _drawn(to, value, sources, name), no_update, no_update, *styles

    wiring.server(
        shown,
        notices(),
        Output("asked", "data", allow_duplicate=True),
        Output("rota-fields", "children", allow_duplicate=True),
        Output("rota-yaml", "value", allow_duplicate=True),
        Output("rota-as", "value", allow_duplicate=True),
        Output("rota-fields", "style"),
        Output("rota-text", "style"),
        Input("rota-as", "value"),
        State("asked", "data"),
        State({"rota": ALL}, "id"),
        State({"rota": ALL}, "value"),
        State("rota-yaml", "value"),
    )

    def changed(clicks: list[int | None], asked: Any, ids: Any, values: Any) -> Any:
        button, edited = pressed_id(clicks), edited_of(asked)
        if button is None or edited is None or edited.kind not in ROWS or not isinstance(button["at"], int):
            return no_update, no_update
        try:
            name, value = Inputs(ids=ids, values=values, text="").of_form(edited)
        except WatchkeeperError as error:
            return Notice(title="Still as it was", message=error.message, good=False).shown(), no_update
        value = with_rows(edited.kind, value, str(button["rota_row"]), button["at"])
        return no_update, _drawn(edited, value, sources, name)

    wiring.server(
        changed,
        notices(),
        Output("rota-fields", "children", allow_duplicate=True),
        Input({"rota_row": ALL, "at": ALL}, "n_clicks"),
        State("asked", "data"),
        State({"rota": ALL}, "id"),
        State({"rota": ALL}, "value"),
    )


def _connect_preview(wiring: Wiring) -> None:
    sources = wiring.sources

    def previewed(values: Any, text: str | None, asked: Any, ids: Any, stored: Any) -> Any:
        edited = edited_of(asked)
        if edited is None:
            return (no_update,) * 3
        if edited.outrun and set(ctx.triggered_prop_ids) == {"asked.data"}:
            return (no_update,) * 3  # what was told stays until something is changed
        if edited.is_new and edited.shown_as == AS_FORM and not _is_begun(values):
            return "", [], PREVIEW
        name, oncall = edited.name, in_force(sources)
        try:
            inputs = Inputs(ids=ids, values=values, text=text or "")
            name, plan = planned(sources, edited, inputs, PREVIEW_ACTOR)
        except WatchkeeperError as error:
            return "", inert(refusal(error, oncall, edited.kind, name)), PREVIEW
        reader = viewer(stored or {}, sources.now())
        shown = changes(edited.kind, name, oncall, plan.oncall, sources.records.overrides(), reader)
        return "", inert(shown), PREVIEW

    wiring.server(
        previewed,
        Output("rota-question", "children"),  # a removal is asked for again once something was changed
        Output("rota-preview", "children"),
        Output("rota-preview", "className"),
        Input({"rota": ALL}, "value"),
        Input("rota-yaml", "value"),
        Input("asked", "data"),
        State({"rota": ALL}, "id"),
        State("viewer", "data"),
    )


def _connect_saving(wiring: Wiring) -> None:
    sources = wiring.sources
    first = sources.config.oncall  # what a dialog was opened with if it was before the first version

    def saved(clicks: int, asked: Any, ids: Any, values: Any, text: str | None) -> Any:
        edited = edited_of(asked)
        if not clicks or edited is None:
            return (no_update,) * 6
        inputs = Inputs(ids=ids, values=values, text=text or "")
        return _kept(wiring, edited, first, lambda actor: planned(sources, edited, inputs, actor))

    outputs = (
        notices(),
        Output("rota-dialog", "opened", allow_duplicate=True),
        refresh(),
        Output("asked", "data", allow_duplicate=True),
        Output("rota-question", "children", allow_duplicate=True),
        Output("rota-preview", "children", allow_duplicate=True),
    )
    wiring.server(
        saved,
        *outputs,
        Input("rota-submit", "n_clicks"),
        State("asked", "data"),
        State({"rota": ALL}, "id"),
        State({"rota": ALL}, "value"),
        State("rota-yaml", "value"),
    )

    def removed(clicks: int, asked: Any, question: str | None, stored: Any) -> Any:
        edited = edited_of(asked)
        if not clicks or edited is None or edited.is_new:
            return (no_update,) * 6

        def plan(actor: Actor) -> tuple[str, Plan]:
            return edited.name, plan_edit(sources.db, sources.config, edited.kind, edited.name, None, actor)

        if question:
            return _kept(wiring, edited, first, plan)
        oncall = in_force(sources)
        try:
            _, removal = plan(PREVIEW_ACTOR)
        except WatchkeeperError as error:
            return *(no_update,) * 5, inert(refusal(error, oncall, edited.kind, edited.name))
        reader = viewer(stored or {}, sources.now())
        shown = changes(edited.kind, edited.name, oncall, removal.oncall, sources.records.overrides(), reader)
        return *(no_update,) * 4, f"Press Remove again to remove the {ONE[edited.kind]}.", inert(shown)

    wiring.server(
        removed,
        *outputs,
        Input("rota-remove", "n_clicks"),
        State("asked", "data"),
        State("rota-question", "children"),
        State("viewer", "data"),
    )


def _kept(wiring: Wiring, edited: Edited, first: OnCallConfig, plan: Callable[[Actor], tuple[str, Plan]]) -> Any:
    """Bring an edit into force, by the person of this browser's session."""
    sources, actor = wiring.sources, wiring.who()
    refused = NOT_SIGNED_IN if actor is None else _refused(wiring)
    if actor is None or refused is not None:
        return (refused or NOT_SIGNED_IN).shown(), *(no_update,) * 5
    oncall = in_force(sources)
    try:
        name, made = plan(actor)
        expect(made, edited.version)
        is_changed = bring_into_force(sources.db, made, sources.now(), actor)
    except Conflict as error:
        latest = newest(sources.db)
        if latest is None or latest.id == edited.version:
            return _not_saved(error.message).shown(), *(no_update,) * 5
        by = seen_name(latest.by)
        shown = meanwhile(_version_seen(sources, edited.version, first), latest.oncall, by)
        again = replace(edited, version=latest.id, outrun=True)
        notice = _not_saved(f"{by} was faster. The dialog shows what they changed.")
        return notice.shown(), no_update, uuid4().hex, again.kept(), "", inert(shown)
    except WatchkeeperError as error:
        told = inert(refusal(error, oncall, edited.kind, edited.name))
        return _not_saved(error.message).shown(), *(no_update,) * 3, "", told
    RotaInForce(sources.db, sources.config).look()
    sources.forget()
    what = f"The {ONE[edited.kind]} {seen_name(name)}"
    is_there = name in objects(made.oncall, edited.kind)
    words = f"{what} {'is in force as of now' if is_there else 'was removed'}."
    words = words if is_changed else f"{what} was so already."
    return Notice(title="Rota saved", message=words, good=True).shown(), False, uuid4().hex, no_update, "", []


def _not_saved(why: str) -> Notice:
    return Notice(title="Nothing was saved", message=why, good=False)


def _refused(wiring: Wiring) -> Notice | None:
    """Why whoever presses may not edit the rota: as over the API."""
    if wiring.who() is None:
        return NOT_SIGNED_IN
    why = wiring.lacks(SCOPE)
    return Notice(title="Nothing was changed", message=why, good=False) if why else None


def _gone(kind: Kind, name: str) -> Notice:
    message = f"There is no {ONE[kind]} {seen_name(name)} any more. The page shows the rota as it is."
    return Notice(title="Nothing was opened", message=message, good=False)


def _version_seen(sources: Sources, number: int, first: OnCallConfig) -> OnCallConfig:
    """The rota that the dialog was opened with."""
    return next((each.oncall for each in versions(sources.db) if each.id == number), first)


def _is_begun(values: Any) -> bool:
    """Whether a new object has a name: until then nothing of it is refused."""
    return isinstance(values, list) and bool(values) and bool(values[0])


def _drawn(edited: Edited, value: Any, sources: Sources, name: str = "") -> Any:
    return inert(fields(edited.kind, value, sources.config, is_new=edited.is_new, name=name))
