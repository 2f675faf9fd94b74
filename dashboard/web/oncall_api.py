"""On call as JSON: who has each schedule, and shifts that people swap."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from alerting.oncall import swaps
from alerting.oncall.schedule import shadows_at, stored_overrides, who_has_it
from dashboard.web.acting import Time, answered
from dashboard.web.credentials import Denied
from dashboard.web.session import NO_CREDENTIAL, denied, who
from watchkeeper.clock import Clock
from watchkeeper.config import Config
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Window

Id = Annotated[str, Field(min_length=1, max_length=64)]
ANSWERS: Final[dict[str, swaps.Answer]] = {"accept": "accepted", "decline": "declined", "cancel": "cancelled"}


class Span(BaseModel):
    """A shift: from `start` to `end`, each with a zone."""

    model_config = ConfigDict(extra="forbid")

    start: Time
    end: Time


class SwapBody(BaseModel):
    """Somebody's shift that another person is asked to take; `returned` is the other's shift that is taken in return.

    Without `schedule`, it is about the first one.
    """

    model_config = ConfigDict(extra="forbid")

    schedule: Id | None = None
    asker: Id
    taker: Id
    shift: Span
    returned: Span | None = None


def router(config: Config, db: Database, clock: Clock) -> APIRouter:
    """The routes under /api/v1/oncall."""
    api = APIRouter(prefix="/api/v1/oncall")

    @api.get("")
    def on_call() -> list[dict[str, Any]]:
        """Who has each schedule now, by what, and who shadows."""
        now, overrides, oncall = clock.now(), stored_overrides(db), config.oncall
        rows = []
        for schedule in oncall.schedules:
            person, source = who_has_it(oncall, schedule.id, now, overrides)
            shadows = [each.id for each in shadows_at(oncall, schedule.id, now)]
            row = {"schedule": schedule.id, "person": person.id if person else None, "source": source}
            rows.append(row | {"shadows": shadows})
        return rows

    @api.get("/swaps")
    def list_swaps(state: swaps.State | None = None) -> list[dict[str, Any]]:
        """Swaps, newest first."""
        return [swaps.shown(swap) for swap in swaps.swaps(db, state)]

    @api.post("/swaps", response_model=None, status_code=201)
    def ask(body: SwapBody) -> Response:
        """Ask somebody to take a shift. Nothing changes before they accept."""
        actor = who()
        if actor is None:
            return denied(Denied(status=401, text=NO_CREDENTIAL))
        schedules = [schedule.id for schedule in config.oncall.schedules]
        if not schedules:
            return JSONResponse({"error": "oncall.schedules is empty; add a schedule"}, 409)
        try:
            swap = swaps.Swap(
                schedule=body.schedule or schedules[0],
                asker=body.asker,
                taker=body.taker,
                window=_window(body.shift),
                returned=_window(body.returned) if body.returned else None,
            )
        except ValueError as error:
            return JSONResponse({"error": f"shift: {error}"}, 422)
        return answered(lambda: {"id": swaps.ask(db, config.oncall, swap, clock.now(), actor)}, 201)

    @api.post("/swaps/{swap_id}/{answer}", response_model=None)
    def answer(
        swap_id: Annotated[str, Path(pattern="^[0-9a-f]{1,16}$")], answer: Literal["accept", "decline", "cancel"]
    ) -> Response:
        """Answer a swap. A person answers for themselves; a token may answer for anybody."""
        actor = who()
        if actor is None:
            return denied(Denied(status=401, text=NO_CREDENTIAL))
        return answered(
            lambda: swaps.shown(swaps.answer(db, config.oncall, swap_id, ANSWERS[answer], clock.now(), actor))
        )

    return api


def _window(span: Span) -> Window:
    return Window(start=span.start, end=span.end)
