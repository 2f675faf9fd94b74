"""The home tab of the app: my shifts, my incidents, what I owe. It is drawn anew whenever somebody opens it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import structlog
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackClientError
from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    ButtonElement,
    ContextBlock,
    DividerBlock,
    HeaderBlock,
)
from slack_sdk.web.async_client import AsyncWebClient

from alerting.channels.slack.blocks import button, mark, marked, plain, rendered, section, slack_day, slack_time
from alerting.channels.slack.markup import slack_text
from alerting.channels.slack.owed import Owed
from alerting.channels.slack.swap_buttons import ASK, CANCEL, shift_value
from alerting.oncall.schedule import Shift
from alerting.oncall.swap_messages import ACCEPT, DECLINE
from alerting.oncall.swaps import Swap
from watchkeeper.errors import WatchkeeperError
from watchkeeper.text import seen_name

EVENT: Final = "app_home_opened"
LISTED: Final = 6  # of each sort; a home tab takes 100 blocks
Read = Callable[[str], Owed | None]


class HomeTab:
    """Its listener. `read` gives what is about the user of an id of Slack's, None for somebody unknown."""

    def __init__(self, read: Read, why_unknown: Callable[[str], str], url: str) -> None:
        self._read = read
        self._why_unknown = why_unknown
        self._url = url

    def connect(self, app: AsyncApp) -> None:
        """Let it answer."""
        app.event(EVENT)(self._opened)

    async def _opened(self, event: dict[str, Any], client: AsyncWebClient) -> None:
        if event.get("tab", "home") == "home":
            await self.show(client, event["user"])

    async def show(self, client: AsyncWebClient, user: str) -> None:
        """Draw the tab of one user, by their id of Slack's."""
        try:
            owed = await asyncio.to_thread(self._read, user)
            blocks = home_blocks(owed, self._url) if owed else _unknown(self._why_unknown(user), self._url)
        except WatchkeeperError as error:
            blocks = rendered([section(f"This cannot be shown now: {slack_text(error.message, 1000)}")])
        try:
            await client.views_publish(user_id=user, view={"type": "home", "blocks": blocks})
        except (SlackClientError, OSError, TimeoutError) as error:
            structlog.get_logger().warning("slack.home_failed", error=str(error))


def home_blocks(owed: Owed, url: str) -> list[dict[str, Any]]:
    """The tab of one person. Pure."""
    blocks: list[Block] = [HeaderBlock(text=plain("My shifts"))]
    blocks += _shifts(owed.shifts)
    blocks += [DividerBlock(), HeaderBlock(text=plain("My incidents"))]
    lines = [
        f"{mark(one)} <{url}/incidents/{one.id}|{one.id}> {slack_text(one.title, 200)} · since {slack_time(one.onset)}"
        for one in owed.incidents[:LISTED]
    ]
    blocks.append(section(_list(lines, len(owed.incidents), "No open incident is yours.")))
    blocks += [DividerBlock(), HeaderBlock(text=plain("What waits for me"))]
    waiting = list(_waiting(owed, url))
    blocks += waiting or [section("Nothing waits for you.")]
    links = f"<{url}/oncall|On call> · <{url}/incidents|Incidents> · `/watch help`"
    blocks.append(ContextBlock(elements=[marked(links, 500)]))
    return rendered(blocks)


def _shifts(shifts: Sequence[tuple[str, Shift]]) -> Iterator[Block]:
    """Each shift with the button that asks somebody to take it."""
    if not shifts:
        yield section("You are not on call within the next two weeks.")
    for number, (schedule, shift) in enumerate(shifts[:LISTED]):
        how = " by an override" if shift.source == "override" else ""
        yield section(f"*{slack_text(seen_name(schedule), 100)}*{how}: {_span(shift.start, shift.end)}")
        # An action id stands once in a view: the number tells the buttons apart.
        value = shift_value(schedule, shift.start, shift.end)
        yield _actions(f"shift:{number}", button(f"{ASK}:{number}", "Ask somebody to take it", value))
    if len(shifts) > LISTED:
        yield section(f"and {len(shifts) - LISTED} more")


def _waiting(owed: Owed, url: str) -> Iterator[Block]:
    for number, swap in enumerate(owed.asked[:LISTED]):
        yield section(f"*{slack_text(seen_name(swap.asker), 100)} asks you to take a shift:* {_swap(swap)}")
        accept = button(f"{ACCEPT}:{number}", "Accept", swap.id, style="primary")
        yield _actions(f"asked:{number}", accept, button(f"{DECLINE}:{number}", "Decline", swap.id))
    for number, swap in enumerate(owed.asking[:LISTED]):
        yield section(f"You asked {slack_text(seen_name(swap.taker), 100)} to take a shift: {_swap(swap)}")
        yield _actions(f"asking:{number}", button(f"{CANCEL}:{number}", "Cancel", swap.id))
    lines = [
        f"• Decide on the runbook of <{url}/incidents/{one.id}|{one.id}>: {slack_text(one.proposal.title, 150)}"
        for one in owed.approvals[:LISTED]
        if one.proposal
    ]
    lines += [
        f"• Answer <{url}/incidents/{one.id}|{one.id}>: {slack_text(asked.question.text, 200)}"
        for one, asked in owed.questions[:LISTED]
    ]
    lines += [
        f"• Action item <{url}/postmortems/{one.incident_id}|{one.id}>: {slack_text(one.text, 200)}"
        + (f", due {one.due}" if one.due else "")
        for one in owed.actions[:LISTED]
    ]
    more = sum(max(0, len(each) - LISTED) for each in (owed.approvals, owed.questions, owed.actions))
    if lines:
        yield section("\n".join(lines) + (f"\nand {more} more" if more else ""))


def _unknown(why: str, url: str) -> list[dict[str, Any]]:
    """The tab of somebody whom the configuration does not know: they may look."""
    text = why.replace("Nothing was changed: y", "Y").replace("Nothing was changed: ", "")
    look = f"`/watch status` shows what is open. <{url}/incidents|Incidents>"
    return rendered([HeaderBlock(text=plain("Watchkeeper")), section(slack_text(text, 1000)), section(look)])


def _list(lines: Sequence[str], count: int, none: str) -> str:
    if not lines:
        return none
    return "\n".join([*lines, *([f"and {count - len(lines)} more"] if count > len(lines) else [])])


def _swap(swap: Swap) -> str:
    back = f", in return for {_span(swap.returned.start, swap.returned.end)}" if swap.returned else ""
    return f"{slack_text(seen_name(swap.schedule), 100)}, {_span(swap.window.start, swap.window.end)}{back}"


def _span(start: datetime, end: datetime) -> str:
    return f"{slack_day(start)} to {slack_day(end)}"


def _actions(block_id: str, *buttons: ButtonElement) -> ActionsBlock:
    return ActionsBlock(block_id=block_id, elements=list(buttons))
