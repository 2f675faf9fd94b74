"""A form that asks for one of a few: the view, and what was chosen in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slack_sdk.models.blocks import Block, InputBlock, Option, StaticSelectElement
from slack_sdk.models.views import View

from alerting.channels.slack.blocks import FIELD_LIMIT, plain


def modal(callback: str, *, title: str, submit: str, kept: str, blocks: Sequence[Block]) -> dict[str, Any]:
    """A form whose answers come to `callback`; `kept` comes back with them as its private metadata."""
    view = View(
        type="modal",
        callback_id=callback,
        private_metadata=kept,
        title=plain(title, 24),
        submit=plain(submit, 24),
        close=plain("Cancel", 24),
        blocks=blocks,
    )
    return view.to_dict()


def menu(name: str, label: str, options: Sequence[tuple[str, str]]) -> InputBlock:
    """A menu of values and their texts; `name` is its block and its action."""
    return InputBlock(block_id=name, label=plain(label, FIELD_LIMIT), element=choice(name, options))


def choice(action: str, options: Sequence[tuple[str, str]]) -> StaticSelectElement:
    """The menu's element alone."""
    choices = [Option(text=plain(text, 75), value=value) for value, text in options]
    return StaticSelectElement(action_id=action, options=choices)


async def chosen(ack: Any, view: dict[str, Any], name: str, otherwise: str) -> str | None:
    """Close the form and return what was chosen; without a choice the form stays, says `otherwise`, and it is None."""
    option = view["state"]["values"][name][name].get("selected_option")
    if option is None:
        await ack(response_action="errors", errors={name: otherwise})
        return None
    await ack()
    return str(option["value"])
