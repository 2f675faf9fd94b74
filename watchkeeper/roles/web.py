"""The web role: the dashboard, the API and Slack's endpoint on one port."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from alerting.channels.slack.events import LARGEST_BODY, SlackEvents
from alerting.incidents.commands import Incidents
from dashboard.app import mount
from dashboard.reads.sources import Role
from dashboard.web import api, calendar_feed
from dashboard.web.session import Sessions, guard, onward_of, who
from detectors.learning.question import best_question
from watchkeeper.asgi.bodies import Limits
from watchkeeper.asgi.hosts import Names
from watchkeeper.asgi.middleware import Door
from watchkeeper.clock import SystemClock
from watchkeeper.config import Config
from watchkeeper.errors import WatchkeeperError
from watchkeeper.roles import ready
from watchkeeper.roles.lifecycle import Life, alive
from watchkeeper.roles.readiness import hung_roles, missing, noted
from watchkeeper.roles.serving import bind, serve
from watchkeeper.roles.state_file import look_after_as
from watchkeeper.roles.up import roles_for
from watchkeeper.state.database import Database
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.text import one_line

# Bytes. Slack's largest payload holds a complete message; a page's callback sends a few choices.
LIMITS: Final = Limits(
    otherwise=64 << 10,
    paths={"/slack/events": LARGEST_BODY, "/sign-in": 16 << 10, "/_dash-update-component": 256 << 10},
)


def build(config: Config, telemetry: Telemetry, db: Database, life: Life | None = None) -> FastAPI:
    """The application; with `life`, `/readyz` reports the other roles and the items that were set aside."""
    clock = SystemClock()
    incidents = Incidents(db, clock, config.oncall, ack_timeout_s=config.watch.ack_timeout_s)

    def question(incident_id: str) -> str:
        best = best_question(db, incident_id)
        return best.text if best else ""

    events = SlackEvents(config, incidents, question)
    sessions = Sessions(config)
    app = FastAPI(title="Watchkeeper", docs_url=None, redoc_url=None, openapi_url="/api/openapi.json")

    @app.exception_handler(WatchkeeperError)
    async def _known(_: Request, error: WatchkeeperError) -> Response:
        return api.error_response(error)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> Response:
        wrong = [f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors()]
        return JSONResponse({"error": one_line("; ".join(wrong), 1000)}, 422)

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> Response:
        return PlainTextResponse("ok")

    @app.get("/readyz", include_in_schema=False)
    def readyz() -> Response:
        incidents.list(limit=1)  # the state database answers
        gone, more = (missing(life, None), noted(life)) if life else (None, None)
        return PlainTextResponse("\n".join(line for line in (gone or "ok", more) if line), 503 if gone else 200)

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    @app.post("/slack/events", include_in_schema=False)
    async def slack(request: Request) -> Response:
        return await events.handle(request)

    @app.get("/sign-in", include_in_schema=False)
    async def sign_in_form(request: Request) -> Response:
        return sessions.asked(request)

    @app.post("/sign-in", include_in_schema=False)
    async def sign_in(request: Request) -> Response:
        form = {
            key: value
            for key, value in (await request.form(max_files=0, max_fields=10)).items()
            if isinstance(value, str)
        }
        onward = onward_of(form.get("onward", "/"))
        return await sessions.sign_in(request, form.get("token", ""), form.get("as", ""), onward)

    @app.post("/sign-out", include_in_schema=False)
    async def sign_out() -> Response:
        return sessions.sign_out()

    app.include_router(api.router(incidents))
    app.include_router(calendar_feed.router(config, db, clock))

    @app.api_route("/api/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
    async def no_such_path(rest: str) -> Response:
        return JSONResponse({"error": f"no such path /api/{rest}; see /api/openapi.json"}, 404)

    mount(app, config, telemetry, incidents, db, who, lambda: _roles(config))
    app.middleware("http")(guard(config, sessions))
    app.add_middleware(
        Door,
        names=Names(listens=config.web.host, own=urlsplit(config.web_url).hostname),
        public_url=config.web.public_url,
        limits=LIMITS,
        hint="; set web.public_url to the name in use",
    )
    return app


def _roles(config: Config) -> tuple[Role, ...]:
    """The roles that this configuration needs, as they are on this machine now."""
    hung = hung_roles(config)
    return tuple(
        Role(name=name, running=ready.read(config, name) is not None, hung=hung.get(name, ""))
        for name in roles_for(config)
    )


def run(config: Config) -> None:
    """Serve until stopped."""
    config.require_safe_binding("web")
    with alive(config, "web") as life:
        _serve(life)


def _serve(life: Life) -> None:
    config = life.config
    listener = bind(config.web.host, config.web.port, "web.port")
    look_after_as(life)
    db = Database.open(config)
    life.heart.enter_phase("building the pages")
    application: Any = build(config, Telemetry.connect(config), db, life)
    serve(life, application, listener)
