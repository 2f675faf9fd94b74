"""Who is looking: a sign-in with the token that the terminal printed, kept in a signed cookie.

Reading on loopback needs no session; acting does. The cookie is HttpOnly and SameSite=Strict, so another site's
page can neither read it nor make the browser send it; it ends with the token that it was made with. The token itself
stays in no address: `/?token=…` leads to a clean one at once.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final, TypeVar

import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from alerting.channels import ack_links
from alerting.status_page import subscribers
from dashboard.web.credentials import Credential, Denied, check, fingerprints, from_header
from dashboard.web.throttle import Slowing
from watchkeeper.config import Config, is_loopback
from watchkeeper.text import one_line
from watchkeeper.vocabulary import Actor

COOKIE: Final = "watchkeeper_session"
SHOWN: Final = "watchkeeper_token_shown"  # the token was right; the person is still to be chosen
LIFE_S: Final = 12 * 3600
SHOWN_LIFE_S: Final = 300
# What may be asked for without a session, wherever the role listens.
PUBLIC: Final = (
    "/healthz", "/readyz", "/slack/events", "/sign-in", "/assets/", "/calendar/", ack_links.PATH, subscribers.PATH,
)  # fmt: skip
TOO_MANY: Final = "Too many wrong tokens from this address. Wait a moment, then try again."

Judged = TypeVar("Judged", bound=Credential | Denied | None)
_who: ContextVar[Actor | None] = ContextVar("who", default=None)
_asking: ContextVar[tuple[Sessions, Request] | None] = ContextVar("asking", default=None)


def who() -> Actor | None:
    """The person of the request that is being answered, or None."""
    return _who.get()


def lacks(scope: str) -> str:
    """Why whoever asks may not do what needs a further scope; empty if they may."""
    asking = _asking.get()
    refusal = asking[0].refuses(asking[1], scope) if asking else None
    return refusal.text if refusal else ""


class Sessions:
    """Makes and checks cookies."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._key = config.secret("session").encode()
        self._slowing = Slowing()

    @property
    def _people(self) -> dict[str, str]:
        """Who there is now, by id."""
        return {person.id: person.name for person in self._config.oncall.people}

    def name_of(self, person_id: str) -> str:
        """What a person is called; the id of somebody who is no longer of the rota."""
        return self._people.get(person_id, person_id)

    def cookie(self, person_id: str, fingerprint: str = "", life_s: int = LIFE_S) -> str:
        """A session for a person, for half a day, or until the token with that fingerprint ends."""
        text = f"{person_id}:{fingerprint}:{int(time.time()) + life_s}"
        return f"{text}:{self._sign(text)}"

    def actor(self, cookie: str | None) -> Actor | None:
        """Whose session a cookie is; None for one that is forged or old."""
        person_id = self._person_of(cookie)
        person = self._config.oncall.person(person_id) if person_id else None
        return Actor(name=person.name, via="dashboard") if person else None

    async def sign_in(self, request: Request, token: str, person_id: str, onward: str) -> Response:
        """Sign in with the token, or with the cookie of a token shown before; else the form again, with the error."""
        fingerprint = self._shown(request)
        if token.strip() or not fingerprint:
            checked = await self.judged(request, lambda: check(self._config, token, "commands"))
            if isinstance(checked, Denied):
                wrong = TOO_MANY if checked.status == 429 else f"Sign-in failed: {checked.text}."
                return self.form(onward=onward, wrong=wrong, status=checked.status)
            fingerprint = checked.fingerprint
        if not self._may_be(person_id, fingerprint):
            shown = not token.strip()
            wrong = "Sign-in failed: this token is somebody else's. Choose the person it was made for."
            return self.form(onward=onward, wrong=wrong, status=403, shown=shown)
        if person_id not in self._people:
            shown = not token.strip()
            return self.form(onward=onward, wrong="Choose who you are.", status=401, shown=shown)
        answer = RedirectResponse(onward, status_code=303, headers={"Cache-Control": "no-store"})
        self._set(answer, COOKIE, self.cookie(person_id, fingerprint), LIFE_S)
        answer.delete_cookie(SHOWN, path="/")
        return answer

    async def take_from_address(self, request: Request, token: str) -> Response:
        """What `/?token=…` answers: always another address, without the token."""
        checked = await self.judged(request, lambda: check(self._config, token, "commands"))
        headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
        if isinstance(checked, Denied):
            return RedirectResponse("/sign-in?wrong=1", status_code=303, headers=headers)
        person = request.query_params.get("as") or checked.person or self._only_person()
        if person in self._people and self._may_be(str(person), checked.fingerprint):
            answer = RedirectResponse("/", status_code=303, headers=headers)
            self._set(answer, COOKIE, self.cookie(str(person), checked.fingerprint), LIFE_S)
            return answer
        answer = RedirectResponse("/sign-in", status_code=303, headers=headers)
        self._set(answer, SHOWN, self.cookie("", checked.fingerprint, SHOWN_LIFE_S), SHOWN_LIFE_S)
        return answer

    def sign_out(self) -> Response:
        """End this browser's session."""
        answer = RedirectResponse("/sign-in", status_code=303, headers={"Cache-Control": "no-store"})
        answer.delete_cookie(COOKIE, path="/")
        answer.delete_cookie(SHOWN, path="/")
        return answer

    def asked(self, request: Request) -> Response:
        """The form, as a browser asks for it."""
        wrong = "Sign-in failed: wrong token." if "wrong" in request.query_params else ""
        return self.form(wrong=wrong, shown=bool(self._shown(request)), who=self.actor(request.cookies.get(COOKIE)))

    def form(
        self, onward: str = "/", wrong: str = "", status: int = 200, *, shown: bool = False, who: Actor | None = None
    ) -> Response:
        """The page that asks for the token, unless it was shown already, and for the name."""
        options = "".join(
            f'<option value="{html.escape(key)}">{html.escape(name)}</option>' for key, name in self._people.items()
        )
        page = _FORM.format(
            token="" if shown else _ASK,
            onward=html.escape(onward),
            options=options,
            wrong=html.escape(wrong),
            out=_SIGN_OUT.format(name=html.escape(who.name)) if who else "",
        )
        headers = {
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
            "form-action 'self'; frame-ancestors 'none'",
            "Cache-Control": "no-store",
        }
        return HTMLResponse(page, status_code=status, headers=headers)

    async def bearer(self, request: Request) -> Credential | Denied | None:
        """The token of a program; None where it shows none."""
        header = request.headers.get("authorization")
        if header is None:
            return None
        return await self.judged(request, lambda: from_header(self._config, header, "commands"))

    def refuses(self, request: Request, scope: str) -> Denied | None:
        """What whoever asks, known already, lacks for a further scope: their token's, or that of their sign-in."""
        if request.headers.get("authorization") is not None:
            judged = from_header(self._config, request.headers["authorization"], scope)
            return judged if isinstance(judged, Denied) else None
        cookie = (request.cookies.get(COOKIE) or "").split(":")
        if len(cookie) > 1 and cookie[1] in fingerprints(self._config, scope):
            return None
        return Denied(
            status=403, text=f"the token of this session lacks the scope {scope}: sign in with one that has it"
        )

    async def judged(self, request: Request, judge: Callable[[], Judged]) -> Judged | Denied:
        """The result of `judge` for a token, after the delay that earlier failures of the same address cost."""
        source = self._source(request)
        if not await self._slowing.wait(source):
            return Denied(status=429, text="too many wrong tokens from this address; wait a moment, then try again")
        result = judge()
        if isinstance(result, Credential):
            self._slowing.succeeded(source)
        elif isinstance(result, Denied) and result.status == 401:
            self._slowing.failed(source)
        return result

    def _source(self, request: Request) -> str:
        """The address that a try comes from; behind our own proxy, the one that the proxy saw."""
        host = request.client.host if request.client else ""
        forwarded = request.headers.get("x-forwarded-for", "")
        if self._config.web.public_url and is_loopback(host) and forwarded:
            return forwarded.rpartition(",")[2].strip()[:64]
        return host

    def _only_person(self) -> str | None:
        return next(iter(self._people)) if len(self._people) == 1 else None

    def _shown(self, request: Request) -> str:
        """The fingerprint of the token that was shown a moment ago, or nothing."""
        cookie = request.cookies.get(SHOWN)
        return (cookie or "").split(":")[1] if self._person_of(cookie) == "" else ""

    def _person_of(self, cookie: str | None) -> str | None:
        """The person in a cookie that is ours, in time and of a token that is still good; None otherwise."""
        text, _, signature = (cookie or "").rpartition(":")
        if not text or not hmac.compare_digest(self._sign(text).encode(), signature.encode("utf-8", "replace")):
            return None
        person_id, _, rest = text.rpartition(":")[0].rpartition(":")
        until = text.rpartition(":")[2]
        if not until.isdigit() or int(until) < time.time() or rest not in fingerprints(self._config, "commands"):
            return None
        return person_id if self._may_be(person_id, rest) else None

    def _may_be(self, person_id: str, fingerprint: str) -> bool:
        """Whether a token is for this person: for any, unless it was made for one. An empty id is nobody yet."""
        owner = fingerprints(self._config, "commands").get(fingerprint)
        return owner is None or person_id in ("", owner)

    def _set(self, answer: Response, name: str, value: str, life_s: int) -> None:
        secure = self._config.web_url.startswith("https:")
        answer.set_cookie(name, value, max_age=life_s, httponly=True, samesite="strict", secure=secure, path="/")

    def _sign(self, text: str) -> str:
        return hmac.new(self._key, text.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def guard(config: Config, sessions: Sessions) -> Callable[[Request, Callable[[Request], Awaitable[Response]]], Any]:
    """The middleware that knows who asks, and refuses whom it must."""
    reading_is_open = is_loopback(config.web.host)

    async def middleware(request: Request, following: Callable[[Request], Awaitable[Response]]) -> Response:
        path = request.url.path
        if path == "/" and (token := request.query_params.get("token")) is not None:
            return await sessions.take_from_address(request, token)
        actor = sessions.actor(request.cookies.get(COOKIE))
        if actor is None and path.startswith("/api/"):
            credential = await sessions.bearer(request)
            if isinstance(credential, Denied):
                return denied(credential)
            actor = _program(request, credential, sessions) if credential else None
        if actor is None and not reading_is_open and not path.startswith(PUBLIC):
            if path.startswith("/api/"):
                return denied(Denied(status=401, text=NO_CREDENTIAL))
            return RedirectResponse("/sign-in", status_code=303)
        remembered, asked_before = _who.set(actor), _asking.set((sessions, request))
        try:
            return await following(request)
        finally:
            _who.reset(remembered)
            _asking.reset(asked_before)

    return middleware


NO_CREDENTIAL: Final = "sign in, or send a bearer token with the scope commands"


def denied(why: Denied) -> Response:
    """The answer to a token that is not enough, or is missing."""
    headers = {"Cache-Control": "no-store"}
    if why.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if why.status == 429:
        headers["Retry-After"] = "5"
    return JSONResponse({"error": why.text}, why.status, headers=headers)


def _program(request: Request, credential: Credential, sessions: Sessions) -> Actor:
    """Who acts is the token: by the person it is for, or its own name.

    The name that the caller claims goes to the log and no further.
    """
    claimed = request.headers.get("x-watchkeeper-actor")
    if claimed and request.method not in ("GET", "HEAD"):
        structlog.get_logger().info("api.claimed_name", token=credential.name, claims=one_line(claimed, 100))
    name = sessions.name_of(credential.person) if credential.person else credential.name
    return Actor(name=one_line(name, 100), via="api")


def onward_of(text: str) -> str:
    """Where to go after signing in: a path of our own, whatever a link claims.

    >>> onward_of("/incidents"), onward_of("//evil.example"), onward_of("/\\\\evil.example"), onward_of("javascript:1")
    ('/incidents', '/', '/', '/')
    """
    plain = text.isascii() and text.isprintable() and "\\" not in text and len(text) < 2000
    return text if plain and text.startswith("/") and not text.startswith("//") else "/"


_ASK: Final = """<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required>"""
_SIGN_OUT: Final = """<form method="post" action="/sign-out"><p>This browser is signed in as {name}.</p>
<button>Sign out</button></form>"""
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
{token}
<label for="as">You are</label><select id="as" name="as">{options}</select>
<button>Sign in</button></form>{out}</body></html>"""
