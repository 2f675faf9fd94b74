"""Swaps of shifts in Slack: ask with a form, accept, decline or cancel with a button."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final

import structlog
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from alerting.channels.slack.blocks import section, slack_day
from alerting.channels.slack.markup import slack_text
from alerting.channels.slack.menu_form import chosen, menu, modal
from alerting.channels.slack.pressing import People, open_form
from alerting.channels.slack.recorded import recorded
from alerting.oncall import swaps
from alerting.oncall.escalation import known_person
from alerting.oncall.in_force import Rota
from alerting.oncall.swap_messages import ACCEPT, DECLINE
from watchkeeper.clock import Clock
from watchkeeper.config import OnCallConfig, PersonConfig
from watchkeeper.errors import StateError, WatchkeeperError
from watchkeeper.state.database import Database
from watchkeeper.text import seen_name
from watchkeeper.vocabulary import Actor, Window, utc

ASK: Final = "swap_ask"
CANCEL: Final = "swap_cancel"
TAKER: Final = "taker"
ANSWERS: Final[Mapping[str, swaps.Answer]] = {ACCEPT: "accepted", DECLINE: "declined", CANCEL: "cancelled"}
MOST: Final = 100  # people that a menu of Slack's takes


Refresh = Callable[[AsyncWebClient, str], Awaitable[None]]


class SwapButtons:
    """Their listeners."""

    def __init__(self, db: Database, rota: Rota, clock: Clock, people: People, refresh: Refresh) -> None:
        """`rota` gives that of the moment, `refresh` draws somebody's home tab anew."""
        self._refresh = refresh
        self._db = db
        self._rota = rota
        self._clock = clock
        self._people = people

    def connect(self, app: AsyncApp) -> None:
        """Let them answer."""
        # In the home tab, where a button may stand several times, each has a number.
        app.action(re.compile(rf"({'|'.join(ANSWERS)})(:\d+)?"))(self._answer)
        app.action(re.compile(rf"{ASK}(:\d+)?"))(self._ask_whom)
        app.view(ASK)(self._ask)

    async def _answer(self, ack: Any, body: dict[str, Any], action: dict[str, Any], client: AsyncWebClient) -> None:
        swap_id, given = str(action.get("value") or ""), ANSWERS[action["action_id"].partition(":")[0]]

        def answer(actor: Actor) -> str:
            done = swaps.answer(self._db, self._rota(), swap_id, given, self._clock.now(), actor)
            return f"{_described(self._rota(), done)}: {given}."

        text = await (await recorded(self._decide(client, body, answer), ack))
        if text:
            await self._people.notify(client, body, text)
            await self._refresh(client, body["user"]["id"])

    async def _decide(self, client: AsyncWebClient, body: dict[str, Any], decide: Callable[[Actor], str]) -> str:
        """What whoever pressed reads; nothing where they were told already."""
        actor = await self._people.actor(client, body)
        if actor is None:
            return ""
        try:
            text = await asyncio.to_thread(decide, actor)
        except WatchkeeperError as error:
            return error.message[:1].upper() + error.message[1:] + "."
        structlog.get_logger().info("slack.swap", actor=actor.name)
        return text

    async def _ask_whom(self, ack: Any, body: dict[str, Any], action: dict[str, Any], client: AsyncWebClient) -> None:
        await ack()
        actor = await self._people.actor(client, body)
        asker = known_person(self._rota(), actor)
        if asker is None:
            return
        value = str(action.get("value") or "")
        build = partial(ask_view, self._rota(), asker, value)
        await open_form(self._people, client, body, build, swap=asker.id)

    async def _ask(self, ack: Any, body: dict[str, Any], view: dict[str, Any], client: AsyncWebClient) -> None:
        taker = await chosen(ack, view, TAKER, "choose a person")
        if taker is None:
            return
        key = f"slack:swap:{body['user']['id']}:{view['id']}"

        def ask(actor: Actor) -> str:
            asker = known_person(self._rota(), actor)
            schedule, window = read_shift(view["private_metadata"])
            swap = swaps.Swap(schedule=schedule, asker=asker.id if asker else "", taker=taker, window=window)
            swaps.ask(self._db, self._rota(), swap, self._clock.now(), actor, key)
            return f"{_described(self._rota(), swap)}: asked. Nothing changes before they accept."

        if text := await self._decide(client, body, ask):
            await self._people.notify(client, body, text)
            await self._refresh(client, body["user"]["id"])


def shift_value(schedule: str, start: datetime, end: datetime) -> str:
    """A shift as a button's value."""
    return f"{int(start.timestamp())} {int(end.timestamp())} {schedule}"


def read_shift(value: str) -> tuple[str, Window]:
    """The shift of a button.

    Raises:
        StateError: the value is of no button of ours.
    """
    start, _, rest = value.partition(" ")
    end, _, schedule = rest.partition(" ")
    try:
        window = Window(start=utc(int(start)), end=utc(int(end)))
    except (ValueError, OverflowError, OSError) as error:
        raise StateError("that button is of no shift; open the home tab again") from error
    return schedule, window


def ask_view(oncall: OnCallConfig, asker: PersonConfig, value: str) -> dict[str, Any]:
    """The form that asks who should take a shift.

    Raises:
        StateError: there is nobody else, or the value is of no shift.
    """
    schedule, window = read_shift(value)
    others = [person for person in oncall.people if person.id != asker.id][:MOST]
    if not others:
        raise StateError("there is nobody else in oncall.people who could take a shift")
    shift = f"{slack_text(seen_name(schedule), 100)}: {slack_day(window.start)} to {slack_day(window.end)}"
    which = menu(TAKER, "Who should take it?", [(person.id, person.name) for person in others])
    return modal(ASK, title="Swap a shift", submit="Ask", kept=value, blocks=[section(shift), which])


def _described(oncall: OnCallConfig, swap: swaps.Swap) -> str:
    taker = oncall.person(swap.taker)
    span = f"{swap.window.start:%a %Y-%m-%d %H:%M} to {swap.window.end:%a %Y-%m-%d %H:%M} UTC"
    return f"{taker.name if taker else swap.taker} for {seen_name(swap.asker)} in {seen_name(swap.schedule)}, {span}"
