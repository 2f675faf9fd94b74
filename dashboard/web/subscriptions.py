"""Where the public asks for updates by e-mail, confirms, and unsubscribes: pages for everybody, without a session.

A GET changes nothing, since mail programs and scanners open every address. The token in a link is the right to press
its button, and for nothing else. What is answered to an address does not tell whether it is subscribed.
"""

from __future__ import annotations

import html
from typing import Final

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, Response

from alerting.status_page.subscribers import PATH, Subscriber, Subscribers
from dashboard.web.acknowledge import HEADERS
from watchkeeper.config import Config, StatusPageConfig
from watchkeeper.errors import ConfigError, WatchkeeperError

OLD: Final = "This link is not valid any more. Subscribe again to get another one."
SENT: Final = "If the address is right, an e-mail with a link is on its way. Updates come after you have confirmed."
GONE: Final = "You are not subscribed any more, and your address is erased."
MOST_FIELDS: Final = 120


def router(config: Config, subscribers: Subscribers) -> APIRouter:
    """`/status-updates/`: `subscribe`, `confirm/<token>` and `unsubscribe/<token>`; GET asks, POST does it."""
    routes = APIRouter()
    _add_asking(routes, config.status_page, subscribers)
    _add_links(routes, config.status_page, subscribers)
    return routes


def _add_asking(routes: APIRouter, page: StatusPageConfig, subscribers: Subscribers) -> None:
    @routes.get(PATH + "subscribe", include_in_schema=False)
    def offered() -> Response:
        return _page(page, "Subscribe", "", _form(page))

    @routes.post(PATH + "subscribe", include_in_schema=False)
    async def asked(request: Request) -> Response:
        fields = await request.form(max_files=0, max_fields=MOST_FIELDS)
        address, components = str(fields.get("address") or ""), [str(one) for one in fields.getlist("component")]
        return await run_in_threadpool(ask, address, components)

    def ask(address: str, components: list[str]) -> Response:
        try:
            subscribers.ask(address, components)
        except ConfigError as error:
            return _page(page, "Nothing was changed", f"{_sentence(error.message)} Go back and correct it.", status=422)
        except WatchkeeperError as error:
            return _page(page, "Nothing was changed", error.message, status=503)
        return _page(page, "Look at your e-mails", SENT)


def _add_links(routes: APIRouter, page: StatusPageConfig, subscribers: Subscribers) -> None:
    @routes.get(PATH + "confirm/{token}", include_in_schema=False)
    def look_at_confirmation(token: str) -> Response:
        subscriber = subscribers.of_confirmation(token)
        if subscriber is None:
            return _page(page, "Nothing was changed", OLD, status=404)
        return _page(page, "Confirm your subscription", _about(page, subscriber), _button("Confirm"))

    @routes.post(PATH + "confirm/{token}", include_in_schema=False)
    def confirm(token: str) -> Response:
        subscriber = subscribers.of_confirmation(token)
        if subscriber is None:
            return _page(page, "Nothing was changed", OLD, status=404)
        subscribers.confirm(subscriber.id)
        return _page(page, "Subscribed", f"{_about(page, subscriber)} Each e-mail has a link that ends it.")

    @routes.get(PATH + "unsubscribe/{token}", include_in_schema=False)
    def look_at_end(token: str) -> Response:
        if subscribers.of_end(token) is None:
            return _page(page, "Not subscribed", GONE)
        return _page(page, "Unsubscribe?", "No more updates come, and your address is erased.", _button("Unsubscribe"))

    @routes.post(PATH + "unsubscribe/{token}", include_in_schema=False)
    def end(token: str) -> Response:
        if subscriber := subscribers.of_end(token):
            subscribers.end(subscriber.id)
        return _page(page, "Not subscribed", GONE)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _about(page: StatusPageConfig, subscriber: Subscriber) -> str:
    names = [component.name for component in page.components if component.id in subscriber.wanted]
    return f"Updates come for {', '.join(names) or 'every component'}."


def _button(text: str) -> str:
    return f'<form method="post"><button>{text}</button></form>'


def _form(page: StatusPageConfig) -> str:
    if page.subscriptions.channel is None:
        return "<p>Updates by e-mail are not offered here.</p>"
    boxes = "".join(
        f'<label><input type="checkbox" name="component" value="{html.escape(component.id)}"> '
        f"{html.escape(component.name)}</label>"
        for component in page.components
    )
    choice = f"<fieldset><legend>Only updates of (none: every one)</legend>{boxes}</fieldset>" if boxes else ""
    return (
        '<form method="post"><label for="address">E-mail address</label>'
        '<input id="address" name="address" type="email" autocomplete="email" required maxlength="254">'
        f"{choice}<button>Subscribe</button></form>"
    )


def _page(page: StatusPageConfig, heading: str, text: str, form: str = "", status: int = 200) -> Response:
    back = page.subscriptions.page_url
    link = f'<p><a href="{html.escape(back, quote=True)}">Back to the status page</a></p>' if back else ""
    said = f"<p>{html.escape(text)}</p>" if text else ""
    body = _PAGE.format(title=html.escape(page.title), heading=heading, text=said, form=form, link=link)
    return HTMLResponse(body, status_code=status, headers=HEADERS)


_PAGE: Final = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{heading} · {title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex"><style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 640px; margin: 32px auto; padding: 0 16px; }}
input[type=email] {{ font: inherit; width: 100%; padding: 8px 10px; box-sizing: border-box; }}
fieldset {{ margin: 16px 0; border: 1px solid; }} label {{ display: block; padding: 6px 0; }}
input[type=checkbox] {{ width: 20px; height: 20px; vertical-align: middle; }}
button {{ font: inherit; font-weight: 600; padding: 12px 20px; margin: 12px 0; }} h1 {{ overflow-wrap: anywhere; }}
</style></head><body><main><p>{title}</p><h1>{heading}</h1>{text}{form}{link}</main></body></html>"""
