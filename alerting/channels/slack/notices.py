"""A notice as Slack's blocks: what, on what, when, and the buttons that decide. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from slack_sdk.models.blocks import ActionsBlock, Block, ButtonElement, HeaderBlock, SectionBlock

from alerting.channels.channel import Notice, NoticeButton
from alerting.channels.slack.blocks import (
    FIELD_LIMIT,
    Blocks,
    confirmation,
    marked,
    mention_of,
    plain,
    rendered,
    section,
)
from alerting.channels.slack.markup import slack_text

FACTS: Final = 10  # fields that a section takes
LONG: Final = 120  # characters of a fact that stands in a section of its own


def notice_text(notice: Notice) -> str:
    """The line of a notification."""
    mentions = " ".join(map(mention_of, notice.mentions))
    return " ".join(part for part in (mentions, slack_text(f"{notice.title}: {notice.text}", 400)) if part)


def notice_blocks(notice: Notice) -> Blocks:
    """A notice as it stands now."""
    mentions = " ".join(map(mention_of, notice.mentions))
    facts = [(name, _shown(value)) for name, value in notice.facts[:FACTS] if value]
    short = [marked(f"*{slack_text(name)}*\n{value}", FIELD_LIMIT) for name, value in facts if not _is_long(value)]
    blocks: list[Block] = [HeaderBlock(text=plain(notice.title))]
    blocks.append(section("\n".join(part for part in (_lines(notice.text), mentions) if part)))
    blocks += [section(f"*{slack_text(name)}*\n{value}") for name, value in facts if _is_long(value)]
    if short:
        blocks.append(SectionBlock(fields=short))
    if notice.buttons:
        blocks.append(ActionsBlock(block_id="notice", elements=[_button(button) for button in notice.buttons]))
    return rendered(blocks)


def _is_long(value: str) -> bool:
    return "\n" in value or len(value) > LONG


def _lines(text: str) -> str:
    """Text as it is, with its lines."""
    return "\n".join(slack_text(line, 400) for line in text.split("\n") if line.strip())


def _shown(value: str | datetime) -> str:
    """A text, or a time in the reader's own zone, with UTC where Slack cannot show it."""
    if isinstance(value, str):
        return _lines(value)
    return f"<!date^{int(value.timestamp())}^{{date_short_pretty}}, {{time}}|{value:%Y-%m-%d %H:%M} UTC>"


def _button(button: NoticeButton) -> ButtonElement:
    return ButtonElement(
        action_id=button.action,
        text=plain(button.label, 75),
        value=button.value,
        style=button.style or None,
        confirm=confirmation(button.label, button.confirm, button.label) if button.confirm else None,
    )
