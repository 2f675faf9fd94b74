"""The buttons under a scheduled experiment: approve, refuse, postpone with a form for the time, and stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, Protocol

import structlog
from slack_bolt.async_app import AsyncApp
from slack_sdk.models.blocks import DateTimePickerElement, InputBlock
from slack_sdk.web.async_client import AsyncWebClient

from alerting.channels.slack.blocks import plain
from alerting.channels.slack.menu_form import modal
from alerting.channels.slack.pressing import People, open_form
from alerting.channels.slack.recorded import recorded
from watchkeeper.errors import WatchkeeperError
from watchkeeper.text import one_line
from watchkeeper.vocabulary import Actor, utc

APPROVE: Final = "experiment_approve"
REFUSE: Final = "experiment_refuse"
POSTPONE: Final = "experiment_postpone"
STOP: Final = "experiment_stop"
WHEN: Final = "at"


class ExperimentDecisions(Protocol):
    """What people decide about runs of experiments. Each returns a sentence, or raises WatchkeeperError with one."""

    def approve(self, token: str, seen: str, actor: Actor) -> str: ...
    def refuse(self, token: str, seen: str, actor: Actor) -> str: ...
    def postpone(self, token: str, to: datetime, actor: Actor) -> str: ...
    def stop(self, token: str, actor: Actor) -> str: ...


class ExperimentButtons:
    """Their listeners."""

    def __init__(self, decisions: ExperimentDecisions, people: People) -> None:
        self._decisions = decisions
        self._people = people

    def connect(self, app: AsyncApp) -> None:
        """Let them answer."""
        for action in (APPROVE, REFUSE, STOP):
            app.action(action)(self._press)
        app.action(POSTPONE)(self._ask_when)
        app.view(POSTPONE)(self._postpone)

    async def _press(self, ack: Any, body: dict[str, Any], action: dict[str, Any], client: AsyncWebClient) -> None:
        token, _, seen = str(action.get("value") or "").partition(" ")
        decisions: dict[str, Callable[[Actor], str]] = {
            APPROVE: lambda actor: self._decisions.approve(token, seen, actor),
            REFUSE: lambda actor: self._decisions.refuse(token, seen, actor),
            STOP: lambda actor: self._decisions.stop(token, actor),
        }
        text, _ = await (await recorded(self._decide(client, body, decisions[action["action_id"]]), ack))
        if text:
            await self._people.notify(client, body, text[:1].upper() + text[1:] + ".")

    async def _decide(
        self, client: AsyncWebClient, body: dict[str, Any], decide: Callable[[Actor], str]
    ) -> tuple[str, bool]:
        """What whoever pressed reads, and whether it counts; nothing where they were told already."""
        actor = await self._people.actor(client, body)
        if actor is None:
            return "", False
        try:
            text = await asyncio.to_thread(decide, actor)
        except WatchkeeperError as error:
            return error.message, False
        structlog.get_logger().info("slack.experiment", actor=actor.name, decided=text)
        return text, True

    async def _ask_when(self, ack: Any, body: dict[str, Any], action: dict[str, Any], client: AsyncWebClient) -> None:
        await ack()
        if await self._people.actor(client, body) is None:
            return
        token = str(action.get("value") or "").partition(" ")[0]
        await open_form(self._people, client, body, partial(postpone_view, token), experiment=token)

    async def _postpone(self, ack: Any, body: dict[str, Any], view: dict[str, Any], client: AsyncWebClient) -> None:
        chosen = view["state"]["values"][WHEN][WHEN].get("selected_date_time")
        if chosen is None:
            await ack(response_action="errors", errors={WHEN: "choose a time"})
            return
        token = view["private_metadata"]
        text, counts = await self._decide(
            client, body, lambda actor: self._decisions.postpone(token, utc(chosen), actor)
        )
        if counts or not text:
            await ack()
        else:
            await ack(response_action="errors", errors={WHEN: one_line(text, 300)})


def postpone_view(token: str) -> dict[str, Any]:
    """The form that asks for a later time; Slack shows it in the reader's own zone. `token` names the run."""
    later = datetime.now(UTC) + timedelta(hours=1)
    with suppress(ValueError, TypeError):  # no run of ours: the decision says so
        later = max(later, datetime.fromisoformat(token.rpartition("@")[2]) + timedelta(hours=1))
    element = DateTimePickerElement(action_id=WHEN, initial_date_time=int(later.timestamp()) // 60 * 60)
    when = InputBlock(block_id=WHEN, label=plain("Run it at", 2000), element=element)
    return modal(POSTPONE, title="Postpone", submit="Postpone", kept=token, blocks=[when])
