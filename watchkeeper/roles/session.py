"""Who is looking: a sign-in with the token that the terminal printed, kept in a signed cookie.

Reading on loopback needs no session; acting does. The cookie is HttpOnly and SameSite=Strict, so another site's
page can neither read it nor make the browser send it. A request under a foreign Host name is refused, so that a
name that was made to point at loopback reaches nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from watchkeeper.config import Config, is_loopback
from watchkeeper.vocabulary import Actor

COOKIE: Final = "watchkeeper_session"
LIFE_S: Final = 12 * 3600
# What may be asked for without a session, wherever the role listens.
PUBLIC: Final = ("/healthz", "/readyz", "/slack/events", "/sign-in", "/assets/", "/calendar/")

_who: ContextVar[Actor | None] = ContextVar("who", default=None)


def who() -> Actor | None:
    """The person of the request that is being answered, or None."""
    return _who.get()


class Sessions:
    """Makes and checks cookies."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._key = config.secret("session").encode()
        self._people = {person.id: person.name for person in config.oncall.people}

    def cookie(self, person_id: str) -> str:
        """A session for a person, for half a day."""
        text = f"{person_id}:{int(time.time()) + LIFE_S}"
        return f"{text}:{self._sign(text)}"

    def actor(self, cookie: str | None) -> Actor | None:
        """Whose session a cookie is; None for one that is forged or old."""
        text, _, signature = (cookie or "").rpartition(":")
        person_id, _, until = text.rpartition(":")
        if not text or not hmac.compare_digest(self._sign(text).encode(), signature.encode()):
            return None
        if not until.isdigit() or int(until) < time.time() or person_id not in self._people:
            return None
        return Actor(name=self._people[person_id], via="dashboard")

    def sign_in(self, token: str, person_id: str, onward: str) -> Response | None:
        """Sign in with the token; None when token or person is wrong."""
        if person_id not in self._people or not self._config.token_allows(token, "commands"):
            return None
        answer = RedirectResponse(onward, status_code=303)
        secure = self._config.web_url.startswith("https:")
        answer.set_cookie(
            COOKIE, self.cookie(person_id), max_age=LIFE_S, httponly=True, samesite="strict", secure=secure, path="/"
        )
        return answer

    def form(self, token: str = "", onward: str = "/", wrong: str = "") -> Response:
        """The page that asks for the token and the name."""
        options = "".join(
            f'<option value="{html.escape(key)}">{html.escape(name)}</option>' for key, name in self._people.items()
        )
        page = _FORM.format(
            token=html.escape(token), onward=html.escape(onward), options=options, wrong=html.escape(wrong)
        )
        headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"}
        return HTMLResponse(page, status_code=401 if wrong else 200, headers=headers)

    def only_person(self) -> str | None:
        """The one person there is, who then need not be asked for a name."""
        return next(iter(self._people)) if len(self._people) == 1 else None

    def _sign(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()


def guard(config: Config, sessions: Sessions) -> Callable[[Request, Callable[[Request], Awaitable[Response]]], Any]:
    """The middleware that knows who asks, and refuses whom it must."""
    own = urlsplit(config.web_url).hostname
    reading_is_open = is_loopback(config.web.host)

    async def middleware(request: Request, following: Callable[[Request], Awaitable[Response]]) -> Response:
        host = _host(request)
        if not (host == own or (is_loopback(config.web.host) and is_loopback(host))):
            return JSONResponse({"error": f"unknown host {host}; set web.public_url to the name in use"}, 421)
        if _is_foreign(request, host):
            return JSONResponse({"error": "a page of another site may not act here"}, 403)
        actor = sessions.actor(request.cookies.get(COOKIE)) or _bearer(config, request)
        if request.url.path == "/" and (token := request.query_params.get("token")):
            person = request.query_params.get("as") or sessions.only_person()
            return (sessions.sign_in(token, person, "/") if person else None) or sessions.form(token)
        if actor is None and not reading_is_open and not request.url.path.startswith(PUBLIC):
            if request.url.path.startswith("/api/"):
                return JSONResponse({"error": "a session, or a bearer token with the scope commands, is needed"}, 401)
            return RedirectResponse("/sign-in", status_code=303)
        remembered = _who.set(actor)
        try:
            return await following(request)
        finally:
            _who.reset(remembered)

    return middleware


def _host(request: Request) -> str:
    """The name under which we were asked, or nothing where the header is no name."""
    try:
        # Not request.url: that falls back to the socket's own address where the header is senseless.
        return urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""


def _is_foreign(request: Request, host: str) -> bool:
    """Whether another site's page makes the browser write here; another port of this machine counts as another site."""
    origin = request.headers.get("origin")
    if request.method in ("GET", "HEAD", "OPTIONS") or origin is None:
        return False
    try:
        came_from = urlsplit(origin)
        # Behind a proxy the port that we see is not the one in the address: the name must do there.
        return came_from.hostname != host or (is_loopback(host) and came_from.netloc != request.headers.get("host"))
    except ValueError:
        return True


def _bearer(config: Config, request: Request) -> Actor | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token and config.token_allows(token, "commands"):
        return Actor(name=request.headers.get("x-watchkeeper-actor", "api")[:100] or "api", via="api")
    return None


_FORM: Final = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sign in · Watchkeeper</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; display: grid; place-items: center; min-height: 90vh; }}
form {{ width: min(360px, 90vw); }} label {{ display: block; margin: 14px 0 4px; font-weight: 600; }}
input, select, button {{ font: inherit; width: 100%; padding: 8px 10px; box-sizing: border-box; }}
button {{ margin-top: 20px; }} .wrong {{ color: light-dark(#b3261e, #ff8a80); }} p {{ opacity: .85; }}
</style></head><body><form method="post" action="/sign-in">
<h1>Watchkeeper</h1><p>The token is in the terminal that started it, or run <code>watchkeeper token local</code>.</p>
<p class="wrong" role="alert">{wrong}</p><input type="hidden" name="onward" value="{onward}">
<label for="token">Token</label>
<input id="token" name="token" type="password" value="{token}" autocomplete="current-password" required>
<label for="as">You are</label><select id="as" name="as">{options}</select>
<button>Sign in</button></form></body></html>"""
