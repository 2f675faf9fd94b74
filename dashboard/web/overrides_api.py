"""Overrides of schedules as JSON: those that are not over, a new one, and the end of one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from alerting.oncall import schedule as schedules
from dashboard.web.acting import Time, answered
from dashboard.web.credentials import Denied
from dashboard.web.session import NO_CREDENTIAL, denied, who
from watchkeeper.clock import Clock
from watchkeeper.config import Config
from watchkeeper.state.database import Database

Id = Annotated[str, Field(min_length=1, max_length=64)]


class OverrideBody(BaseModel):
    """Somebody takes over a schedule from `start` to `end`, each with a zone."""

    model_config = ConfigDict(extra="forbid")

    schedule: Id
    person: Id
    start: Time
    end: Time


def router(config: Config, db: Database, clock: Clock) -> APIRouter:
    """The routes under /api/v1/oncall/overrides."""
    api = APIRouter(prefix="/api/v1/oncall/overrides")

    @api.get("")
    def list_overrides() -> list[dict[str, Any]]:
        """Overrides that are not over, in the order in which they were made: a later one beats an earlier one."""
        return [_shown(each) for each in schedules.stored_overrides(db) if each.end > clock.now()]

    @api.post("", response_model=None, status_code=201)
    def override(body: OverrideBody) -> Response:
        """Let somebody take over for a while; one that would have begun earlier begins now."""
        actor = who()
        if actor is None:
            return denied(Denied(status=401, text=NO_CREDENTIAL))
        try:
            made = schedules.Override(**body.model_dump(), author=actor.name)
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 422)

        def record() -> dict[str, Any]:
            key, is_new = schedules.record_override(db, config.oncall, made, clock.now(), actor)
            return {"id": key, "new": is_new}

        return answered(record, 201)

    @api.delete("/{override_id}", response_model=None)
    def remove_override(override_id: Annotated[str, Path(pattern="^[0-9a-z-]{1,64}$")]) -> Response:
        """End an override; one that has begun ends now."""
        actor = who()
        if actor is None:
            return denied(Denied(status=401, text=NO_CREDENTIAL))

        def end() -> dict[str, Any]:
            schedules.remove_override(db, override_id, clock.now(), actor)
            return {"id": override_id}

        return answered(end)

    return api


def _shown(one: schedules.Override) -> dict[str, Any]:
    times = {"start": one.start.isoformat(), "end": one.end.isoformat()}
    return {"id": one.id, "schedule": one.schedule, "person": one.person, "author": one.author, **times}
