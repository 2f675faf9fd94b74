"""Change the severity in Slack: a form that asks for the level and the reason.

It carries the level that whoever opened it had before them: one that somebody changed meanwhile is not changed again.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from slack_bolt.async_app import AsyncApp
from slack_sdk.models.blocks import InputBlock, PlainTextInputElement
from slack_sdk.web.async_client import AsyncWebClient

from alerting.channels.slack.blocks import FIELD_LIMIT, plain
from alerting.channels.slack.menu_form import menu, modal
from alerting.channels.slack.merging import People
from alerting.channels.slack.pressing import open_form
from alerting.incidents.commands import Incidents
from alerting.incidents.levels import LONGEST_REASON, WHAT_EACH_IS
from alerting.incidents.machine import Incident, Outcome
from watchkeeper.vocabulary import level_named

SEVERITY: Final = "severity"
LEVEL: Final = "level"
REASON: Final = "reason"


class SeverityForm:
    """Its listeners."""

    def __init__(self, incidents: Incidents, people: People) -> None:
        self._incidents = incidents
        self._people = people

    def connect(self, app: AsyncApp) -> None:
        """Let it answer. The choice in the menu of a message comes by `ask`."""
        app.view(SEVERITY)(self._submitted)

    async def ask(self, body: dict[str, Any], incident_id: str, client: AsyncWebClient) -> None:
        """Open the form; Slack has its answer."""
        if await self._people.actor(client, body) is None:
            return

        def build() -> dict[str, Any] | str:
            incident = self._incidents.get(incident_id)
            return severity_view(incident) if incident.is_open else f"{incident_id} is {incident.human_state}."

        await open_form(self._people, client, body, build, incident=incident_id)

    async def _submitted(self, ack: Any, body: dict[str, Any], view: dict[str, Any], client: AsyncWebClient) -> None:
        values = view["state"]["values"]
        level = level_named(str((values[LEVEL][LEVEL].get("selected_option") or {}).get("value", "")))
        reason = str(values[REASON][REASON].get("value") or "").strip()
        missing = {LEVEL: "" if level else "choose a severity", REASON: _why_not(reason)}
        if level is None or any(missing.values()):
            await ack(response_action="errors", errors={name: why for name, why in missing.items() if why})
            return
        await ack()
        actor = await self._people.actor(client, body)
        if actor is None:
            return
        incident_id, _, seen = view["private_metadata"].partition(" ")
        key = f"slack:severity:{body['user']['id']}:{view['id']}"

        def change() -> Outcome:
            now = self._incidents.get(incident_id)
            # A repeat of Slack's finds it changed already: the key tells.
            if now.level not in (seen, level):
                text = f"{incident_id} has been changed to {now.level} since you looked: open the form again"
                return Outcome(changed=False, message=text, incident=now)
            return self._incidents.set_severity(incident_id, actor, level, reason, key)

        await self._people.run(client, body, asyncio.to_thread(change), SEVERITY)


def _why_not(reason: str) -> str:
    if not reason:
        return "write the reason: whoever reads the timeline will ask"
    return f"at most {LONGEST_REASON:,} characters are kept: shorten it" if len(reason) > LONGEST_REASON else ""


def severity_view(incident: Incident) -> dict[str, Any]:
    """The form that asks for the level and the reason. Nothing is preselected: a slip of a finger changes nothing."""
    options = [(level, text) for level, text in WHAT_EACH_IS if level != incident.level]
    which = menu(LEVEL, f"{incident.id} is {incident.level}. What is it?", options)
    why = InputBlock(
        block_id=REASON,
        label=plain("Why?", FIELD_LIMIT),
        hint=plain("One that pages makes a page of a ticket. One that pages nobody ends the escalation.", FIELD_LIMIT),
        element=PlainTextInputElement(action_id=REASON, multiline=True, max_length=LONGEST_REASON),
    )
    kept = f"{incident.id} {incident.level}"
    return modal(SEVERITY, title="Change the severity", submit="Change", kept=kept, blocks=[which, why])
