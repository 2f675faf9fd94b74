"""How postmortems are kept: each save is a revision, only ever added; beside them the document as it stands.

A save is a compare-and-set on the document's version and carries a key: the same key again changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, insert, select, update

from alerting.incidents.machine import Event, Incident
from alerting.postmortems.document import TEXTS, Document, State, changed_fields, with_label
from alerting.postmortems.templates import Template, read_template
from watchkeeper.errors import Conflict, NotFound
from watchkeeper.state.codec import dump, parse
from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.state.insert import insert_new
from watchkeeper.state.schema import postmortem_documents as documents
from watchkeeper.state.schema import postmortem_revisions as revisions
from watchkeeper.vocabulary import Actor

MACHINE: Final = Actor(name="Watchkeeper", via="system")
MOST_WORDS: Final = 100_000  # characters that a search looks in


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A postmortem as it was published: both texts are complete files."""

    version: int
    at: datetime
    markdown: str
    html: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A document as it stands. `submitted_by` is who asked for the review; empty while nobody did.

    `reviewed_by` are those who approved this text, while more reviewers are needed.
    """

    incident_id: str
    version: int
    state: State
    severity: str
    service: str
    title: str
    updated_at: datetime
    document: Document
    template: Template
    submitted_by: str = ""
    reviewed_by: tuple[str, ...] = ()
    published: Published | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One save: who, when, and which fields, or which change of state."""

    version: int
    at: datetime
    actor: Actor
    state: State
    changed: tuple[str, ...]
    document: Document


def begin(connection: Connection, incident: Incident, at: datetime, template: Template) -> None:
    """The first revision, with what the machine knows. Of a document that nobody has written in, the template."""
    answers = [label for label in incident.labels if label.source == "human"]
    document = Document(first_bad_at=incident.onset)
    if answers:
        document = with_label(document, answers[-1])
    stored = Stored(
        incident_id=incident.id,
        version=1,
        state="draft",
        severity=incident.severity,
        service=incident.service,
        title=incident.title,
        updated_at=at,
        document=document,
        template=template,
    )
    if insert_new(connection, documents, {"incident_id": incident.id, **_row(stored)}):
        _add(connection, stored, MACHINE, "first", ("drafted",))
    else:
        untouched = (documents.c.incident_id == incident.id) & (documents.c.version == 1)
        connection.execute(update(documents).where(untouched).values(template=template.as_text()))


def follow_label(connection: Connection, incident: Incident, event: Event) -> None:
    """A person judged the incident, wherever they did: the document follows, in the event's own transaction."""
    if event.label is None or event.label.source != "human":
        return
    row = _read(connection, incident.id)
    if row is None:
        return
    after = with_label(row.document, event.label)
    changed = changed_fields(row.document, after)
    if changed:
        append(connection, row, changed_state(row, after), event.actor, f"label:{event.key}", changed, event.at)


def changed_state(before: Stored, document: Document) -> Stored:
    """A stored document with other content: what was published is a draft again, and stays published as it was.

    Whoever reviewed the text before has not reviewed this one.
    """
    if before.state == "published":
        return replace(before, document=document, state="draft", submitted_by="", reviewed_by=())
    return replace(before, document=document, reviewed_by=())


def append(
    connection: Connection,
    before: Stored,
    after: Stored,
    actor: Actor,
    key: str,
    changed: Sequence[str],
    at: datetime,
) -> Stored:
    """Add a revision, if nobody has added another in the meantime.

    Raises:
        Conflict: the version moved.
    """
    after = replace(after, version=before.version + 1, updated_at=at)
    unchanged = (documents.c.incident_id == before.incident_id) & (documents.c.version == before.version)
    if connection.execute(update(documents).where(unchanged).values(**_row(after))).rowcount != 1:
        raise Conflict(f"the postmortem of {before.incident_id} has moved on", retry=True)
    _add(connection, after, actor, key, changed)
    return after


def load(connection: Connection, incident_id: str) -> Stored:
    """The document as it stands.

    Raises:
        NotFound: there is none yet.
    """
    row = _read(connection, incident_id)
    if row is None:
        raise NotFound(f"{incident_id} has no postmortem yet; `watchkeeper postmortem new {incident_id}` drafts one")
    return row


def given_before(connection: Connection, incident_id: str, key: str) -> bool:
    """Whether a save with this key was made."""
    query = select(revisions.c.version).where(revisions.c.incident_id == incident_id, revisions.c.key == key)
    return connection.execute(query).first() is not None


def history(connection: Connection, incident_id: str, after: int = 0) -> tuple[Revision, ...]:
    """Revisions, oldest first; only those after a version."""
    query = select(revisions).where(revisions.c.incident_id == incident_id, revisions.c.version > after)
    return tuple(_revision(row) for row in connection.execute(query.order_by(revisions.c.version)))


def search(db: Database, words: str = "", state: str = "", limit: int = 100) -> tuple[Stored, ...]:
    """Documents that hold every one of the words, newest change first."""
    query = select(documents).order_by(documents.c.updated_at.desc(), documents.c.incident_id).limit(limit)
    if state:
        query = query.where(documents.c.state == state)
    for word in words.casefold().split()[:20]:
        query = query.where(documents.c.words.contains(word, autoescape=True))
    with db.read() as connection:
        return tuple(_stored(row) for row in connection.execute(query))


def _read(connection: Connection, incident_id: str) -> Stored | None:
    row = connection.execute(select(documents).where(documents.c.incident_id == incident_id)).first()
    return _stored(row) if row else None


def _row(stored: Stored) -> dict[str, Any]:
    published, document = stored.published, stored.document
    said = [getattr(document, name) for name in TEXTS] + [entry.text for entry in document.added]
    words = " ".join([stored.incident_id, stored.title, stored.service, document.cause, document.mechanism, *said])
    return {
        "version": stored.version,
        "state": stored.state,
        "severity": stored.severity,
        "service": stored.service,
        "title": stored.title,
        "updated_at": to_micros(stored.updated_at),
        "submitted_by": stored.submitted_by,
        "published_at": to_micros(published.at) if published else None,
        "published_version": published.version if published else None,
        "published": json.dumps({"markdown": published.markdown, "html": published.html}) if published else "",
        "words": words.casefold()[:MOST_WORDS],
        "body": dump(document),
        "template": stored.template.as_text(),
        "reviewed_by": json.dumps(stored.reviewed_by),
    }


def _add(connection: Connection, stored: Stored, actor: Actor, key: str, changed: Sequence[str]) -> None:
    row = {
        "incident_id": stored.incident_id,
        "version": stored.version,
        "at": to_micros(stored.updated_at),
        "actor": actor.name,
        "via": actor.via,
        "key": key,
        "state": stored.state,
        "changed": ", ".join(changed),
        "body": dump(stored.document),
    }
    connection.execute(insert(revisions).values(**row))


def _stored(row: Any) -> Stored:
    published = None
    if row.published_at is not None:
        texts = json.loads(row.published)
        published = Published(version=row.published_version, at=from_micros(row.published_at), **texts)
    return Stored(
        incident_id=row.incident_id,
        version=row.version,
        state=row.state,
        severity=row.severity,
        service=row.service,
        title=row.title,
        updated_at=from_micros(row.updated_at),
        document=parse(Document, row.body),
        template=read_template(row.template, row.severity),
        submitted_by=row.submitted_by,
        reviewed_by=tuple(json.loads(row.reviewed_by or "[]")),
        published=published,
    )


def _revision(row: Any) -> Revision:
    return Revision(
        version=row.version,
        at=from_micros(row.at),
        actor=Actor(name=row.actor, via=row.via),
        state=row.state,
        changed=tuple(filter(None, row.changed.split(", "))),
        document=parse(Document, row.body),
    )
