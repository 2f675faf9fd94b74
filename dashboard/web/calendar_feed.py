"""The on-call schedule as a feed for calendars, which can show nothing but an address: the secret is in it."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from alerting.oncall.feeds import feed_of
from alerting.oncall.ical import feed_window, schedule_feed
from alerting.oncall.schedule import stored_overrides
from alerting.oncall.versions import parts_of, versions
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
        now, overrides, oncall = clock.now(), stored_overrides(db), config.oncall
        parts = parts_of(versions(db), oncall, feed_window(now), now)
        if own is None and schedule is None and not oncall.schedules:
            return JSONResponse({"error": "oncall.schedules is empty; add a schedule"}, 404)
        first = oncall.schedules[0].id if oncall.schedules else ""
        body = own.body(parts, now, overrides) if own else schedule_feed(parts, schedule or first, overrides, now)
        return Response(
            body,
            media_type="text/calendar",
            headers={"Cache-Control": "private, no-store", "Referrer-Policy": "no-referrer"},
        )

    return feeds
