"""The shortcut "Add to timeline" of a message: in an incident's thread it is one click, elsewhere a form asks which."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from alerting.channels.channel import Thread
from alerting.channels.slack.menu_form import chosen, menu, modal
from alerting.channels.slack.merging import OFFERED
from alerting.channels.slack.pressing import People, open_form
from alerting.channels.slack.watch_words import plain_words
from alerting.incidents.commands import Incidents
from alerting.incidents.machine import Incident
from watchkeeper.errors import WatchkeeperError
from watchkeeper.text import one_line, prose
from watchkeeper.vocabulary import Actor

ADD: Final = "add_to_timeline"
WHICH: Final = "incident"
LONGEST: Final = 2000  # characters of a message that are kept


class AddToTimeline:
    """Its listeners. `name_of` gives what whoever wrote a message is called, by their id of Slack's."""

    def __init__(self, incidents: Incidents, people: People, name_of: Callable[[str], str]) -> None:
        self._incidents = incidents
        self._people = people
        self._name_of = name_of

    def connect(self, app: AsyncApp) -> None:
        """Let them answer."""
        app.shortcut(ADD)(self._chosen)
        app.view(ADD)(self._submitted)

    async def _chosen(self, ack: Any, body: dict[str, Any], client: AsyncWebClient) -> None:
        await ack()
        actor = await self._people.actor(client, body)
        if actor is None:
            return
        message, channel = body["message"], (body.get("channel") or {}).get("id", "")
        author = self._name_of(message.get("user", ""))
        line = prose(f"{author} wrote: {' '.join(plain_words(message.get('text', '')))}", LONGEST)
        place = Thread(conversation=channel, ts=message.get("thread_ts") or message["ts"])
        key = f"{channel}:{message['ts']}"

        def build() -> dict[str, Any] | str:
            shown = self._incidents.shown_at("slack", place)
            if len(shown) == 1:
                return self._noted(actor, shown[0], line, key)
            offered = self._incidents.list("open", OFFERED)
            if not offered:
                return "No incident is open, and this is no incident's thread."
            return which_view(offered, f"{key} {line}")

        await open_form(self._people, client, body, build, shortcut=ADD)

    async def _submitted(self, ack: Any, body: dict[str, Any], view: dict[str, Any], client: AsyncWebClient) -> None:
        incident_id = await chosen(ack, view, WHICH, "choose an incident")
        if incident_id is None:
            return
        actor = await self._people.actor(client, body)
        if actor is None:
            return
        key, _, line = view["private_metadata"].partition(" ")
        try:
            text = await asyncio.to_thread(self._noted, actor, incident_id, line, key)
        except WatchkeeperError as error:
            text = error.message
        await self._people.notify(client, body, text)

    def _noted(self, actor: Actor, incident_id: str, line: str, key: str) -> str:
        """One message is one line, whoever adds it and however often. Returns what whoever adds it reads."""
        outcome = self._incidents.note(incident_id, actor, line, f"slack:message:{key}")
        done = "is in" if outcome.changed else "was in"
        return f"That message {done} the timeline of {outcome.incident.id}."


def which_view(incidents: tuple[Incident, ...], kept: str) -> dict[str, Any]:
    """The form that asks to which incident a message belongs. `kept` comes back with it."""
    options = [(one.id, f"{one.id} {one_line(one.title, 200)}") for one in incidents]
    which = menu(WHICH, "Which incident is it about?", options)
    return modal(ADD, title="Add to timeline", submit="Add", kept=kept[:2900], blocks=[which])
