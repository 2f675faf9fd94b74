"""A drill: one page to one person, through the channel that real pages take. It opens no incident and makes no label.

It proves what fails on the night otherwise: the token, the channel, and that the mention is of somebody.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from watchkeeper.config import Config, OnCallConfig, PersonConfig
from watchkeeper.errors import DeliveryError, NotFound

EVENT_TYPE: Final = "watchkeeper_drill"  # no incident's message: the search for those passes it by
TIMEOUT_S: Final = 15
ADVICE: Final = {
    "channel_not_found": "check `slack.channel`, and that the app is in it",
    "not_in_channel": "invite the app to the channel",
    "is_archived": "name another `slack.channel`",
    "missing_scope": "give the app the scope chat:write, and install it anew",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """Where a drill went: the channel's own id, and the message's."""

    person: PersonConfig
    channel: str
    ts: str


def whom(oncall: OnCallConfig, given: str) -> PersonConfig:
    """A person by id, name or Slack id.

    Raises:
        NotFound: nobody of that name; lists who there is.
    """
    for person in oncall.people:
        if given.strip().casefold() in (person.id.casefold(), person.name.casefold(), person.slack_id.casefold()):
            return person
    known = ", ".join(person.id for person in oncall.people)
    raise NotFound(f"no person {given!r} among oncall.people; there are: {known}")


def page(config: Config, person: PersonConfig, at: datetime, asked_by: str) -> Delivered:
    """Page one person with a message that is marked as a drill.

    Raises:
        DeliveryError: the channel refused it or could not be reached; with what to do.
    """
    text = f"Test page for {_plain(person.name)}: nothing is wrong, and there is nothing to do."
    detail = f"Sent by {_plain(asked_by)} with `watchkeeper test-page` at {at:%Y-%m-%d %H:%M:%S} UTC."
    where = "Slack" if config.slack_is_real else "the local stand-in for Slack"
    client = WebClient(token=config.slack_token(), base_url=config.slack_api_url(), timeout=TIMEOUT_S)
    try:
        answer = client.chat_postMessage(
            channel=config.slack.channel,
            text=f"<@{person.slack_id}> {text}",
            blocks=[
                {"type": "section", "text": {"type": "mrkdwn", "text": f"<@{person.slack_id}> *{text}*"}},
                {"type": "context", "elements": [{"type": "mrkdwn", "text": detail}]},
            ],
            metadata={"event_type": EVENT_TYPE, "event_payload": {"person": person.id}},
            unfurl_links=False,
        )
    except SlackApiError as error:
        response = error.response
        reason = str(response.get("error", "unknown")) if hasattr(response, "get") else "unknown"
        advice = ADVICE.get(reason, "`watchkeeper doctor` checks the token")
        raise DeliveryError(f"{where} refused the page to {person.name}: {reason}; {advice}", retry=False) from error
    except (SlackClientError, OSError, ValueError) as error:
        advice = "check the network" if config.slack_is_real else "start it with `watchkeeper up`"
        raise DeliveryError(f"{where} cannot be reached at {config.slack_api_url()}: {advice}", retry=True) from error
    return Delivered(person=person, channel=str(answer["channel"]), ts=str(answer["ts"]))


def _plain(name: str) -> str:
    """A name in Slack's markup, which does nothing there."""
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        name = name.replace(sign, entity)
    return name
