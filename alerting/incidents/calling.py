"""Somebody pages somebody: an incident that a person opens, with a text of their own. It fires until it is resolved."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, select

from alerting.incidents import journal
from alerting.incidents.findings import store_findings
from alerting.incidents.levels import level_of
from alerting.incidents.machine import Command, Event, Outcome, begin
from alerting.incidents.writer import Writer
from watchkeeper.config import PersonConfig
from watchkeeper.errors import ConfigError
from watchkeeper.state.codec import dump
from watchkeeper.state.database import to_micros
from watchkeeper.state.insert import insert_new
from watchkeeper.state.schema import alerts, findings
from watchkeeper.text import one_line, prose
from watchkeeper.vocabulary import Actor, AlertDetails, Finding, content_key

DETECTOR: Final = "people"
LONGEST: Final = 1000  # characters of a text
# A person's page ends when a person resolves it; the row's own end only keeps it from standing for ever.
FIRES_FOR: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """`person` is paged by `actor` with a text; `service` is what it is about, empty if nobody said.

    Raises ConfigError for a text that says nothing, or too much. The same `key` again is the same page.
    """

    person: PersonConfig
    text: str
    actor: Actor
    key: str
    service: str = ""

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise ConfigError("text: is empty; say in a line what whoever is paged should look at")
        if len(self.text) > LONGEST:
            raise ConfigError(f"text: has {len(self.text)} characters; a page takes {LONGEST}")

    def finding(self, at: datetime) -> Finding:
        """The page as something that fires. Its key is that of the call."""
        return Finding(
            detector=DETECTOR,
            detector_version="1",
            kind="alert",
            service=self.service or f"page by {one_line(self.actor.name, 60)}",
            summary=prose(self.text, LONGEST),
            onset=at,
            seen_at=at,
            score=1.0,
            alert=AlertDetails(name="paged by a person"),
            key=content_key("called", self.key),
        )


def call(connection: Connection, writer: Writer, called: Call, at: datetime) -> Outcome:
    """Open an incident and page the person for it, by their notification rules and then by the escalation.

    Inside a transaction in which no round of findings goes on.
    """
    finding = called.finding(at)
    known = connection.scalar(select(findings.c.incident_id).where(findings.c.key == finding.key))
    if known:
        return Outcome(changed=False, message="already paged", incident=journal.load(connection, known))
    (incident_id,) = journal.unused_ids(connection, 1)
    # Somebody asked for a person by name: that pages, whatever level a rule gives.
    level = level_of(writer.oncall, finding)
    opened = Event(
        type="opened", at=at, actor=called.actor, key="opened", text=finding.summary, finding=finding, level=level
    )
    writer.open_all(connection, [(begin(incident_id, opened), [opened])])
    store_findings(connection, [(finding, incident_id)])
    moment = to_micros(at)
    row = {"key": finding.key, "at": moment, "started": moment, "heard_at": moment, "body": dump(finding)}
    insert_new(connection, alerts, row | {"until": to_micros(at + FIRES_FOR)})
    text = f"{called.actor.name} paged {called.person.name}"
    paged = Command(type="assigned", at=at, actor=called.actor, key=called.key, person=called.person.id, text=text)
    return writer.apply(connection, incident_id, paged)
