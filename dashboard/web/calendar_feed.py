"""The on-call schedule as a feed for calendars, which can show nothing but an address: the secret is in it."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from alerting.oncall.feeds import feed_of
from alerting.oncall.ical import feed
from alerting.oncall.schedule import stored_overrides
from watchkeeper.clock import Clock
from watchkeeper.config import Config
from watchkeeper.state.database import Database


def router(config: Config, db: Database, clock: Clock) -> APIRouter:
    """`/calendar/<secret>.ics`: one feed, or with the installation's secret any schedule (`?schedule=<id>`)."""
    feeds = APIRouter()

    @feeds.get("/calendar/{token}.ics", include_in_schema=False)
    def calendar(token: str, schedule: str | None = None) -> Response:
        own = feed_of(db, token)
        if own is None and not config.calendar_allows(token):
            return JSONResponse({"error": "no such calendar; `watchkeeper oncall feed new` makes an address"}, 404)
        now, overrides = clock.now(), stored_overrides(db)
        oncall = config.oncall
        body = own.body(oncall, now, overrides) if own else feed(oncall, schedule, now, overrides)
        return Response(
            body,
            media_type="text/calendar",
            headers={"Cache-Control": "private, no-store", "Referrer-Policy": "no-referrer"},
        )

    return feeds
