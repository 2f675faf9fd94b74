"""Slack as a part: how it is opened, what an address is, and a trial over the local stand-in."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from alerting.channels.channel import ChannelContext, ChannelPart, Trial
from alerting.channels.slack.channel import SlackChannel
from alerting.channels.slack.drill import destination
from watchkeeper.config import Config, SlackConfig, SlackStandInConfig
from watchkeeper.problems import Problems

# Slack's mention of everybody in the channel.
EVERYBODY: Final = "!channel"
UNSET: Final = "WATCHKEEPER_TRIAL_WITHOUT_TOKEN"


def _open(context: ChannelContext) -> SlackChannel:
    if context.settings:
        raise ValueError(f"its settings are under `slack:`; remove {', '.join(sorted(context.settings))}")
    return SlackChannel(context.config, context.track_record, context.problems)


def check_member(text: str) -> None:
    """A member's id, which a mention needs to reach anybody.

    Raises:
        ValueError: it is something else.
    """
    if not re.fullmatch(r"[UW][A-Za-z0-9]{1,30}", text):
        raise ValueError(
            "must be a member's id, such as U012ABCDEF: in Slack, open the profile, then ⋮ and `Copy member ID`"
        )


def _describe(config: Config) -> str:
    """`#incidents of the local stand-in for Slack (http://127.0.0.1:8065/)`."""
    page = "" if config.slack_is_real else f" ({config.slack_api_url().removesuffix('api/')})"
    return f"#{config.slack.channel.lstrip('#')} of {destination(config)}{page}"


@contextmanager
def _trial(folder: Path) -> Iterator[Trial]:
    """The stand-in, served on loopback for as long as the trial lasts."""
    from alerting.channels.slack.standin.app import StandIn
    from alerting.channels.slack.standin.served import serving
    from alerting.channels.slack.standin.troubles import Trouble

    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    # A variable that nobody sets: a trial must never reach a real workspace.
    slack = SlackConfig(token_env=UNSET, stand_in=SlackStandInConfig(port=port))
    config = Config(data_dir=folder, slack=slack)
    stand_in = StandIn(config, lambda: "http://127.0.0.1:9/")

    def shown() -> list[str]:
        board = stand_in.workspace
        channel = str(board.channel["id"])
        return [
            _text_of(post) for message in board.messages(channel)[::-1] for post in board.thread(channel, message["ts"])
        ]

    @contextmanager
    def away() -> Iterator[None]:
        for method in ("chat.postMessage", "chat.update"):
            stand_in.troubles.add(Trouble(method=method, kind="unavailable", times=1_000))
        try:
            yield
        finally:
            stand_in.troubles.clear()

    context = ChannelContext(settings={}, config=config, problems=Problems(None))
    try:
        with serving(stand_in.application(), listener):
            yield Trial(
                open=lambda: _open(context), address=config.oncall.people[0].address("slack"), shown=shown, away=away
            )
    finally:
        stand_in.workspace.close()


def _text_of(post: Any) -> str:
    """Every text of a post: its line of notification, and what its blocks show."""
    if isinstance(post, dict):
        own = [post["text"]] if isinstance(post.get("text"), str) else []
        return "\n".join(
            own + [_text_of(value) for key, value in post.items() if key in ("blocks", "elements", "fields", "text")]
        )
    return "\n".join(_text_of(item) for item in post) if isinstance(post, list) else ""


SLACK: Final = ChannelPart(
    open=_open,
    trial=_trial,
    described_by=SlackChannel,
    everybody=EVERYBODY,
    check_address=check_member,
    describe=_describe,
)
