"""A postmortem as a document: typed fields, the sections that a template may have, and what a save changes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal, get_args

from watchkeeper.errors import ConfigError
from watchkeeper.vocabulary import MECHANISMS, Label

State = Literal["draft", "in review", "published"]
STATES: Final[tuple[State, ...]] = get_args(State)
Answer = Literal["", "yes", "no", "unsure"]
EntryKind = Literal["detection", "response", "repair", "impact", "communication", "note"]
ENTRY_KINDS: Final[tuple[EntryKind, ...]] = get_args(EntryKind)
LONGEST: Final = 20_000  # characters of one field
MOST_ENTRIES: Final = 500  # added by hand


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The impact as telemetry shows it, from the first bad time until the recovery.

    `services` are (name, requests, failed requests); `budgets` are (objective, share of its error budget that was
    spent), where 1 is all of it.
    """

    at: datetime
    start: datetime
    end: datetime
    requests: int
    failed: int
    services: tuple[tuple[str, int, int], ...] = ()
    budgets: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line of the timeline that somebody added by hand."""

    id: str
    at: datetime
    kind: EntryKind
    text: str
    author: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What people write, and what was measured. An empty text is a field that nobody filled in.

    `cause` is the service at fault; `warranted` is whether the page was. `important` names lines of the incident's
    own timeline by their place, such as `e3`, and lines of `added` by their id.
    """

    summary: str = ""
    impact: str = ""
    measured: Measured | None = None
    cause: str = ""
    mechanism: str = ""
    root_cause: str = ""
    first_bad_at: datetime | None = None
    warranted: Answer = ""
    signals_missed: str = ""
    contributing: str = ""
    went_well: str = ""
    to_improve: str = ""
    added: tuple[Entry, ...] = ()
    important: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A text of a template: its heading, and what to write there."""

    field: str
    heading: str
    prompt: str


_SECTIONS: Final = (
    Section(
        field="summary",
        heading="Summary",
        prompt="What users noticed, for how long, and how it ended. Two or three sentences.",
    ),
    Section(field="impact", heading="Impact", prompt="Who could not do what. Numbers are measured below."),
    Section(
        field="root_cause",
        heading="Root cause",
        prompt="What made it possible. Describe systems and decisions, and not who is to blame: people did what made "
        "sense with what they knew.",
    ),
    Section(
        field="contributing",
        heading="Contributing factors",
        prompt="What else had to come together, or made it worse or longer.",
    ),
    Section(
        field="signals_missed",
        heading="Signals missed",
        prompt="What showed it earlier, and paged nobody: a metric, a log line, a report of a user.",
    ),
    Section(field="went_well", heading="What went well", prompt="What shortened it, and should stay."),
    Section(field="to_improve", heading="What to improve", prompt="What cost time, or depended on luck."),
)
# Every section that a template may have, by the field that holds its text.
SECTIONS: Final[Mapping[str, Section]] = {section.field: section for section in _SECTIONS}
TEXTS: Final = tuple(SECTIONS)
LABEL_FIELDS: Final = ("cause", "mechanism", "warranted")
EDITABLE: Final = (*TEXTS, *LABEL_FIELDS, "first_bad_at")
HEADINGS: Final[Mapping[str, str]] = {
    **{section.field: section.heading for section in SECTIONS.values()},
    "cause": "True cause",
    "mechanism": "Mechanism",
    "warranted": "Was the page warranted",
    "first_bad_at": "First bad time",
    "measured": "Measured impact",
    "added": "Timeline",
    "important": "Timeline",
}


def checked(changes: Mapping[str, object]) -> dict[str, Any]:
    """Fields that somebody wants to save, as a document holds them.

    Raises:
        ConfigError: names the field, what is wrong with it, and what it may be.
    """
    return {name: _checked(name, value) for name, value in changes.items()}


def _checked(name: str, value: object) -> object:
    if name not in EDITABLE:
        raise ConfigError(f"{name}: a postmortem has no such field; there are: {', '.join(EDITABLE)}")
    if name == "first_bad_at":
        return _moment(value)
    if not isinstance(value, str):
        raise ConfigError(f"{name}: must be a text")
    text = value.strip()
    if len(text) > LONGEST:
        raise ConfigError(f"{name}: has {len(text)} characters; at most {LONGEST} are kept. Link to the rest.")
    if name == "mechanism" and text and text not in MECHANISMS:
        raise ConfigError(f"mechanism: must be one of {', '.join(MECHANISMS)}, or empty")
    if name == "warranted" and text not in get_args(Answer):
        raise ConfigError("warranted: must be yes, no, unsure, or empty")
    return text


def _moment(value: object) -> datetime | None:
    if value in (None, ""):
        return None
    try:
        at = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"first_bad_at: {str(value)[:40]!r} must be a time such as 2026-03-01T02:55:00Z") from error


def changed_fields(before: Document, after: Document) -> tuple[str, ...]:
    """The names of the fields in which two documents differ."""
    return tuple(one.name for one in fields(Document) if getattr(before, one.name) != getattr(after, one.name))


def with_label(document: Document, label: Label) -> Document:
    """The document with a person's judgement, as it was given on any page or command."""
    answers: Mapping[bool | None, Answer] = {True: "yes", False: "no"}
    warranted = answers.get(label.warranted, "unsure" if document.warranted else "")
    return replace(document, cause=label.cause or "", mechanism=label.mechanism or "", warranted=warranted)
