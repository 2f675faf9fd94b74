"""The JSON API: incidents to read, and the same commands as in Slack, on the dashboard and on the command line."""

from __future__ import annotations

import json
import re
import uuid
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, FastAPI, Path, Query, Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StrictBool
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from alerting.incidents.commands import Incidents
from alerting.incidents.human_labels import Judgement
from alerting.incidents.levels import LONGEST_REASON
from alerting.incidents.machine import HumanState, Incident
from dashboard.commands import LONGEST_NOTE, Command, Name
from dashboard.web.credentials import Denied
from dashboard.web.openapi import answers
from dashboard.web.session import NO_CREDENTIAL, denied, who
from dashboard.web.values import AS_TEXT, WITHOUT_NUL, WRITTEN
from watchkeeper.errors import ConfigError, Conflict, NotFound, WatchkeeperError
from watchkeeper.state.codec import dump
from watchkeeper.text import one_line
from watchkeeper.vocabulary import Level, Mechanism

NO_JSON: Final = "the body cannot be read; send JSON in UTF-8, with Content-Type: application/json"
METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
IncidentId = Annotated[str, Path(pattern="^[A-Za-z0-9-]{1,32}$")]


def _utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("is no time that can be kept") from error


class LabelBody(BaseModel):
    """What it was, in a human's judgement. `warranted` null is "not sure"."""

    model_config = ConfigDict(extra="forbid")

    warranted: StrictBool | None
    cause: Annotated[str, Field(max_length=255), WITHOUT_NUL] | None = None
    mechanism: Mechanism | None = None
    note: Annotated[str, Field(max_length=4000), WITHOUT_NUL] = ""


class CommandBody(BaseModel):
    """A command's body. The same `key` again changes nothing.

    `proposal` is the id of the one to approve or decline; `question` is the id of the one to `answer`; `until` is the
    end of a `snooze`; `person` is the id of whom to `assign` it to; `into` is the incident to `merge` it into;
    `text` is the line that a `note` adds to the timeline;
    `level` is the `severity` that it has from now on, for a `reason`.
    """

    model_config = ConfigDict(extra="forbid")

    key: Annotated[str, Field(max_length=100), WITHOUT_NUL] | None = None
    label: LabelBody | None = None
    proposal: Annotated[str, Field(max_length=100)] = ""
    question: Annotated[str, Field(max_length=100)] = ""
    answer: Annotated[str, Field(max_length=100)] = ""
    until: Annotated[AwareDatetime, AfterValidator(_utc), AS_TEXT] | None = None
    person: Annotated[str, Field(max_length=64), WITHOUT_NUL] = ""
    into: Annotated[str, Field(max_length=32, pattern="^[A-Za-z0-9-]*$")] = ""
    text: Annotated[str, Field(max_length=LONGEST_NOTE), WITHOUT_NUL] = ""
    level: Level | None = None
    reason: Annotated[str, Field(max_length=LONGEST_REASON), WITHOUT_NUL] = ""


class PageBody(BaseModel):
    """A page to somebody by name: the id of the `person`, what it says, and the service that it is about, if any.

    The same `key` again is the same page.
    """

    model_config = ConfigDict(extra="forbid")

    person: Annotated[str, Field(min_length=1, max_length=64), WITHOUT_NUL]
    text: Annotated[str, Field(min_length=1, max_length=1000), WRITTEN]
    service: Annotated[str, Field(max_length=255), WITHOUT_NUL] = ""
    key: Annotated[str, Field(max_length=100), WITHOUT_NUL] | None = None


def shown(incident: Incident) -> dict[str, Any]:
    """An incident as JSON."""
    tree: dict[str, Any] = json.loads(dump(incident))
    return tree


def router(incidents: Incidents) -> APIRouter:
    """The routes under /api/v1."""
    api = APIRouter(prefix="/api/v1")

    @api.get("/incidents", response_model=None, responses={200: {"content": answers("Incident", many=True)}})
    def list_incidents(
        state: Literal["open"] | HumanState | None = None,
        severity: Literal["page", "ticket"] | Level | None = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
    ) -> list[dict[str, Any]]:
        """Incidents, newest first."""
        return [shown(incident) for incident in incidents.list(state, limit, severity)]

    @api.post("/incidents", response_model=None, status_code=201)
    def page_somebody(body: PageBody) -> Response:
        """Open an incident and page somebody for it: 201; 409 for a repeat. 401 without a token."""
        actor = who()
        if actor is None:
            return denied(Denied(status=401, text=NO_CREDENTIAL))
        key = f"{actor.via}:page:{body.key or uuid.uuid4().hex}"
        try:
            outcome = incidents.call(body.person, body.text, actor, key, body.service)
        except ConfigError as error:
            return JSONResponse({"error": error.message}, 422)
        answer = {"changed": outcome.changed, "message": outcome.message, "incident": shown(outcome.incident)}
        return JSONResponse(answer, 201 if outcome.changed else 409)

    @api.get("/incidents/{incident_id}", response_model=None, responses={200: {"content": answers("Incident")}})
    def get_incident(incident_id: IncidentId) -> dict[str, Any]:
        """One incident with its timeline, findings, diagnosis and labels."""
        return shown(incidents.get(incident_id))

    @api.post("/incidents/{incident_id}/{command}", response_model=None)
    def give_command(
        incident_id: IncidentId,
        command: Name,
        body: CommandBody | None = None,
    ) -> Response:
        """Acknowledge, resolve, label, approve, decline, answer, note, snooze, assign, severity, merge or split.

        Approve and decline need `proposal`, the `proposal.id` of the incident as it was read; if another runbook is
        proposed by now, the response is 409 with the reason. Answer needs `question`, the `question.id` of one of the
        incident's `questions`, and `answer`, one of its choices. Note needs `text`, snooze `until`,
        assign `person`, merge `into`, severity `level` and `reason`. 401 without a token.
        """
        actor = who()
        if actor is None:
            return denied(Denied(status=401, text=NO_CREDENTIAL))
        body = body or CommandBody()
        key = f"{actor.via}:{command}:{body.key or uuid.uuid4().hex}"
        judgement = Judgement(**body.label.model_dump()) if body.label else None
        text = body.text.strip()
        needed = {
            "label": ("label", judgement),
            "note": ("text", text),
            "snooze": ("until", body.until),
            "assign": ("person", body.person),
            "merge": ("into", body.into),
            "severity": ("level, with a reason", body.level and body.reason.strip()),
        }
        name, value = needed.get(command, ("", True))
        if not value:
            return JSONResponse({"error": f"{name}: is required; add it"}, 422)
        seen = body.question if command == "answer" else body.proposal
        order = Command(
            name=command,
            incident_id=incident_id,
            key=key,
            judgement=judgement,
            seen=seen,
            answer=body.answer,
            text=body.reason.strip() if command == "severity" else text,
            until=body.until,
            other=body.person or body.into,
            level=body.level,
        )
        outcome = order.run(incidents, actor)
        answer = {"changed": outcome.changed, "message": outcome.message, "incident": shown(outcome.incident)}
        return JSONResponse(answer, 200 if outcome.changed else 409)

    return api


def add_error_handlers(app: FastAPI) -> None:
    """Known errors, bodies that do not validate and what the framework refuses are JSON with one sentence."""

    @app.exception_handler(WatchkeeperError)
    async def _known(_: Request, error: WatchkeeperError) -> Response:
        return error_response(error)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> Response:
        wrong = [f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors()]
        return JSONResponse({"error": one_line("; ".join(wrong), 1000)}, 422)

    @app.exception_handler(HTTPException)
    async def _refused(request: Request, error: HTTPException) -> Response:
        if not request.url.path.startswith("/api/"):
            return await http_exception_handler(request, error)
        text = NO_JSON if error.status_code == 400 else one_line(str(error.detail), 1000)
        return JSONResponse({"error": text}, error.status_code, headers=error.headers)


def add_unknown_paths(app: FastAPI) -> None:
    """Every other path under /api is a 404 in JSON: Dash would answer it with a page. Call it after all routes.

    A path that there is, by another method, is a 405 with those that it takes.
    """

    @cache
    def known() -> list[tuple[re.Pattern[str], str]]:
        described = app.openapi()["paths"].items()
        return [(compile_path(path)[0], method.upper()) for path, methods in described for method in methods]

    @app.api_route("/api/{rest:path}", methods=METHODS, include_in_schema=False)
    async def no_such_path(rest: str, request: Request) -> Response:
        path, method = f"/api/{rest}", request.method
        taken = sorted({taken for pattern, taken in known() if pattern.match(path)})
        if taken:
            text = f"{path} takes {' and '.join(taken)}, not {method}; see /api/openapi.json"
            return JSONResponse({"error": text}, 405, headers={"Allow": ", ".join(taken)})
        return JSONResponse({"error": f"no such path {path}; see /api/openapi.json"}, 404)


def error_response(error: WatchkeeperError) -> JSONResponse:
    """A known error as JSON, with the status that fits."""
    status = 404 if isinstance(error, NotFound) else 409 if isinstance(error, Conflict) else 503
    return JSONResponse({"error": error.message}, status)
