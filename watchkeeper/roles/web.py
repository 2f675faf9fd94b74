"""The web role: the dashboard, the API and Slack's endpoint on one port."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pyarrow as pa
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from alerting.channels.slack.events import LARGEST_BODY, SlackEvents
from alerting.channels.slack.socket_mode import SocketMode
from alerting.channels.slack.watch_answers import WatchAnswers
from alerting.incidents.commands import Incidents
from alerting.oncall.in_force import RotaInForce
from alerting.status_page.subscribers import Subscribers
from chaos.schedules.decisions import Decisions
from dashboard.app import mount
from dashboard.reads.own_state import Role
from dashboard.reads.sources import Sources
from dashboard.registry import read_pages
from dashboard.web import (
    acknowledge,
    api,
    ask_api,
    calendar_feed,
    oncall_api,
    openapi,
    overrides_api,
    plots_api,
    postmortem_api,
    rota_api,
    sign_in,
    silences_api,
    status_api,
    subscriptions,
)
from dashboard.web.session import Sessions, guard, lacks, who
from detectors.learning.question import best_question
from watchkeeper.asgi.bodies import Limits
from watchkeeper.asgi.hosts import Names
from watchkeeper.asgi.middleware import Door
from watchkeeper.clock import SystemClock
from watchkeeper.config import Config, is_loopback
from watchkeeper.roles import ready
from watchkeeper.roles.lifecycle import Life, alive
from watchkeeper.roles.ports import bind
from watchkeeper.roles.readiness import hung_roles, missing, noted
from watchkeeper.roles.registered import report_broken
from watchkeeper.roles.serving import serve
from watchkeeper.roles.state_file import look_after_as
from watchkeeper.roles.up import roles_for
from watchkeeper.state.database import Database
from watchkeeper.store.telemetry import Telemetry

# Bytes. Slack's largest payload holds a complete message; a page's callback sends a few choices.
LIMITS: Final = Limits(
    otherwise=64 << 10,
    paths={"/slack/events": LARGEST_BODY, "/sign-in": 16 << 10, "/_dash-update-component": 256 << 10},
)


def build(
    config: Config, telemetry: Telemetry, db: Database, life: Life | None = None, config_path: Path | None = None
) -> FastAPI:
    """The application; with `life`, `/readyz` reports the other roles and the items that were set aside.

    Experiments that are started from a page read the configuration from `config_path`. The rota is the newest version
    of the state database; a later one counts once it is looked for, which `app.state.rota` does.
    """
    clock = SystemClock()
    rota = RotaInForce(db, config, life.problems if life else None)
    rota.look()
    incidents = Incidents.configured(config, db, clock)

    def question(incident_id: str) -> str:
        best = best_question(db, incident_id)
        return best.text if best else ""

    sources = Sources(
        telemetry=telemetry,
        incidents=incidents,
        db=db,
        config=config,
        clock=clock,
        roles=lambda: _roles(config),
        config_path=config_path,
    )
    stop = sources.launches.stop if sources.launches else None
    answers = WatchAnswers(config, db, incidents, clock, sources.asker.ask)
    events = SlackEvents(config, incidents, question, Decisions(config, db, clock, stop), answers, db, clock)
    sessions = Sessions(config)
    app = FastAPI(title="Watchkeeper", docs_url=None, redoc_url=None, openapi_url="/api/openapi.json")
    app.state.rota = rota
    app.state.slack = events

    api.add_error_handlers(app)

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

    app.include_router(sign_in.router(sessions))
    app.include_router(api.router(incidents))
    app.include_router(oncall_api.router(config, db, clock))
    app.include_router(overrides_api.router(config, db, clock))
    app.include_router(rota_api.router(config, db, clock, sessions, rota))
    app.include_router(postmortem_api.router(sources.postmortems, sources.actions))
    app.include_router(status_api.router(sources.status))
    app.include_router(silences_api.router(db, clock))
    app.include_router(ask_api.router(sources.asker))
    app.include_router(calendar_feed.router(config, db, clock))
    app.include_router(acknowledge.router(config, incidents, clock))
    app.include_router(subscriptions.router(config, Subscribers(db, clock, config)))
    pages = read_pages()
    app.include_router(plots_api.router(pages, sources))

    openapi.describe(app, reading_is_open=is_loopback(config.web.host))
    api.add_unknown_paths(app)
    if life:
        report_broken(life.problems, pages.broken)
    mount(app, sources, pages, who, lacks)
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


def run(config: Config, config_path: Path | None = None) -> None:
    """Serve until stopped. Processes that it starts read the configuration from `config_path`."""
    config.require_safe_binding("web")
    pa.set_memory_pool(pa.system_memory_pool())  # gives back what an answer took: Arrow's own keeps a fifth of the role
    with alive(config, "web") as life:
        _serve(life, config_path)


def _serve(life: Life, config_path: Path | None) -> None:
    config = life.config
    listener = bind(config.web.host, config.web.port, "web.port")
    look_after_as(life)
    db = Database.open(config)
    life.heart.enter_phase("building the pages")
    application: Any = build(config, Telemetry.connect(config), db, life, config_path)
    stopping = threading.Event()
    application.state.rota.follow(stopping)
    if config.slack.socket_mode and "slack" in config.channels:
        SocketMode(config, application.state.slack, life.problems).follow(stopping)
    serve(life, application, listener)
    stopping.set()
