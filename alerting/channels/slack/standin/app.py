"""The stand-in as an application: Slack's Web API under /api/, a page at /, and presses under /standin/."""

from __future__ import annotations

import math
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from alerting.channels.slack.scopes import HEADER, missing_scope, scopes_asked
from alerting.channels.slack.standin.files import Files
from alerting.channels.slack.standin.interactions import Interactions
from alerting.channels.slack.standin.limits import RateLimits
from alerting.channels.slack.standin.rules import RuleError, check_blocks
from alerting.channels.slack.standin.troubles import Trouble, Troubles
from alerting.channels.slack.standin.workspace import BOT, Workspace
from watchkeeper.asgi.bodies import Limits
from watchkeeper.asgi.hosts import Names
from watchkeeper.asgi.middleware import Door
from watchkeeper.asgi.plain import plain_json, plain_object
from watchkeeper.config import Config
from watchkeeper.text import one_line

if TYPE_CHECKING:
    from alerting.channels.slack.standin.links import Links

# Bytes; a message of 50 full blocks fits, and a picture.
LIMITS: Final = Limits(otherwise=64 << 10, paths={"/api/": 1 << 20, "/upload/": 4 << 20})
PROTECTION: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}
PAGE: Final = Path(__file__).with_name("page.html")
STATIC: Final = {"page.js": "text/javascript", "page.css": "text/css"}
TEXT_LIMIT: Final = 40_000  # characters of a message's text, as Slack has it (chat.postMessage)
Arguments = dict[str, Any]


class StandIn:
    """Slack's methods, as far as the program and its tests use them."""

    def __init__(self, config: Config, request_url: Callable[[], str], limits: RateLimits | None = None) -> None:
        """`limits` makes it refuse what is too much, as Slack does; without, it takes everything."""
        self.limits = limits
        self._token = config.slack_token()
        members = {person.address("slack"): person for person in config.oncall.people if person.address("slack")}
        others = {channel for rule in config.oncall.stakeholders for channel in rule.slack_channels}
        self.workspace = Workspace(config.data_dir / "standin" / "messages.db", config.slack.channel, members, others)
        own_url = config.slack_api_url().removesuffix("api/") + "standin/"
        self.links = _links() if config.slack.socket_mode else None
        self._app_token = config.slack_app_token()
        self.interactions = Interactions(
            self.workspace, config.slack_signing_secret(), request_url, own_url, self.links
        )
        self.troubles = Troubles()
        self.files = Files(
            config.data_dir / "standin" / "files", self.workspace, config.slack_api_url().removesuffix("api/")
        )
        self._people = {
            member: {"id": member, "name": person.id, "real_name": person.name, "tz": person.timezone}
            for member, person in members.items()
        }
        self._methods: dict[str, Callable[[Arguments], dict[str, Any]]] = {
            "auth.test": self._auth_test,
            "chat.postMessage": self._post_message,
            "chat.update": self._update,
            "chat.postEphemeral": self._post_ephemeral,
            "views.open": self._views_open,
            "views.publish": self._views_publish,
            "files.getUploadURLExternal": self.files.upload_url,
            "files.completeUploadExternal": self.files.complete,
            "conversations.list": self._conversations_list,
            "conversations.history": self._history,
            "conversations.replies": self._replies,
            "users.info": self._users_info,
        }

    def application(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/", self._page),
                Route("/healthz", _ok),
                Route("/readyz", _ok),
                Route("/api/{method}", self._api, methods=["GET", "POST"]),
                Route("/upload/v1/{ticket}", self._upload, methods=["POST"]),
                Route("/files/{name}", self._file),
                Route("/standin/messages", self._messages),
                Route("/standin/press", self._press, methods=["POST"]),
                Route("/standin/submit", self._submit, methods=["POST"]),
                Route("/standin/command", self._command, methods=["POST"]),
                Route("/standin/home", self._home, methods=["POST"]),
                Route("/standin/shortcut", self._shortcut, methods=["POST"]),
                Route("/standin/responses/{token}", self._respond, methods=["POST"]),
                Route("/standin/trouble", self._trouble, methods=["POST"]),
                Route("/standin/delete", self._delete, methods=["POST"]),
                Route("/metrics", _metrics),
                Route("/{name}", _static),
            ],
            # It has no sign-in, so only this machine's own names reach it, and only its own page may write.
            middleware=[
                Middleware(Door, names=Names(listens="127.0.0.1"), limits=LIMITS, protection=PROTECTION),
            ],
        )

    # Slack's Web API

    async def _api(self, request: Request) -> Response:
        if request.path_params["method"] == "apps.connections.open":
            return await self._open_connection(request)
        method = self._methods.get(request.path_params["method"])
        if method is None:
            return JSONResponse({"ok": False, "error": "unknown_method", "req_method": request.path_params["method"]})
        try:
            arguments = await _arguments(request)
        except ValueError:
            return JSONResponse({"ok": False, "error": "invalid_json"})
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        given = token if scheme.lower() == "bearer" else str(arguments.pop("token", ""))
        if not given:
            return JSONResponse({"ok": False, "error": "not_authed"})
        if not secrets.compare_digest(given, self._token):
            return JSONResponse({"ok": False, "error": "invalid_auth"})
        name = request.path_params["method"]
        if needed := missing_scope(name):
            return JSONResponse({"ok": False, "error": "missing_scope", "needed": needed})
        wait_s = self.limits.wait_s(name, str(arguments.get("channel", "")).lstrip("#")) if self.limits else 0.0
        if wait_s:
            return _too_fast(wait_s)
        trouble = self.troubles.of(name)
        if trouble and (refusal := _refusal(trouble)):
            return refusal
        try:
            answer = method(arguments)
            if trouble:  # lost_answer: done, but the caller never hears of it
                return JSONResponse({"ok": False, "error": "internal_error"}, status_code=500)
            return JSONResponse({"ok": True} | answer, headers={HEADER: scopes_asked()})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            if not isinstance(error, RuleError):
                return JSONResponse({"ok": False, "error": "invalid_arguments"})
            refused: dict[str, Any] = {"ok": False, "error": error.code}
            return JSONResponse(refused | ({"response_metadata": {"messages": error.details}} if error.details else {}))

    async def _open_connection(self, request: Request) -> Response:
        """apps.connections.open: it takes the app-level token alone."""
        _, _, given = request.headers.get("authorization", "").partition(" ")
        trouble = self.troubles.of("apps.connections.open")
        if trouble and (refusal := _refusal(trouble)):
            return refusal
        if not given.startswith("xapp-"):
            return JSONResponse({"ok": False, "error": "not_allowed_token_type" if given else "not_authed"})
        if not secrets.compare_digest(given, self._app_token):
            return JSONResponse({"ok": False, "error": "invalid_auth"})
        if self.links is None:
            return JSONResponse({"ok": False, "error": "forbidden_team"})
        return JSONResponse({"ok": True, "url": await self.links.url()})

    def _auth_test(self, _: Arguments) -> dict[str, Any]:
        return {"url": "http://127.0.0.1/", "team": "Local", "user": "watchkeeper", **BOT}

    def _post_message(self, arguments: Arguments) -> dict[str, Any]:
        channel = self.workspace.channel_id(_required(arguments, "channel", "channel_not_found"))
        content = _content(arguments)
        if str(arguments.get("reply_broadcast", "")).lower() in ("true", "1"):
            content["reply_broadcast"] = True
        thread_ts = arguments.get("thread_ts")
        message = self.workspace.post(channel, content, str(thread_ts) if thread_ts else None)
        return {"channel": channel, "ts": message["ts"], "message": message}

    def _update(self, arguments: Arguments) -> dict[str, Any]:
        channel = self.workspace.channel_id(_required(arguments, "channel", "channel_not_found"))
        ts = _required(arguments, "ts", "message_not_found")
        message = self.workspace.edit(channel, ts, _content(arguments))
        return {"channel": channel, "ts": ts, "text": message["text"], "message": message}

    def _post_ephemeral(self, arguments: Arguments) -> dict[str, Any]:
        channel = self.workspace.channel_id(_required(arguments, "channel", "channel_not_found"))
        user = _required(arguments, "user", "user_not_in_channel")
        ts = self.workspace.whisper(channel, user, str(arguments.get("text", "")))
        self.interactions.notified(user)
        return {"message_ts": ts}

    def _views_open(self, arguments: Arguments) -> dict[str, Any]:
        view = arguments.get("view")
        view = plain_json(view) if isinstance(view, str) else view
        return {"view": self.interactions.open(_required(arguments, "trigger_id", "invalid_trigger_id"), view or {})}

    def _views_publish(self, arguments: Arguments) -> dict[str, Any]:
        view = arguments.get("view")
        view = plain_json(view) if isinstance(view, str) else view
        return {"view": self.interactions.publish(_required(arguments, "user_id", "user_not_found"), view or {})}

    def _conversations_list(self, _: Arguments) -> dict[str, Any]:
        return {"channels": [self.workspace.channel], "response_metadata": {"next_cursor": ""}}

    def _history(self, arguments: Arguments) -> dict[str, Any]:
        channel = self.workspace.channel_id(_required(arguments, "channel", "channel_not_found"))
        limit, cursor = _limit(arguments), str(arguments.get("cursor") or "")
        oldest = str(arguments.get("oldest") or "0")
        messages = self.workspace.messages(channel, limit + 1, oldest=oldest, before=cursor)
        return _page_of([_without_metadata(message, arguments) for message in messages], limit)

    def _replies(self, arguments: Arguments) -> dict[str, Any]:
        channel = self.workspace.channel_id(_required(arguments, "channel", "channel_not_found"))
        limit, cursor = _limit(arguments), str(arguments.get("cursor") or "0")
        ts = _required(arguments, "ts", "thread_not_found")
        messages = self.workspace.thread(channel, ts, limit + 1, after=cursor)
        return _page_of([_without_metadata(message, arguments) for message in messages], limit)

    def _users_info(self, arguments: Arguments) -> dict[str, Any]:
        person = self._people.get(_required(arguments, "user", "user_not_found"))
        if person is None:
            raise RuleError("user_not_found")
        return {"user": person}

    async def _upload(self, request: Request) -> Response:
        """Where the bytes of a file go. Its address is all that it takes, as with Slack's."""
        try:
            self.files.receive(request.path_params["ticket"], await request.body())
        except RuleError as error:
            return PlainTextResponse(error.code, status_code=400)
        return PlainTextResponse("OK")

    # The page, and whoever presses its buttons

    async def _file(self, request: Request) -> Response:
        """A picture that was shared, for the page."""
        content = self.files.content(request.path_params["name"])
        if content is None:
            return JSONResponse({"error": "no such file"}, status_code=404)
        return Response(content, media_type="image/png")

    async def _page(self, _: Request) -> Response:
        return HTMLResponse(PAGE.read_text(encoding="utf-8"))

    async def _messages(self, request: Request) -> Response:
        channel = str(self.workspace.channel["id"])
        messages = self.workspace.messages(channel)
        for message in messages:
            message["replies"] = self.workspace.thread(channel, message["ts"])[1:]
        return JSONResponse(
            {
                "channel": self.workspace.channel,
                "messages": messages[::-1],
                "direct": {user: self.workspace.messages(channel) for user, channel in self.workspace.direct.items()},
                "others": {channel: self.workspace.messages(channel) for channel in sorted(self.workspace.others)},
                "whispers": self.workspace.whispers(channel, request.query_params.get("since", "0")),
                "people": list(self._people.values()),
            }
        )

    async def _press(self, request: Request) -> Response:
        async def act(body: dict[str, Any], user: dict[str, str]) -> dict[str, Any]:
            channel, ts, action_id = _texts(body, "channel", "ts", "action_id")
            return await self.interactions.press(channel, ts, action_id, user)

        return await self._act(request, act)

    async def _submit(self, request: Request) -> Response:
        async def act(body: dict[str, Any], user: dict[str, str]) -> dict[str, Any]:
            values = {name: value for name, value in body["values"].items() if isinstance(value, str)}
            (view_id,) = _texts(body, "view_id")
            return await self.interactions.submit(view_id, values, user)

        return await self._act(request, act)

    async def _command(self, request: Request) -> Response:
        async def act(body: dict[str, Any], user: dict[str, str]) -> dict[str, Any]:
            (text,) = _texts(body, "text")
            channel = {"id": str(self.workspace.channel["id"]), "name": str(self.workspace.channel["name"])}
            return await self.interactions.command(text, user, channel)

        return await self._act(request, act)

    async def _home(self, request: Request) -> Response:
        """Open the app's home tab, and press a button of it if `action_id` names one."""

        async def act(body: dict[str, Any], user: dict[str, str]) -> dict[str, Any]:
            if "action_id" in body:
                (action_id,) = _texts(body, "action_id")
                return await self.interactions.press_at_home(action_id, user)
            return await self.interactions.open_home(user)

        return await self._act(request, act)

    async def _shortcut(self, request: Request) -> Response:
        async def act(body: dict[str, Any], user: dict[str, str]) -> dict[str, Any]:
            channel, ts, text, thread_ts = _texts({"thread_ts": ""} | body, "channel", "ts", "text", "thread_ts")
            message = {"type": "message", "user": user["id"], "ts": ts, "text": text}
            message |= {"thread_ts": thread_ts} if thread_ts else {}
            return await self.interactions.shortcut(channel, message, user)

        return await self._act(request, act)

    async def _respond(self, request: Request) -> Response:
        """Where a late answer to a command goes, as Slack's `response_url`."""

        async def act(body: dict[str, Any], _: dict[str, str]) -> dict[str, Any]:
            (text,) = _texts(body, "text")
            self.interactions.responded(request.path_params["token"], text)
            return {}

        return await self._act(request, act, signed_in=False)

    async def _trouble(self, request: Request) -> Response:
        """Make the next calls of a method fail: `{method, kind, times, retry_after_s}`."""

        async def act(body: dict[str, Any], _: dict[str, str]) -> dict[str, Any]:
            _texts(body, "method")
            self.troubles.add(Trouble(**{key: body[key] for key in Trouble.__slots__ if key in body}))
            return {}

        return await self._act(request, act, signed_in=False)

    async def _delete(self, request: Request) -> Response:
        async def act(body: dict[str, Any], _: dict[str, str]) -> dict[str, Any]:
            self.workspace.delete(*_texts(body, "channel", "ts"))
            return {}

        return await self._act(request, act, signed_in=False)

    def _user(self, member: str) -> dict[str, str]:
        person = self._people.get(member)
        if person is None:
            raise RuleError("user_not_found")
        return {"id": person["id"], "username": person["name"], "name": person["name"]}

    async def _act(
        self,
        request: Request,
        act: Callable[[dict[str, Any], dict[str, str]], Awaitable[dict[str, Any]]],
        *,
        signed_in: bool = True,
    ) -> Response:
        # A form of another site can't send this content type without asking first, so it can't press buttons.
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return JSONResponse({"ok": False, "error": "send application/json"}, status_code=415)
        try:
            body = plain_object(await request.body())
            user = self._user(body.get("user", "")) if signed_in else {}
            return JSONResponse({"ok": True} | await act(body, user))
        except RuleError as error:
            return JSONResponse({"ok": False, "error": error.code, "details": error.details}, status_code=409)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            return JSONResponse({"ok": False, "error": f"malformed: {one_line(error)}"}, status_code=400)


def _links() -> Links:
    from alerting.channels.slack.standin.links import Links  # its server takes a quarter of a second to import

    return Links(BOT["app_id"])


def _too_fast(wait_s: float) -> Response:
    """Slack's answer, with the wait in seconds, rounded up."""
    headers = {"Retry-After": f"{math.ceil(wait_s)}"}
    return JSONResponse({"ok": False, "error": "ratelimited"}, status_code=429, headers=headers)


def _refusal(trouble: Trouble) -> Response | None:
    """What Slack answers where it does nothing; None for a thing that is done, but of which the caller never hears."""
    match trouble.kind:
        case "ratelimited":
            headers = {"Retry-After": f"{trouble.retry_after_s:g}"}
            return JSONResponse({"ok": False, "error": "ratelimited"}, status_code=429, headers=headers)
        case "unavailable":
            return JSONResponse({"ok": False, "error": "service_unavailable"}, status_code=503)
        case "refused":
            return JSONResponse({"ok": False, "error": trouble.error})
    return None


async def _metrics(_: Request) -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _static(request: Request) -> Response:
    """The page's own style and script, and nothing else that lies beside them."""
    name = request.path_params["name"]
    if name not in STATIC:
        return JSONResponse({"error": f"no such path /{name}"}, status_code=404)
    return Response(PAGE.with_name(name).read_bytes(), media_type=STATIC[name], headers={"Cache-Control": "no-cache"})


async def _ok(_: Request) -> Response:
    return PlainTextResponse("ok")


async def _arguments(request: Request) -> Arguments:
    """A call's arguments: JSON, a form, or the query string."""
    arguments: Arguments = dict(request.query_params)
    if request.headers.get("content-type", "").startswith("application/json"):
        arguments |= plain_object(await request.body())
    elif request.method == "POST":
        arguments |= {key: str(value) for key, value in (await request.form(max_files=0, max_fields=50)).items()}
    return arguments


def _texts(body: dict[str, Any], *names: str) -> list[str]:
    """The texts that a press consists of."""
    for name in names:
        if not isinstance(body[name], str):
            raise TypeError(f"{name} must be a text")
    return [body[name] for name in names]


def _limit(arguments: Arguments) -> int:
    limit = int(arguments.get("limit") or 100)
    if not 0 < limit <= 1000:
        raise RuleError("invalid_limit")
    return limit


def _page_of(messages: list[dict[str, Any]], limit: int) -> dict[str, Any]:
    """A page of messages; the cursor of the next is the timestamp of this one's last."""
    more = len(messages) > limit
    cursor = messages[limit - 1]["ts"] if more else ""
    return {"messages": messages[:limit], "has_more": more, "response_metadata": {"next_cursor": cursor}}


def _without_metadata(message: dict[str, Any], arguments: Arguments) -> dict[str, Any]:
    """Slack shows metadata only to those who ask for it."""
    asked = str(arguments.get("include_all_metadata", "")).lower() in ("true", "1")
    return message if asked else {key: value for key, value in message.items() if key != "metadata"}


def _required(arguments: Arguments, name: str, error: str) -> str:
    value = arguments.get(name)
    if not value:
        raise RuleError(error)
    return str(value)


def _content(arguments: Arguments) -> dict[str, Any]:
    """Text, blocks and metadata of a message, checked."""
    text = str(arguments.get("text") or "")
    blocks = arguments.get("blocks")
    blocks = plain_json(blocks) if isinstance(blocks, str) else blocks
    if not text and not blocks:
        raise RuleError("no_text")
    if len(text) > TEXT_LIMIT:
        raise RuleError("msg_too_long")
    content: dict[str, Any] = {"text": text}
    if blocks is not None:
        check_blocks(blocks)
        content["blocks"] = blocks
    metadata = arguments.get("metadata")
    metadata = plain_json(metadata) if isinstance(metadata, str) else metadata
    if metadata:
        if not isinstance(metadata, dict) or set(metadata) < {"event_type", "event_payload"}:
            raise RuleError("invalid_metadata_format")
        content["metadata"] = metadata
    return content
