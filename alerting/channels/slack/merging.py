"""Merge and split in Slack: a form that asks into which incident, and a button that undoes it.

Both carry what whoever pressed had before them: an incident that has become another one meanwhile is not merged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Final, Protocol

from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from alerting.channels.slack import pressing
from alerting.channels.slack.menu_form import chosen, menu, modal
from alerting.channels.slack.recorded import recorded
from alerting.incidents.commands import Incidents
from alerting.incidents.machine import Incident, Outcome
from watchkeeper.text import one_line
from watchkeeper.vocabulary import content_key

MERGE: Final = "merge"
SPLIT: Final = "split"
INTO: Final = "into"
OFFERED: Final = 100  # choices that a menu of Slack's takes


class People(pressing.People, Protocol):
    """Who presses, a way to answer them alone, and one to give a command and tell them what it did not change."""

    async def run(
        self, client: AsyncWebClient, body: dict[str, Any], command: Awaitable[Outcome], name: str
    ) -> None: ...


class Merging:
    """Their listeners."""

    def __init__(self, incidents: Incidents, people: People) -> None:
        self._incidents = incidents
        self._people = people

    def connect(self, app: AsyncApp) -> None:
        """Let them answer. The choice in the menu of a message comes by `ask`."""
        app.view(MERGE)(self._merge)
        app.action(SPLIT)(self._split)

    async def ask(self, body: dict[str, Any], incident_id: str, client: AsyncWebClient) -> None:
        """Open the form; Slack has its answer."""
        if await self._people.actor(client, body) is None:
            return

        def build() -> dict[str, Any] | str:
            incident = self._incidents.get(incident_id)
            others = tuple(one for one in self._incidents.list("open", OFFERED + 1) if one.id != incident_id)
            return merge_view(incident, others) if others else "No other incident is open."

        await pressing.open_form(self._people, client, body, build, incident=incident_id)

    async def _merge(self, ack: Any, body: dict[str, Any], view: dict[str, Any], client: AsyncWebClient) -> None:
        option = await chosen(ack, view, INTO, "choose an incident")
        if option is None:
            return
        actor = await self._people.actor(client, body)
        if actor is None:
            return
        key = f"slack:merge:{body['user']['id']}:{view['id']}"
        incident_id, _, seen = view["private_metadata"].partition(" ")
        into, _, seen_into = option.partition(" ")

        def merge() -> Outcome:
            for name, before in ((incident_id, seen), (into, seen_into)):
                now = self._incidents.get(name)
                # A repeat of Slack's finds it merged already: the key tells.
                if now.human_state != "merged" and appearance(now) != before:
                    text = f"{name} has changed since you looked: open the form again"
                    return Outcome(changed=False, message=text, incident=now)
            return self._incidents.merge(incident_id, into, actor, key)

        await self._people.run(client, body, asyncio.to_thread(merge), MERGE)

    async def _split(self, ack: Any, body: dict[str, Any], action: dict[str, Any], client: AsyncWebClient) -> None:
        actor = await self._people.actor(client, body)
        if actor is None:
            await ack()
            return
        incident_id, _, into = str(action.get("value") or "").partition(" ")
        key = f"slack:split:{body['user']['id']}:{action['action_ts']}"

        def split() -> Outcome:
            now = self._incidents.get(incident_id)
            if now.human_state == "merged" and now.merged_into != into:
                text = f"it is merged into {now.merged_into} by now: look again"
                return Outcome(changed=False, message=text, incident=now)
            return self._incidents.split(incident_id, actor, key)

        recording = await recorded(asyncio.to_thread(split), ack)
        await self._people.run(client, body, recording, SPLIT)


def appearance(incident: Incident) -> str:
    """What a person takes an incident to be: its title and what belongs to it."""
    return content_key(incident.title, *sorted(finding.key for finding in incident.findings))


def merge_view(incident: Incident, others: tuple[Incident, ...]) -> dict[str, Any]:
    """The form that asks into which incident another is merged."""
    options = [(f"{one.id} {appearance(one)}", f"{one.id} {one_line(one.title, 200)}") for one in others[:OFFERED]]
    which = menu(INTO, f"Which incident goes on with {incident.id}?", options)
    return modal(MERGE, title="Merge", submit="Merge", kept=f"{incident.id} {appearance(incident)}", blocks=[which])
