"""Presses and submitted forms, sent to the program's request URL as Slack sends them: signed, within three seconds."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import httpx
from slack_sdk.signature import SignatureVerifier

from alerting.channels.slack.standin.rules import RuleError, check_view
from alerting.channels.slack.standin.workspace import BOT, Workspace

if TYPE_CHECKING:
    from alerting.channels.slack.standin.links import Links

TRIGGER_S: Final = 3.0  # how long a trigger id lives, and how long Slack waits for an answer (Slack's documentation)
OPENS_FORM: Final = ("resolve", "experiment_postpone")
TRIES: Final = 3  # of a request without an answer


class Interactions:
    """The half of Slack that calls back."""

    def __init__(
        self,
        workspace: Workspace,
        signing_secret: str,
        request_url: Callable[[], str],
        own_url: str = "",
        links: Links | None = None,
    ) -> None:
        """`own_url` is where late answers go, below this stand-in's own address; `links` are there for Socket Mode."""
        self._links = links
        self._own_url = own_url
        self._homes: dict[str, dict[str, Any]] = {}
        self._responses: dict[str, tuple[str, str]] = {}
        self._workspace = workspace
        self._verifier = SignatureVerifier(signing_secret)
        self._request_url = request_url
        self._triggers: dict[str, tuple[float, str]] = {}
        self._views: dict[str, dict[str, Any]] = {}
        self._waiting: dict[str, asyncio.Event] = {}  # presses that may still open a form, by trigger
        self._by_trigger: dict[str, str] = {}

    async def press(self, channel: str, ts: str, action_id: str, user: dict[str, str]) -> dict[str, Any]:
        """Press a button of a message; returns the form that it opened, if it did.

        Raises:
            RuleError: no such message or button, or the program did not answer.
        """
        message = self._workspace.thread(channel, ts)[0]
        payload = self._payload("block_actions", user) | {
            "channel": {"id": channel, "name": self._workspace.channel["name"]},
            "container": {"type": "message", "message_ts": ts, "channel_id": channel},
            "message": message,
            "response_url": "",
            "actions": [_find(message, action_id) | {"action_ts": f"{time.time():.6f}"}],
        }
        return await self._pressed(payload, opens_form=action_id in OPENS_FORM)

    async def open_home(self, user: dict[str, str]) -> dict[str, Any]:
        """Open the app's home tab; the view that the program published.

        Raises:
            RuleError: the program did not answer, or published nothing.
        """
        self._homes.pop(user["id"], None)
        event = {"type": "app_home_opened", "user": user["id"], "tab": "home", "channel": f"D{user['id']}"}
        callback = {"type": "event_callback", "api_app_id": BOT["app_id"], "team_id": BOT["team_id"], "event": event}
        await self._deliver(callback)
        for _ in range(int(TRIGGER_S / 0.02)):
            if view := self._homes.get(user["id"]):
                return {"view": view}
            await asyncio.sleep(0.02)
        raise RuleError("not_published")

    async def press_at_home(self, action_id: str, user: dict[str, str]) -> dict[str, Any]:
        """Press a button of the home tab as it was published last; the form that it opened, if it did."""
        view = self._homes.get(user["id"], {})
        payload = self._payload("block_actions", user) | {
            "container": {"type": "view", "view_id": "VHOME"},
            "actions": [_find(view, action_id) | {"action_ts": f"{time.time():.6f}"}],
        }
        return await self._pressed(payload, opens_form=action_id.startswith("swap_ask"))

    async def shortcut(self, channel: str, message: dict[str, Any], user: dict[str, str]) -> dict[str, Any]:
        """Choose "Add to timeline" at somebody's message; the form that it opened, if it did."""
        payload = self._payload("message_action", user) | {
            "callback_id": "add_to_timeline",
            "channel": {"id": channel, "name": self._workspace.channel["name"]},
            "message": message,
            "message_ts": message["ts"],
            "response_url": "",
        }
        return await self._pressed(payload, opens_form=True)

    def publish(self, user: str, view: dict[str, Any]) -> dict[str, Any]:
        """views.publish: the home tab of a user.

        Raises:
            RuleError: the view is wrong.
        """
        check_view(view)
        if view["type"] != "home":
            raise RuleError("invalid_arguments", "views.publish takes a home tab")
        self._homes[user] = view
        return view

    def _payload(self, kind: str, user: dict[str, str]) -> dict[str, Any]:
        """What every interaction has."""
        return {
            "type": kind,
            "user": user | {"team_id": BOT["team_id"]},
            "api_app_id": BOT["app_id"],
            "team": {"id": BOT["team_id"], "domain": "local"},
            "trigger_id": self._trigger(user["id"]),
        }

    async def _pressed(self, payload: dict[str, Any], *, opens_form: bool) -> dict[str, Any]:
        """Send an interaction; the form that it opened, if it did."""
        trigger = payload["trigger_id"]
        self._waiting[trigger] = asyncio.Event()
        try:
            await self._deliver(payload)
            # A handler opens its form after the answer, while the trigger lives.
            wait_s = TRIGGER_S if opens_form else 0.05
            await asyncio.wait_for(self._waiting[trigger].wait(), wait_s)
        except TimeoutError:
            pass
        finally:
            del self._waiting[trigger]
        view_id = self._by_trigger.pop(trigger, None)
        return {"view": self._views[view_id]} if view_id else {}

    async def command(self, text: str, user: dict[str, str], channel: dict[str, str]) -> dict[str, Any]:
        """Give the slash command `/watch`; its answer and the form that it opened, if it did.

        Raises:
            RuleError: the program did not answer.
        """
        trigger, token = self._trigger(user["id"]), secrets.token_hex(8)
        self._responses[token] = channel["id"], user["id"]
        fields = {
            "command": "/watch",
            "text": text,
            "user_id": user["id"],
            "user_name": user["name"],
            "team_id": BOT["team_id"],
            "api_app_id": BOT["app_id"],
            "channel_id": channel["id"],
            "channel_name": channel["name"],
            "trigger_id": trigger,
            "response_url": f"{self._own_url}responses/{token}",
        }
        answer = await self._deliver(fields)
        view_id = self._by_trigger.pop(trigger, None)
        return {"answer": answer.get("text", "")} | ({"view": self._views[view_id]} if view_id else {})

    def responded(self, token: str, text: str) -> None:
        """A late answer to a command, at the address that came with it; only whoever gave it sees it.

        Raises:
            RuleError: no command was given that address.
        """
        if token not in self._responses:
            raise RuleError("used_url")
        if not 0 < len(text) <= 40_000:
            raise RuleError("no_text")
        channel, user = self._responses[token]
        self._workspace.whisper(channel, user, text)

    def notified(self, user: str) -> None:
        """Somebody got a message instead of a form: their press need not wait for one."""
        for trigger, waiting in self._waiting.items():
            if self._triggers.get(trigger, (0.0, ""))[1] == user:
                waiting.set()

    def open(self, trigger: str, view: dict[str, Any]) -> dict[str, Any]:
        """views.open: show a form to whoever pressed.

        Raises:
            RuleError: the form is wrong, or the trigger is unknown, used or too old.
        """
        check_view(view)
        issued = self._triggers.pop(trigger, None)
        if issued is None:
            raise RuleError("exchanged_trigger_id")
        if time.monotonic() - issued[0] > TRIGGER_S:
            raise RuleError("expired_trigger_id")
        view_id = f"V{secrets.token_hex(5).upper()}"
        opened = view | {
            "id": view_id,
            "team_id": BOT["team_id"],
            "state": {"values": {}},
            "hash": secrets.token_hex(8),
        }
        self._views[view_id] = opened
        self._by_trigger[trigger] = view_id
        if trigger in self._waiting:
            self._waiting[trigger].set()
        return opened

    async def submit(self, view_id: str, values: dict[str, str], user: dict[str, str]) -> dict[str, Any]:
        """Submit a form. `values` gives each block's value; the program's answer is returned.

        Raises:
            RuleError: no such form, or the program did not answer.
        """
        view = self._views.get(view_id)
        if view is None:
            raise RuleError("view_not_found")
        inputs = [block for block in view["blocks"] if block["type"] == "input"]
        state = {block["block_id"]: _state(block, values.get(block["block_id"])) for block in inputs}
        missing = [b["block_id"] for b in inputs if not b.get("optional") and not values.get(b["block_id"])]
        if missing:
            raise RuleError("missing_input", *missing)
        payload = {
            "type": "view_submission",
            "team": {"id": BOT["team_id"], "domain": "local"},
            "user": user | {"team_id": BOT["team_id"]},
            "api_app_id": BOT["app_id"],
            "trigger_id": self._trigger(user["id"]),
            "view": view | {"state": {"values": state}},
        }
        answer = await self._deliver(payload)
        if not answer.get("errors"):
            self._views.pop(view_id, None)
        return answer

    def _trigger(self, user: str) -> str:
        trigger = f"{time.time_ns() // 1000}.{secrets.token_hex(8)}"
        self._triggers = {t: i for t, i in self._triggers.items() if time.monotonic() - i[0] < 60}
        self._triggers[trigger] = (time.monotonic(), user)
        return trigger

    async def _deliver(self, payload: dict[str, Any]) -> dict[str, Any]:
        """POST with a signature; Slack tries again when there is no answer within three seconds."""
        if self._links is not None:
            return await self._over(self._links, payload)
        is_event = payload.get("type") == "event_callback"
        form = urlencode(payload if "command" in payload else {"payload": json.dumps(payload)})
        body = json.dumps(payload) if is_event else form
        async with httpx.AsyncClient(timeout=TRIGGER_S, trust_env=False) as client:
            for number in range(TRIES):
                stamp = str(int(time.time()))
                headers = {
                    "Content-Type": "application/json" if is_event else "application/x-www-form-urlencoded",
                    "X-Slack-Request-Timestamp": stamp,
                    "X-Slack-Signature": self._verifier.generate_signature(timestamp=stamp, body=body) or "",
                }
                if number:
                    headers |= {"X-Slack-Retry-Num": str(number), "X-Slack-Retry-Reason": "http_timeout"}
                try:
                    answer = await client.post(self._request_url(), content=body, headers=headers)
                except httpx.HTTPError:
                    await asyncio.sleep(0.5 * (number + 1))
                    continue
                if answer.status_code == 200:
                    result: dict[str, Any] = answer.json() if answer.text.startswith("{") else {}
                    return result
                raise RuleError("dispatch_failed", f"HTTP {answer.status_code}: {answer.text[:200]}")
        raise RuleError("dispatch_failed", "the program did not answer: is the web role running?")

    async def _over(self, links: Links, payload: dict[str, Any]) -> dict[str, Any]:
        """Over Socket Mode, with the same patience."""
        is_event = payload.get("type") == "event_callback"
        kind = "events_api" if is_event else "slash_commands" if "command" in payload else "interactive"
        for number in range(TRIES):
            if (answer := await links.deliver(kind, payload, number)) is not None:
                return answer
            await asyncio.sleep(0.5 * (number + 1))
        raise RuleError("dispatch_failed", "no connection took it: is the web role running?")


def _find(message: dict[str, Any], action_id: str) -> dict[str, Any]:
    for block in message.get("blocks") or []:
        for element in block.get("elements") or [] if block["type"] == "actions" else []:
            if element.get("action_id") == action_id:
                action: dict[str, Any] = element | {"block_id": block.get("block_id", "")}
                return action
    raise RuleError("no_such_action", action_id)


def _state(block: dict[str, Any], value: str | None) -> dict[str, Any]:
    """A block's value in the shape that Slack gives it."""
    element = block["element"]
    if element["type"] == "static_select":
        chosen = next((option for option in element["options"] if option["value"] == value), None)
        return {element["action_id"]: {"type": "static_select", "selected_option": chosen}}
    if element["type"] == "datetimepicker":
        chosen_at = int(value) if value else None
        return {element["action_id"]: {"type": "datetimepicker", "selected_date_time": chosen_at}}
    return {element["action_id"]: {"type": element["type"], "value": value or None}}
