"""The on-call schedule as a feed for calendars, which can show nothing but an address: the secret is in it."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from alerting.oncall.ical import feed
from alerting.oncall.schedule import stored_overrides
from watchkeeper.clock import Clock
from watchkeeper.config import Config
from watchkeeper.state.database import Database


def router(config: Config, db: Database, clock: Clock) -> APIRouter:
    """`/calendar/<secret>.ics?schedule=<id>`; without an id, the first schedule."""
    feeds = APIRouter()

    @feeds.get("/calendar/{token}.ics", include_in_schema=False)
    def calendar(token: str, schedule: str | None = None) -> Response:
        if not config.calendar_allows(token):
            return JSONResponse({"error": "no such calendar; `watchkeeper oncall ical --url` prints its address"}, 404)
        body = feed(config.oncall, schedule, clock.now(), stored_overrides(db))
        return Response(
            body,
            media_type="text/calendar",
            headers={"Cache-Control": "private, no-store", "Referrer-Policy": "no-referrer"},
        )

    return feeds
