"""The commands on a postmortem: of the command line, the API and the dashboard.

Two people may edit at once. A save names the version that its author looked at. Fields that nobody else has changed
since are saved; if somebody changed one of the same fields, nothing is saved, and the message says who and what.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from alerting.incidents import journal
from alerting.incidents.commands import Incidents
from alerting.incidents.human_labels import Judgement, human_label
from alerting.incidents.machine import Command, Incident
from alerting.oncall.escalation import known_person
from alerting.oncall.in_force import Rota, rota_of
from alerting.postmortems import actions, postmortem, revisions
from alerting.postmortems.document import (
    ENTRY_KINDS,
    HEADINGS,
    LABEL_FIELDS,
    LONGEST,
    MOST_ENTRIES,
    Entry,
    EntryKind,
    changed_fields,
    checked,
)
from alerting.postmortems.rendering import Report, to_html, to_markdown
from alerting.postmortems.revisions import Published, Revision, Stored
from watchkeeper.clock import Clock
from watchkeeper.config import OnCallConfig
from watchkeeper.errors import ConfigError, Conflict
from watchkeeper.state.audit import record_audit
from watchkeeper.state.database import Database
from watchkeeper.state.labels import labels_of
from watchkeeper.state.models import deciding_version
from watchkeeper.vocabulary import MECHANISMS, Actor, Mechanism

TRIES: Final = 5
REVIEWED: Final = ("reviewed",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What a command led to. `message` also says what others changed meanwhile."""

    changed: bool
    message: str
    stored: Stored


class Postmortems:
    """Reads and commands. Threads may share one."""

    def __init__(self, db: Database, clock: Clock, incidents: Incidents, oncall: OnCallConfig | Rota) -> None:
        self._db = db
        self._clock = clock
        self._incidents = incidents
        self._rota = rota_of(oncall)

    # Reading

    def get(self, incident_id: str) -> Stored:
        """The document as it stands.

        Raises:
            NotFound: no such incident, or no postmortem yet.
        """
        with self._db.read() as connection:
            journal.load(connection, incident_id)
            return revisions.load(connection, incident_id)

    def report(self, incident_id: str, *, facts: bool = True) -> Report:
        """Everything that a rendering of the document shows; the recorded facts cost the most.

        Raises:
            NotFound: no such incident, or no postmortem yet.
        """
        with self._db.read() as connection:
            journal.load(connection, incident_id)
            return _report(connection, revisions.load(connection, incident_id), facts=facts)

    def history(self, incident_id: str) -> tuple[Revision, ...]:
        """Every revision, oldest first."""
        with self._db.read() as connection:
            revisions.load(connection, incident_id)
            return revisions.history(connection, incident_id)

    def search(self, words: str = "", state: str = "", limit: int = 100) -> tuple[Stored, ...]:
        """Documents that hold every one of the words, newest change first."""
        return revisions.search(self._db, words, state, limit)

    # Writing

    def begin(self, incident_id: str) -> Stored:
        """Draft the incident's facts anew; where there is no document yet, this is its first revision.

        Raises:
            NotFound: no such incident.
        """
        postmortem.draft(self._db, incident_id, self._clock.now(), self._rota())
        return self.get(incident_id)

    def edit(self, incident_id: str, actor: Actor, key: str, seen: int, changes: Mapping[str, object]) -> Saved:
        """Save fields of the document; `seen` is the version that the author looked at.

        The cause, the mechanism and the answer to "was the page warranted" also become the author's label.

        Raises:
            ConfigError: a field has no such value.
            Conflict: somebody else has changed one of the same fields since; says who, what and when.
            NotFound: no such incident, or no postmortem yet.
        """
        values = checked(changes)

        def save(connection: Connection, before: Stored) -> Saved:
            after = replace(before.document, **values)
            changed = changed_fields(before.document, after)
            others = revisions.history(connection, incident_id, seen)
            clash = [one for one in others if set(one.changed) & set(changed)]
            if clash:
                raise Conflict(f"Nothing was saved. {_describe(clash)} Look at the new text, then save yours again.")
            if not changed:
                return Saved(changed=False, message="nothing changes", stored=before)
            new = revisions.changed_state(before, after)
            stored = revisions.append(connection, before, new, actor, key, changed, self._clock.now())
            if set(changed) & set(LABEL_FIELDS):
                self._label(connection, stored, actor, key)
            message = f"Saved as revision {stored.version}." + (f" {_describe(others)}" if others else "")
            return Saved(changed=True, message=message, stored=stored)

        return self._save(incident_id, key, save)

    def add_entry(
        self, incident_id: str, actor: Actor, key: str, at: datetime, text: str, kind: EntryKind = "note"
    ) -> Saved:
        """Add a line to the document's timeline by hand."""
        if not text.strip():
            raise ConfigError("text: the line is empty; say what happened")
        if len(text) > LONGEST:
            raise ConfigError(f"text: has {len(text)} characters; at most {LONGEST} are kept")
        if kind not in ENTRY_KINDS:
            raise ConfigError(f"kind: must be one of {', '.join(ENTRY_KINDS)}")
        entry = Entry(id=f"h{secrets.token_hex(4)}", at=at, kind=kind, text=text.strip(), author=actor.name)

        def save(connection: Connection, before: Stored) -> Saved:
            if len(before.document.added) >= MOST_ENTRIES:
                raise Conflict(f"the timeline has {MOST_ENTRIES} lines by hand, and no more are kept; remove some")
            after = replace(before.document, added=(*before.document.added, entry))
            return self._keep(connection, before, revisions.changed_state(before, after), actor, key, ("added",))

        return self._save(incident_id, key, save)

    def remove_entry(self, incident_id: str, actor: Actor, key: str, entry_id: str) -> Saved:
        """Remove a line that was added by hand; earlier revisions keep it."""

        def save(connection: Connection, before: Stored) -> Saved:
            rest = tuple(one for one in before.document.added if one.id != entry_id)
            if rest == before.document.added:
                raise Conflict(f"the timeline has no line {entry_id} that was added by hand; see `postmortem timeline`")
            after = replace(before.document, added=rest)
            return self._keep(connection, before, revisions.changed_state(before, after), actor, key, ("added",))

        return self._save(incident_id, key, save)

    def mark(self, incident_id: str, actor: Actor, key: str, entry_id: str, *, important: bool = True) -> Saved:
        """Mark a line of the timeline as important, or no longer."""

        def save(connection: Connection, before: Stored) -> Saved:
            lines = _report(connection, before, facts=False).lines
            if entry_id not in [line.id for line in lines]:
                raise Conflict(f"the timeline has no line {entry_id}; see `postmortem timeline {incident_id}`")
            marked = [one for one in before.document.important if one != entry_id]
            after = replace(before.document, important=tuple([*marked, entry_id] if important else marked))
            if after == before.document:
                return Saved(changed=False, message="nothing changes", stored=before)
            return self._keep(connection, before, revisions.changed_state(before, after), actor, key, ("important",))

        return self._save(incident_id, key, save)

    def submit(self, incident_id: str, actor: Actor, key: str) -> Saved:
        """Ask for a review."""

        def save(connection: Connection, before: Stored) -> Saved:
            if before.state != "draft":
                raise Conflict(f"the postmortem is {before.state}; only a draft is submitted for review")
            after = replace(before, state="in review", submitted_by=actor.name, reviewed_by=())
            return self._keep(connection, before, after, actor, key, ("submitted",))

        return self._save(incident_id, key, save)

    def send_back(self, incident_id: str, actor: Actor, key: str) -> Saved:
        """Make it a draft again: the reviewer asks for changes."""

        def save(connection: Connection, before: Stored) -> Saved:
            if before.state != "in review":
                raise Conflict(f"the postmortem is {before.state}; only one in review is sent back")
            after = replace(before, state="draft", submitted_by="", reviewed_by=())
            return self._keep(connection, before, after, actor, key, ("sent back",))

        return self._save(incident_id, key, save)

    def publish(self, incident_id: str, actor: Actor, key: str, seen: int) -> Saved:
        """Approve what was reviewed, and publish it with the last review that its template asks for.

        `seen` is the version that the reviewer looked at. Where the template asks for no review, a draft is published.

        Raises:
            Conflict: it is not in review, is not complete, has changed since, or the reviewer submitted or reviewed it.
        """

        def save(connection: Connection, before: Stored) -> Saved:
            reviewers = before.template.reviewers
            if before.state != "in review" and (reviewers or before.state != "draft"):
                raise Conflict(f"the postmortem is {before.state}; submit it for review first")
            news = revisions.history(connection, incident_id, seen)
            if seen > before.version or any(one.changed != REVIEWED for one in news):
                raise Conflict(f"It is not published. {_describe(news)} Look at revision {before.version}.")
            if gaps := before.template.missing(before.document, before.severity):
                raise Conflict(f"it is not complete: {', '.join(gaps)} missing; fill in and publish again")
            # Of a team of two, one is left to review.
            needed = min(reviewers, len(self._rota().people) - 1)
            if needed > 0:
                if self._same_person(actor, before.submitted_by):
                    raise Conflict(f"{before.submitted_by} submitted it; somebody else reviews and publishes it")
                if again := [name for name in before.reviewed_by if self._same_person(actor, name)]:
                    raise Conflict(f"{again[0]} reviewed it already; somebody else must, too")
                reviewed = (*before.reviewed_by, actor.name)
                if len(reviewed) < needed:
                    after = replace(before, reviewed_by=reviewed)
                    saved = self._keep(connection, before, after, actor, key, REVIEWED)
                    record_audit(connection, self._clock.now(), actor, "postmortem.review", incident_id)
                    more = f"{len(reviewed)} of {needed} reviews; somebody else reviews and publishes it."
                    return replace(saved, message=f"Reviewed: {more}")
                before = replace(before, reviewed_by=reviewed)
            now = self._clock.now()
            version = before.version + 1
            after = replace(before, state="published", version=version, updated_at=now)
            report = _report(connection, after)
            texts = Published(version=version, at=now, markdown=to_markdown(report), html=to_html(report))
            record_audit(connection, now, actor, "postmortem.publish", incident_id, f"revision {version}")
            return self._keep(connection, before, replace(after, published=texts), actor, key, ("published",))

        return self._save(incident_id, key, save)

    # How

    def _keep(
        self, connection: Connection, before: Stored, after: Stored, actor: Actor, key: str, changed: Sequence[str]
    ) -> Saved:
        stored = revisions.append(connection, before, after, actor, key, changed, self._clock.now())
        return Saved(changed=True, message=f"Saved as revision {stored.version}, {stored.state}.", stored=stored)

    def _save(self, incident_id: str, key: str, save: Callable[[Connection, Stored], Saved]) -> Saved:
        """One command in one transaction, decided anew where somebody else was first."""
        for _ in range(TRIES):
            try:
                with self._db.write() as connection:
                    before = revisions.load(connection, incident_id)
                    if revisions.given_before(connection, incident_id, key):
                        return Saved(changed=False, message="already saved", stored=before)
                    return save(connection, before)
            except Conflict as error:
                if not error.retry:
                    raise
        raise Conflict(f"the postmortem of {incident_id} changes too fast; try again", retry=True)

    def _label(self, connection: Connection, stored: Stored, actor: Actor, key: str) -> None:
        """The author's judgement, by the path of every label; their earlier note stays with it."""
        incident = journal.load(connection, stored.incident_id)
        document, now = stored.document, self._clock.now()
        notes = [label.note for label in incident.labels if label.source == "human" and label.author == actor.name]
        mechanisms: dict[str, Mechanism] = {name: name for name in MECHANISMS}
        judgement = Judgement(
            warranted={"yes": True, "no": False}.get(document.warranted),
            cause=document.cause,
            mechanism=mechanisms.get(document.mechanism),
            note=notes[-1] if notes else "",
        )
        version = deciding_version(connection, incident.opened_at)
        label = human_label(incident, actor, judgement, model_version=version, at=now)
        command = Command(type="labelled", at=now, actor=actor, key=f"labelled:{key}", label=label)
        self._incidents.apply(connection, incident.id, command)

    def _same_person(self, actor: Actor, name: str) -> bool:
        people = [known_person(self._rota(), one) for one in (actor, replace(actor, name=name))]
        return actor.name.casefold() == name.casefold() or (people[0] is not None and people[0] == people[1])


def _report(connection: Connection, stored: Stored, *, facts: bool = True) -> Report:
    incident: Incident = journal.load(connection, stored.incident_id)
    return Report(
        stored=stored,
        incident=incident,
        truth=labels_of(connection, stored.incident_id, "chaos"),
        actions=actions.of_incident(connection, stored.incident_id),
        facts=postmortem.facts(connection, incident) if facts else "",
    )


def _describe(news: Sequence[Revision]) -> str:
    """What others changed, a sentence each."""
    return " ".join(
        f"{one.actor.name} changed {_named(one.changed)} at {one.at:%H:%M} UTC (revision {one.version})."
        for one in news
    )


def _named(changed: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(HEADINGS.get(name, name) for name in changed))
