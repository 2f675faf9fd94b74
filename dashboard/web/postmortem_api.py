"""Postmortems and action items over the API: what the command line and the dashboard do."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from pydantic import Field, StrictBool

from alerting.postmortems.actions import ActionOutcome, Actions
from alerting.postmortems.document import EntryKind, State
from alerting.postmortems.editing import Postmortems, Saved
from alerting.postmortems.rendering import to_html, to_markdown
from alerting.postmortems.shown import action_tree, document_tree, head_tree, revision_tree
from dashboard.web.acting import ActingBody, WrittenLine, acted
from dashboard.web.api import IncidentId
from dashboard.web.values import AS_NUMBER, AS_TEXT, WITHOUT_NUL, WRITTEN
from watchkeeper.errors import Conflict
from watchkeeper.vocabulary import Actor

ActionId = Annotated[str, Path(pattern="^[a-z0-9-]{1,32}$")]
LongText = Annotated[str, Field(max_length=20_000), WITHOUT_NUL]
# A published postmortem opens as a page of ours: nothing in it may run or load.
_CONFINED = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox; base-uri 'none'; "
    "frame-ancestors 'none'"
}


class EditBody(ActingBody):
    """Fields to save. `revision` is the one that you looked at."""

    revision: Annotated[int, Field(ge=1, le=2**31 - 1), AS_NUMBER]
    fields: Annotated[dict[str, LongText | None], Field(min_length=1, max_length=20)]


class ReviewedBody(ActingBody):
    """`revision` is the one that you reviewed."""

    revision: Annotated[int, Field(ge=1, le=2**31 - 1), AS_NUMBER]


class EntryBody(ActingBody):
    """A line of the timeline."""

    at: Annotated[datetime, AS_TEXT]
    text: Annotated[str, Field(min_length=1, max_length=20_000), WRITTEN]
    kind: EntryKind = "note"


class MarkBody(ActingBody):
    """Which line, and whether it is important."""

    important: StrictBool = True


class ActionBody(ActingBody):
    """An action item. `due` is a date such as 2026-03-31."""

    text: WrittenLine
    owner: Annotated[str, Field(max_length=100), WITHOUT_NUL] = ""
    due: Annotated[str, Field(max_length=10)] = ""


class ActionChangeBody(ActingBody):
    """What changes of an action item; what is left out stays."""

    text: WrittenLine | None = None
    owner: Annotated[str, Field(max_length=100), WITHOUT_NUL] | None = None
    due: Annotated[str, Field(max_length=10)] | None = None


def _saved(saved: Saved) -> tuple[bool, dict[str, Any]]:
    return saved.changed, {"changed": saved.changed, "message": saved.message, "postmortem": head_tree(saved.stored)}


def _action(outcome: ActionOutcome) -> tuple[bool, dict[str, Any]]:
    return outcome.changed, {
        "changed": outcome.changed,
        "message": outcome.message,
        "action": action_tree(outcome.action),
    }


def router(postmortems: Postmortems, actions: Actions) -> APIRouter:
    """The routes under /api/v1/postmortems and /api/v1/actions."""
    api = APIRouter(prefix="/api/v1")
    _add_reads(api, postmortems, actions)
    _add_edits(api, postmortems)
    _add_timeline(api, postmortems)
    _add_actions(api, actions)
    return api


def _add_reads(api: APIRouter, postmortems: Postmortems, actions: Actions) -> None:
    @api.get("/postmortems")
    def search(
        q: Annotated[str, Query(max_length=200)] = "",
        state: State | None = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
    ) -> list[dict[str, Any]]:
        """Postmortems that hold every word of `q`, newest change first."""
        return [head_tree(one) for one in postmortems.search(q, state or "", limit)]

    @api.get("/postmortems/{incident_id}")
    def read(incident_id: IncidentId) -> dict[str, Any]:
        """A postmortem with its fields, timeline, action items and disagreements."""
        return document_tree(postmortems.report(incident_id))

    @api.get("/postmortems/{incident_id}/revisions")
    def revisions(incident_id: IncidentId) -> list[dict[str, Any]]:
        """Every revision, oldest first: who, when, and what changed."""
        return [revision_tree(one) for one in postmortems.history(incident_id)]

    @api.get("/postmortems/{incident_id}/text", response_class=Response)
    def text(
        incident_id: IncidentId, form: Literal["markdown", "html"] = "markdown", published: bool = False
    ) -> Response:
        """As Markdown or as one HTML file: as it stands, or as it was published (409 if it never was)."""
        stored = postmortems.get(incident_id)
        if published and stored.published is None:
            raise Conflict(f"the postmortem of {incident_id} is {stored.state}, and was not published yet")
        if published and stored.published:
            html, markdown = stored.published.html, stored.published.markdown
        else:
            report = postmortems.report(incident_id)
            html, markdown = to_html(report), to_markdown(report)
        if form == "html":
            return HTMLResponse(html, headers=_CONFINED)
        return PlainTextResponse(markdown, media_type="text/markdown")

    @api.get("/actions")
    def list_actions(
        owner: Annotated[str, Query(max_length=100)] = "", overdue: bool = False, done: bool = False
    ) -> list[dict[str, Any]]:
        """Action items of every postmortem, the soonest first."""
        return [action_tree(one) for one in actions.list(owner=owner, overdue=overdue, done=done)]


def _add_edits(api: APIRouter, postmortems: Postmortems) -> None:
    @api.post("/postmortems/{incident_id}/begin", response_model=None)
    def begin(incident_id: IncidentId) -> Response:
        """Draft the recorded facts anew, and begin the document where there is none."""

        def act(_actor: Actor, _key: str) -> tuple[bool, dict[str, Any]]:
            return True, head_tree(postmortems.begin(incident_id))

        return acted("begin", None, act)

    @api.post("/postmortems/{incident_id}/edit", response_model=None)
    def edit(incident_id: IncidentId, body: EditBody) -> Response:
        """Save fields. 409 with who and what, if somebody else has changed one of them since `revision`."""

        def act(actor: Actor, key: str) -> tuple[bool, dict[str, Any]]:
            changes = {name: "" if value is None else value for name, value in body.fields.items()}
            return _saved(postmortems.edit(incident_id, actor, key, body.revision, changes))

        return acted("edit", body.key, act)

    @api.post("/postmortems/{incident_id}/submit", response_model=None)
    def submit(incident_id: IncidentId, body: ActingBody | None = None) -> Response:
        """Ask for a review."""
        body = body or ActingBody()
        return acted("submit", body.key, lambda actor, key: _saved(postmortems.submit(incident_id, actor, key)))

    @api.post("/postmortems/{incident_id}/return", response_model=None)
    def send_back(incident_id: IncidentId, body: ActingBody | None = None) -> Response:
        """Make it a draft again."""
        body = body or ActingBody()
        return acted("return", body.key, lambda actor, key: _saved(postmortems.send_back(incident_id, actor, key)))

    @api.post("/postmortems/{incident_id}/publish", response_model=None)
    def publish(incident_id: IncidentId, body: ReviewedBody) -> Response:
        """Publish the revision that you reviewed."""

        def act(actor: Actor, key: str) -> tuple[bool, dict[str, Any]]:
            return _saved(postmortems.publish(incident_id, actor, key, body.revision))

        return acted("publish", body.key, act)


def _add_timeline(api: APIRouter, postmortems: Postmortems) -> None:
    @api.post("/postmortems/{incident_id}/timeline", response_model=None)
    def add_entry(incident_id: IncidentId, body: EntryBody) -> Response:
        """Add a line to the timeline by hand."""

        def act(actor: Actor, key: str) -> tuple[bool, dict[str, Any]]:
            return _saved(postmortems.add_entry(incident_id, actor, key, body.at, body.text, body.kind))

        return acted("timeline", body.key, act)

    @api.post("/postmortems/{incident_id}/timeline/{entry_id}/mark", response_model=None)
    def mark(incident_id: IncidentId, entry_id: ActionId, body: MarkBody) -> Response:
        """Mark a line as important, or no longer."""

        def act(actor: Actor, key: str) -> tuple[bool, dict[str, Any]]:
            return _saved(postmortems.mark(incident_id, actor, key, entry_id, important=body.important))

        return acted("mark", body.key, act)


def _add_actions(api: APIRouter, actions: Actions) -> None:
    @api.post("/postmortems/{incident_id}/actions", response_model=None)
    def add(incident_id: IncidentId, body: ActionBody) -> Response:
        """Add an action item."""

        def act(actor: Actor, key: str) -> tuple[bool, dict[str, Any]]:
            return _action(actions.add(incident_id, actor, key, body.text, body.owner, body.due))

        return acted("action", body.key, act)

    @api.post("/actions/{action_id}/change", response_model=None)
    def change(action_id: ActionId, body: ActionChangeBody) -> Response:
        """Change the text, the owner or the due date."""
        changes = {name: value for name, value in body.model_dump(exclude={"key"}).items() if value is not None}
        return acted("change", body.key, lambda actor, _: _action(actions.change(action_id, actor, changes)))

    @api.post("/actions/{action_id}/done", response_model=None)
    def finish(action_id: ActionId) -> Response:
        """Mark one as done. 409 if it was."""
        return acted("done", None, lambda actor, _: _action(actions.finish(action_id, actor)))

    @api.post("/actions/{action_id}/reopen", response_model=None)
    def reopen(action_id: ActionId) -> Response:
        """It is not done after all."""
        return acted("reopen", None, lambda actor, _: _action(actions.reopen(action_id, actor)))
