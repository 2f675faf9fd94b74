"""The JSON API: incidents to read, and the same commands as in Slack, on the dashboard and on the command line."""

from __future__ import annotations

import json
import uuid
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from fastapi.responses import JSONResponse, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from alerting.incidents.commands import Incidents
from alerting.incidents.human_labels import Judgement
from alerting.incidents.machine import Incident, Outcome
from dashboard.web.credentials import Denied
from dashboard.web.session import NO_CREDENTIAL, denied, who
from watchkeeper.errors import Conflict, NotFound, WatchkeeperError
from watchkeeper.state.codec import dump
from watchkeeper.vocabulary import Actor, Mechanism

IncidentId = Annotated[str, Path(pattern="^[A-Za-z0-9-]{1,32}$")]


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("holds NUL, which no database keeps")
    return text


WITHOUT_NUL = AfterValidator(_without_nul)


class LabelBody(BaseModel):
    """What it was, in a human's judgement. `warranted` null is "not sure"."""

    model_config = ConfigDict(extra="forbid")

    warranted: bool | None
    cause: Annotated[str, Field(max_length=255), WITHOUT_NUL] | None = None
    mechanism: Mechanism | None = None
    note: Annotated[str, Field(max_length=4000), WITHOUT_NUL] = ""


class CommandBody(BaseModel):
    """A command's body. The same `key` again changes nothing; `proposal` is the id of the one to approve or decline."""

    model_config = ConfigDict(extra="forbid")

    key: Annotated[str, Field(max_length=100), WITHOUT_NUL] | None = None
    label: LabelBody | None = None
    proposal: Annotated[str, Field(max_length=100)] = ""


def shown(incident: Incident) -> dict[str, Any]:
    """An incident as JSON."""
    tree: dict[str, Any] = json.loads(dump(incident))
    return tree


def router(incidents: Incidents) -> APIRouter:
    """The routes under /api/v1."""
    api = APIRouter(prefix="/api/v1")

    @api.get("/incidents")
    def list_incidents(
        state: Literal["open", "waiting", "paged", "acknowledged", "resolved", "expired"] | None = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
    ) -> list[dict[str, Any]]:
        """Incidents, newest first."""
        return [shown(incident) for incident in incidents.list(state, limit)]

    @api.get("/incidents/{incident_id}")
    def get_incident(incident_id: IncidentId) -> dict[str, Any]:
        """One incident with its timeline, findings, diagnosis and labels."""
        return shown(incidents.get(incident_id))

    @api.post("/incidents/{incident_id}/{command}", response_model=None)
    def give_command(
        incident_id: IncidentId,
        command: Literal["acknowledge", "resolve", "label", "approve", "decline"],
        body: CommandBody | None = None,
    ) -> Response:
        """Acknowledge, resolve, label, approve or decline. 401 without a session or token.

        Approve and decline need `proposal`, the `proposal.id` of the incident as it was read; if another runbook is
        proposed by now, the response is 409 with the reason.
        """
        actor = who()
        if actor is None:
            return denied(Denied(status=401, text=NO_CREDENTIAL))
        body = body or CommandBody()
        key = f"{actor.via}:{command}:{body.key or uuid.uuid4().hex}"
        judgement = Judgement(**body.label.model_dump()) if body.label else None
        outcome = _give(incidents, incident_id, command, actor, key, judgement, body.proposal)
        if outcome is None:
            return JSONResponse({"error": "label: is required; add it"}, 422)
        answer = {"changed": outcome.changed, "message": outcome.message, "incident": shown(outcome.incident)}
        return JSONResponse(answer, 200 if outcome.changed else 409)

    return api


def _give(
    incidents: Incidents,
    incident_id: str,
    command: str,
    actor: Actor,
    key: str,
    judgement: Judgement | None,
    seen: str,
) -> Outcome | None:
    match command:
        case "acknowledge":
            return incidents.acknowledge(incident_id, actor, key)
        case "approve":
            return incidents.approve(incident_id, actor, key, seen)
        case "decline":
            return incidents.decline(incident_id, actor, key, seen)
        case "resolve":
            return incidents.resolve(incident_id, actor, key, judgement)
        case _:
            return incidents.judge(incident_id, actor, key, judgement) if judgement else None


def error_response(error: WatchkeeperError) -> JSONResponse:
    """A known error as JSON, with the status that fits."""
    status = 404 if isinstance(error, NotFound) else 409 if isinstance(error, Conflict) else 503
    return JSONResponse({"error": error.message}, status)
