"""A runbook's question in the incident's thread: a button for each answer, and afterwards who answered what."""

from __future__ import annotations

from typing import Final

from slack_sdk.models.blocks import ActionsBlock, Block, ButtonElement, ContextBlock

from alerting.channels.slack.blocks import (
    Blocks,
    confirmation,
    marked,
    mention_of,
    plain,
    rendered,
    section,
    slack_time,
)
from alerting.channels.slack.markup import slack_text
from alerting.incidents.questions import Asked
from watchkeeper.text import seen_name

ACTION: Final = "answer"  # `answer:0` is the first choice: an action id stands once in a message
QUESTION_LIMIT: Final = 2000


def question_text(asked: Asked) -> str:
    """The line of a notification."""
    return f"The runbook asks: {slack_text(asked.question.text, 300)}"


def question_blocks(asked: Asked, incident_id: str, service: str, mention: str = "") -> Blocks:
    """A question as it stands now. `mention` is the Slack id of whoever is on the incident."""
    # A gathered message has questions of several incidents in its thread.
    about = f"{incident_id} · {slack_text(seen_name(service), 150)}"
    question = asked.question
    text = slack_text(question.text, QUESTION_LIMIT)
    if not asked.is_open:
        at = f", {slack_time(asked.ended_at)}" if asked.ended_at else ""
        over = section(f"*The runbook asked:* {text}\n{slack_text(asked.ended, 500)}{at}")
        return rendered([over, ContextBlock(elements=[marked(about, QUESTION_LIMIT)])])
    who = f"{mention_of(mention)} " if mention else ""
    buttons = [
        ButtonElement(
            action_id=f"{ACTION}:{number}",
            text=plain(choice, 75),
            value=f"{incident_id} {question.id} {choice}",
            confirm=(
                confirmation(f"Answer “{choice}”?", question.text, f"Answer {choice}")
                if choice in question.confirm
                else None
            ),
        )
        for number, choice in enumerate(question.choices)
    ]
    blocks: list[Block] = [
        section(f"{who}*The runbook asks:* {text}"),
        ActionsBlock(block_id=f"question:{question.id}", elements=buttons),
    ]
    until = ""
    if question.until:
        until = f" · The run waits until {slack_time(question.until)}; then {slack_text(question.otherwise, 200)}."
    blocks.append(ContextBlock(elements=[marked(about + until, QUESTION_LIMIT)]))
    return rendered(blocks)
