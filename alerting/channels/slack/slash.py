"""The slash command `/watch`: looks for anybody in the workspace, acts for whom the configuration knows.

What takes longer than Slack waits is answered at the address that Slack gave with the order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, Protocol

import structlog
from prometheus_client import Counter
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from alerting.channels.slack.form import judgement_view
from alerting.channels.slack.markup import slack_text
from alerting.channels.slack.pressing import opened
from alerting.channels.slack.recorded import RECORDED_WITHIN_S
from alerting.channels.slack.watch_answers import LONGEST, WatchAnswers
from alerting.channels.slack.watch_words import Order, order_of
from watchkeeper.errors import WatchkeeperError
from watchkeeper.vocabulary import Actor

COMMAND: Final = "/watch"
GIVEN = Counter("watchkeeper_slack_commands_total", "Orders by `/watch`, by verb and outcome.", ["verb", "outcome"])
# Where a late answer may go, beside the address of the API: Slack's own, and no other that a body names.
RESPONSES: Final = "https://hooks.slack.com/"
FAILED: Final = "That failed, and nothing is known of it here. Try again; the log of the web role has the reason."


class People(Protocol):
    """Who acts."""

    def known(self, user: str) -> Actor | None: ...
    def why_unknown(self, user: str) -> str: ...
    async def notify(self, client: AsyncWebClient, body: dict[str, Any], text: str) -> None: ...


class WatchCommand:
    """Its listener. `api_url` is where Slack's API is."""

    def __init__(self, answers: WatchAnswers, people: People, api_url: str) -> None:
        self._answers = answers
        self._people = people
        self._own = api_url.removesuffix("api/") + "standin/responses/"

    def connect(self, app: AsyncApp) -> None:
        """Let it answer."""
        app.command(COMMAND)(self._given)

    async def _given(self, ack: Any, body: dict[str, Any], client: AsyncWebClient) -> None:
        working = asyncio.ensure_future(self._answer(body, client))
        await asyncio.wait({working}, timeout=RECORDED_WITHIN_S)
        if working.done():
            text = working.result()
            await (ack(text=text, response_type="ephemeral") if text else ack())
            return
        await ack(text="Working on it: the answer follows here.", response_type="ephemeral")
        if text := await working:
            await self._respond(body, client, text)

    async def _answer(self, body: Mapping[str, Any], client: AsyncWebClient) -> str:
        """What whoever gave the order reads; nothing where a form asks for more."""
        verb = "unknown"
        try:
            order = order_of(body.get("text", ""))
            verb = order.verb
            text = await self._carried_out(order, body, client)
            outcome = "ok"
        except WatchkeeperError as error:
            text, outcome = slack_text(error.message, LONGEST), "refused"
        except Exception as error:  # noqa: BLE001 - whoever gave the order reads that it failed
            structlog.get_logger().error("slack.command_failed", error=repr(error), exc_info=error)
            text, outcome = FAILED, "failed"
        GIVEN.labels(verb, outcome).inc()
        return text if len(text) <= LONGEST else _cut(text)

    async def _carried_out(self, order: Order, body: Mapping[str, Any], client: AsyncWebClient) -> str:
        if order.reads:
            return await asyncio.to_thread(self._answers.look, order)
        user = body["user_id"]
        actor = self._people.known(user)
        if actor is None:
            return slack_text(self._people.why_unknown(user), LONGEST)
        if order.verb == "label" and order.judgement is None:
            return await self._ask_label(order, body, client)
        # Slack gives the same trigger with a repeat of the same order.
        key = f"slack:watch:{user}:{body['trigger_id']}"
        text = await asyncio.to_thread(self._answers.act, order, actor, key)
        structlog.get_logger().info("slack.watch", verb=order.verb, actor=actor.name)
        return text

    async def _ask_label(self, order: Order, body: Mapping[str, Any], client: AsyncWebClient) -> str:
        """Open the form of the label."""
        incident = await asyncio.to_thread(self._answers.incident, order.subject)
        if await opened(client, body, judgement_view(incident), incident=incident.id):
            return ""
        return f"The form did not open. Write it so: `/watch label {incident.id} yes cause SERVICE`"

    async def _respond(self, body: Mapping[str, Any], client: AsyncWebClient, text: str) -> None:
        """A late answer, to whoever gave the order alone."""
        url = str(body.get("response_url", ""))
        if url.startswith((RESPONSES, self._own)):
            answer = await AsyncWebhookClient(url, timeout=5).send(text=text, response_type="ephemeral")
            if answer.status_code == 200:
                return
            structlog.get_logger().warning("slack.late_answer_refused", status=answer.status_code)
        channel = {"id": body["channel_id"]} if body.get("channel_id") else None
        await self._people.notify(client, {"user": {"id": body["user_id"]}, "channel": channel}, text)


def _cut(text: str) -> str:
    """Whole lines, as many as fit."""
    kept = text[: LONGEST - 40]
    return (kept.rpartition("\n")[0] or kept) + "\nand more that does not fit here"
