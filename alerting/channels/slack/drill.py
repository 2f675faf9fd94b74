"""A test page in Slack: posted where incidents are, with a mention, and marked as a test."""

from __future__ import annotations

from typing import Final

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from alerting.channels.channel import Thread
from alerting.channels.slack.markup import slack_text
from alerting.channels.slack.refusals import delivery_error, reason_of
from watchkeeper.config import Config
from watchkeeper.errors import DeliveryError

EVENT_TYPE: Final = "watchkeeper_drill"  # no incident's message: the search for those passes it by
ADVICE: Final = {
    "channel_not_found": "check `slack.channel`, and that the app is in it",
    "not_in_channel": "invite the app to the channel",
    "is_archived": "name another `slack.channel`",
    "missing_scope": "give the app the scope chat:write, and install it anew",
}


def post_test(config: Config, client: WebClient, address: str, text: str) -> Thread:
    """Post a test page that mentions one member; its first line is the heading, the rest is the small print.

    Raises:
        DeliveryError: Slack refused it or could not be reached; with what to do.
    """
    heading, _, detail = text.partition("\n")
    shown = f"<@{address}> *{slack_text(heading)}*"
    try:
        answer = client.chat_postMessage(
            channel=config.slack.channel,
            text=f"<@{address}> {slack_text(heading)}",
            blocks=[
                {"type": "section", "text": {"type": "mrkdwn", "text": shown}},
                {"type": "context", "elements": [{"type": "mrkdwn", "text": slack_text(detail) or "-"}]},
            ],
            metadata={"event_type": EVENT_TYPE, "event_payload": {"address": address}},
            unfurl_links=False,
        )
    except SlackApiError as error:
        reason = reason_of(error)
        advice = ADVICE.get(reason, "`watchkeeper doctor` checks the token")
        retry = delivery_error(error).retry
        raise DeliveryError(f"{destination(config)} refused: {reason}; {advice}", retry=retry) from error
    except (SlackClientError, OSError, ValueError) as error:
        advice = "check the network" if config.slack_is_real else "start it with `watchkeeper up`"
        where = f"{destination(config)} cannot be reached at {config.slack_api_url()}"
        raise DeliveryError(f"{where}: {advice}", retry=True) from error
    return Thread(conversation=str(answer["channel"]), ts=str(answer["ts"]))


def destination(config: Config) -> str:
    """What answers as Slack."""
    return "Slack" if config.slack_is_real else "the local stand-in for Slack"
