"""Silences as JSON: those in force, a new one, and the end of one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from alerting.incidents import silences
from dashboard.web.acting import Time, answered
from dashboard.web.credentials import Denied
from dashboard.web.session import NO_CREDENTIAL, denied, who
from dashboard.web.values import WRITTEN
from watchkeeper.clock import Clock
from watchkeeper.errors import ConfigError
from watchkeeper.state.database import Database


class SilenceBody(BaseModel):
    """What a silence matches (at least one of `service`, `kind` and `label`), why, and until when; from now on."""

    model_config = ConfigDict(extra="forbid")

    service: Annotated[str, Field(max_length=255)] = ""
    kind: Annotated[str, Field(max_length=32)] = ""
    label: Annotated[str, Field(max_length=255)] = ""
    reason: Annotated[str, Field(min_length=1, max_length=1000), WRITTEN]
    end: Time


def router(db: Database, clock: Clock) -> APIRouter:
    """The routes under /api/v1/silences."""
    api = APIRouter(prefix="/api/v1/silences")

    @api.get("")
    def list_silences(*, ended: bool = False) -> list[dict[str, Any]]:
        """Silences, those that end first before the others; with `ended`, also those that are over."""
        return [dict(silences.facts(one)) for one in silences.list_silences(db, clock.now(), ended=ended)]

    @api.post("", response_model=None, status_code=201)
    def add(body: SilenceBody) -> Response:
        """Suppress the pages of what matches. 401 without a session or token, 422 for what would hide too much."""
        actor = who()
        if actor is None:
            return denied(Denied(status=401, text=NO_CREDENTIAL))
        now = clock.now()
        try:
            silence = silences.new_silence(**body.model_dump(), start=now, owner=actor)
        except ConfigError as error:
            return JSONResponse({"error": error.message}, 422)
        silences.add_silence(db, silence, actor, now)
        return JSONResponse(silences.facts(silence), 201)

    @api.post("/{silence_id}/end", response_model=None)
    def end(silence_id: Annotated[str, Path(pattern="^[A-Za-z0-9-]{1,64}$")]) -> Response:
        """End a silence now. What it alone suppressed, and still fires, pages at once."""
        actor = who()
        if actor is None:
            return denied(Denied(status=401, text=NO_CREDENTIAL))
        return answered(lambda: silences.facts(silences.end_silence(db, silence_id, actor, clock.now())))

    return api
