"""Status updates over the API: what the command line and the dashboard do."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response
from pydantic import Field, StrictBool

from alerting.status_page.shown import update_tree
from alerting.status_page.updates import Audience, Content, Impact, StatusUpdate, StatusUpdates, UpdateState
from dashboard.web.acting import ActingBody, acted
from dashboard.web.api import IncidentId
from dashboard.web.values import WITHOUT_NUL, WRITTEN
from watchkeeper.vocabulary import Actor

UpdateId = Annotated[str, Path(pattern="^[a-z0-9-]{1,64}$")]
Text = Annotated[str, Field(min_length=1, max_length=4000), WRITTEN]
Components = Annotated[tuple[Annotated[str, Field(max_length=64), WITHOUT_NUL], ...], Field(max_length=100)]


class DraftBody(ActingBody):
    """What is left out is as the incident suggests."""

    state: UpdateState | None = None
    impact: Impact | None = None
    components: Components = ()


class PostBody(DraftBody):
    """An update. With `names_too`, names of services and people may stand in a text for the public."""

    audience: Audience
    text: Text
    names_too: StrictBool = False


class ApproveBody(ActingBody):
    """`text` takes the draft's place."""

    text: Text | None = None
    names_too: StrictBool = False


def router(updates: StatusUpdates) -> APIRouter:
    """The routes under /api/v1/status."""
    api = APIRouter(prefix="/api/v1/status")

    @api.get("/updates")
    def list_updates(incident: Annotated[str, Query(max_length=32)] = "") -> list[dict[str, Any]]:
        """Updates of every audience, newest first, of one incident or of all."""
        return [update_tree(one) for one in updates.list(incident)]

    @api.post("/incidents/{incident_id}/post", response_model=None)
    def post(incident_id: IncidentId, body: PostBody) -> Response:
        """Write an update. 409 if it has what must not leave."""
        content = Content(
            text=body.text, state=body.state, impact=body.impact, components=tuple(dict.fromkeys(body.components))
        )

        def act(actor: Actor, key: str) -> tuple[bool, dict[str, Any]]:
            return _answer(updates.post(incident_id, actor, key, body.audience, content, names_too=body.names_too))

        return acted("post", body.key, act)

    @api.post("/incidents/{incident_id}/draft", response_model=None)
    def draft(incident_id: IncidentId, body: DraftBody) -> Response:
        """Draft a neutral update for the public, which nobody sees before somebody approves it."""
        content = Content(state=body.state, impact=body.impact, components=tuple(dict.fromkeys(body.components)))
        return acted("draft", body.key, lambda actor, key: _answer(updates.draft(incident_id, actor, key, content)))

    @api.post("/updates/{update_id}/approve", response_model=None)
    def approve(update_id: UpdateId, body: ApproveBody | None = None) -> Response:
        """Let the public read a draft."""
        body = body or ApproveBody()

        def act(actor: Actor, _key: str) -> tuple[bool, dict[str, Any]]:
            return _answer(updates.approve(update_id, actor, body.text, names_too=body.names_too))

        return acted("approve", body.key, act)

    @api.post("/updates/{update_id}/withdraw", response_model=None)
    def withdraw(update_id: UpdateId) -> Response:
        """Take an update from the public page."""
        return acted("withdraw", None, lambda actor, _: _answer(updates.withdraw(update_id, actor)))

    return api


def _answer(update: StatusUpdate) -> tuple[bool, dict[str, Any]]:
    return True, update_tree(update)
