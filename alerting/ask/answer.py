"""An answer: what is so, in sentences, and every read that it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from alerting.ask.intents import Intent


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """One read that an answer rests on: SQL with its parameters, or the command that reads the same records."""

    text: str
    parameters: Mapping[str, str | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer in plain text.

    Attributes:
        intent: what was understood; None where nothing was.
        subject: the name that the question is about, empty without one.
        heading: the answer in one sentence.
        lines: what it rests on, a sentence each.
        notes: what could not be read, or how the question was understood.
        links: what to look at next: a path of the dashboard by its name.
        reads: what was read for it.
        suggestions: questions that can be asked instead, where this one was not understood.
    """

    heading: str
    intent: Intent | None = None
    subject: str = ""
    lines: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    reads: tuple[Read, ...] = ()
    suggestions: tuple[str, ...] = ()


def as_json(answer: Answer) -> dict[str, Any]:
    """For the API and for scripts."""
    return {
        "understood": answer.intent is not None,
        "intent": answer.intent,
        "subject": answer.subject,
        "answer": answer.heading,
        "lines": list(answer.lines),
        "notes": list(answer.notes),
        "links": [{"name": name, "path": path} for name, path in answer.links],
        "reads": [{"text": read.text, "parameters": dict(read.parameters)} for read in answer.reads],
        "suggestions": list(answer.suggestions),
    }
