"""The page behind a link in a message: it shows the incident, and its button acknowledges it.

A GET changes nothing, since mail programs and scanners open every address. The token in the address is the right: no
session is needed, for whoever is called at night may sit at another machine.
"""

from __future__ import annotations

import hashlib
import html
from typing import Final

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, Response

from alerting.channels.ack_links import PATH, AckLink, AckLinks
from alerting.channels.plain import facts, headline
from alerting.incidents.commands import Incidents
from alerting.incidents.machine import CLOSED, Incident
from watchkeeper.clock import Clock
from watchkeeper.config import Config
from watchkeeper.errors import NotFound, WatchkeeperError

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "Cache-Control": "private, no-store",
}
OLD: Final = "This link is not valid, or older than a day. Open the incident in Watchkeeper, or answer in Slack."
GONE: Final = "This incident is not on record any more."


def router(config: Config, incidents: Incidents, clock: Clock) -> APIRouter:
    """`/acknowledge/<token>`: GET asks, POST acknowledges."""
    routes, links = APIRouter(), AckLinks(config)

    def answer(token: str, *, seen: str | None) -> Response:
        link = links.read(token, clock.now())
        if link is None:
            return _page("Nothing was changed", OLD, status=404)
        try:
            incident = incidents.get(link.incident_id)
            if seen is None:
                return _asked(incident, link)
            # Pressed twice it is one command; after another page, the button is another command.
            key = f"link:{hashlib.sha256(token.encode()).hexdigest()[:16]}:{seen[:16]}"
            outcome = incidents.acknowledge(link.incident_id, link.actor, key)
        except NotFound:
            return _page("Nothing was changed", GONE, status=404)
        except WatchkeeperError as error:
            return _page("Nothing was changed", f"{error.message} Try again.", status=503)
        after = outcome.incident
        is_theirs = after.human_state == "acknowledged" and after.acknowledged_by == link.actor
        heading = "Acknowledged" if outcome.changed or is_theirs else "Nothing was changed"
        return _page(heading, outcome.message, after)

    @routes.get(PATH + "{token}", include_in_schema=False)
    def ask(token: str) -> Response:
        return answer(token, seen=None)

    @routes.post(PATH + "{token}", include_in_schema=False)
    async def acknowledge(token: str, request: Request) -> Response:
        fields = await request.form(max_files=0, max_fields=4)
        seen = fields.get("seen")
        return await run_in_threadpool(answer, token, seen=seen if isinstance(seen, str) else "")

    return routes


def _asked(incident: Incident, link: AckLink) -> Response:
    if incident.human_state in CLOSED:
        state, by = incident.human_state, f" by {incident.resolved_by.name}" if incident.resolved_by else ""
        return _page(f"Already {state}", f"The incident was {state}{by}; there is nothing to acknowledge.", incident)
    if incident.human_state == "acknowledged" and incident.acknowledged_by:
        return _page("Already acknowledged", f"{incident.acknowledged_by.name} has it.", incident)
    form = _FORM.format(seen=incident.version, name=html.escape(link.person.name))
    return _page("Acknowledge?", "Nobody else is paged after you acknowledge.", incident, form)


def _page(heading: str, text: str, incident: Incident | None = None, form: str = "", status: int = 200) -> Response:
    rows = ""
    if incident:
        rows = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(fact)}</dd>" for name, fact in facts(incident))
        rows = f"<h2>{html.escape(headline(incident))}</h2><dl>{rows}</dl>"
    body = _PAGE.format(heading=html.escape(heading), text=html.escape(text), form=form, incident=rows)
    return HTMLResponse(body, status_code=status, headers=HEADERS)


_FORM: Final = """<form method="post"><input type="hidden" name="seen" value="{seen}">
<button>Acknowledge as {name}</button></form>"""
_PAGE: Final = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{heading} · Watchkeeper</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex"><style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 640px; margin: 32px auto; padding: 0 16px; }}
button {{ font: inherit; font-weight: 600; padding: 12px 20px; }} dt {{ font-weight: 600; }} dd {{ margin: 0 0 8px; }}
h2 {{ font-size: 18px; overflow-wrap: anywhere; }} dd {{ overflow-wrap: anywhere; }}
</style></head><body><h1>{heading}</h1><p>{text}</p>{form}{incident}</body></html>"""
