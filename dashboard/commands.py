"""The commands that a reader gives from a page or over the API: the same as in Slack and on the command line.

A button names the command, the incident and the version that it was drawn for. They are also the command's idempotency
key, so a double click acts once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import dash_mantine_components as dmc
import structlog

from alerting.incidents.commands import Incidents
from alerting.incidents.human_labels import Judgement
from alerting.incidents.machine import Incident, Outcome
from watchkeeper.errors import WatchkeeperError
from watchkeeper.text import page_text
from watchkeeper.vocabulary import Actor, Level

LONGEST_NOTE: Final = 2000  # characters of a line that a reader adds to the timeline
Who = Callable[[], Actor | None]
Name = Literal[
    "acknowledge",
    "resolve",
    "approve",
    "decline",
    "answer",
    "label",
    "note",
    "snooze",
    "assign",
    "severity",
    "merge",
    "split",
]
BUTTONS: dict[Name, str] = {
    "acknowledge": "Acknowledge",
    "resolve": "Resolve",
    "approve": "Review and approve",
    "decline": "Decline",
    "assign": "Snooze or hand over",
    "severity": "Change severity",
    "split": "Split off",
    "note": "Add a note",
    "label": "Judge",
}
# Commands whose refusal is no repeat: the dialog stays open, so that another choice can be made.
REFUSALS: frozenset[Name] = frozenset({"answer", "snooze", "assign", "severity", "merge", "split"})
NO_SESSION = "This browser has no session, so it can only read. Sign in, or use Slack or the command line."


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command on one incident.

    Attributes:
        key: the idempotency key: the same key again changes nothing.
        judgement: the human label that `resolve` may carry and `label` must.
        seen: the id of the proposal that the reader saw, for `approve` and `decline`; of the question, for `answer`.
        answer: one of the choices of that question.
        text: the line that `note` adds to the timeline, or the reason of a `severity`.
        level: the `severity` that it has from now on.
        until: the end of a `snooze`.
        other: the id of the person to `assign` to, or of the incident to `merge` into.
    """

    name: Name
    incident_id: str
    key: str
    judgement: Judgement | None = None
    seen: str = ""
    answer: str = ""
    text: str = ""
    until: datetime | None = None
    other: str = ""
    level: Level | None = None

    def run(self, incidents: Incidents, actor: Actor) -> Outcome:
        """Give the command.

        Raises:
            WatchkeeperError: the incident does not exist, or the command is not possible now.
        """
        match self.name:
            case "acknowledge":
                return incidents.acknowledge(self.incident_id, actor, self.key)
            case "resolve":
                return incidents.resolve(self.incident_id, actor, self.key, self.judgement)
            case "approve":
                return incidents.approve(self.incident_id, actor, self.key, self.seen)
            case "decline":
                return incidents.decline(self.incident_id, actor, self.key, self.seen)
            case "answer":
                return incidents.answer(self.incident_id, actor, self.key, self.seen, self.answer)
            case "label":
                if self.judgement is None:
                    raise ValueError("the command label needs a judgement")
                return incidents.judge(self.incident_id, actor, self.key, self.judgement)
            case "note":
                return incidents.note(self.incident_id, actor, self.text, self.key)
            case "severity":
                if self.level is None:
                    raise ValueError("the command severity needs a level")
                return incidents.set_severity(self.incident_id, actor, self.level, self.text, self.key)
            case "snooze" | "assign" | "merge" | "split":
                return self._hand_over(incidents, actor)

    def _hand_over(self, incidents: Incidents, actor: Actor) -> Outcome:
        """Change whom it pages, and when."""
        if self.name == "assign":
            return incidents.assign(self.incident_id, actor, self.other, self.key)
        if self.name == "merge":
            return incidents.merge(self.incident_id, self.other, actor, self.key)
        if self.name == "split":
            return incidents.split(self.incident_id, actor, self.key)
        if self.until is None:
            raise ValueError("the command snooze needs its end")
        return incidents.snooze(self.incident_id, actor, self.until, self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """The notification after a command: a title, a sentence, and whether it succeeded."""

    title: str
    message: str
    good: bool

    def shown(self) -> list[dict[str, Any]]:
        """For the browser; a success closes itself after five seconds."""
        return [
            {
                "action": "show",
                "title": page_text(self.title, 300),
                "message": page_text(self.message, 1000),
                "color": "harbor" if self.good else "red",
                "autoClose": 5000 if self.good else False,
                "closeButtonProps": {"aria-label": "Close"},
            }
        ]


NOT_SIGNED_IN = Notice(title="Not signed in", message=NO_SESSION, good=False)


def give(incidents: Incidents, actor: Actor | None, command: Command) -> Notice:
    """Give one command, by the person of this browser's session."""
    if actor is None:
        return NOT_SIGNED_IN
    try:
        outcome = command.run(incidents, actor)
    except WatchkeeperError as error:
        return failed(error)
    structlog.get_logger().info(
        "dashboard.command",
        command=command.name,
        incident=command.incident_id,
        actor=actor.name,
        changed=outcome.changed,
    )
    # What was refused changed nothing; a repeated press is no refusal.
    refused = not outcome.changed and command.name in REFUSALS
    return Notice(title=outcome.incident.title, message=outcome.message, good=not refused)


def failed(error: WatchkeeperError) -> Notice:
    """A command that was refused."""
    return Notice(title="Command failed", message=error.message, good=False)


def command_button(
    command: Name, incident: Incident, *, small: bool = False, quiet: bool = False, words: str = "", seen: str = ""
) -> Any:
    """A button that gives a command, or opens the dialog that asks for what it needs.

    `words` and `seen` are for a button of its own beside the usual one: what it reads, and what its dialog is given.
    """
    seen = seen or seen_proposal(incident)
    return dmc.Button(
        words or BUTTONS[command],
        id={"command": command, "incident": incident.id, "version": incident.version, "seen": seen},
        n_clicks=0,
        size="compact-sm" if small else "sm",
        variant="default" if quiet else "filled",
    )


def seen_proposal(incident: Incident) -> str:
    """The proposal that a page shows: a decision on it does not apply to another."""
    return incident.proposal.id if incident.proposal else ""
