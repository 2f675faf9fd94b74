"""Answers a question: what it asks, what it is about, and from which reads that is known."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from alerting.ask import from_records, from_telemetry
from alerting.ask.answer import Answer
from alerting.ask.intents import EXAMPLES, Intent, intent_of
from alerting.ask.names import COMMON, Match, Name, Names
from alerting.ask.sources import Objective, Reading, Store
from alerting.incidents.commands import Incidents
from alerting.oncall.in_force import Rota, rota_of
from watchkeeper.clock import Clock
from watchkeeper.config import OnCallConfig
from watchkeeper.state.database import Database
from watchkeeper.store import ask_queries
from watchkeeper.text import one_line, seen_name

LONGEST: Final = 1000  # characters of a question
NAMED_WITHIN: Final = timedelta(hours=1)  # services that were heard of
MOST_MEANT: Final = 4  # names among which whoever asked is asked to choose
INCIDENT: Final = re.compile(r"\binc-[0-9a-f]{6,16}\b", re.IGNORECASE)
OPEN: Final = re.compile(r"\bopen\b|\bincidents?\b|\bfir(es?|ing)\b", re.IGNORECASE)
# What is about one service, and means nothing without.
OF_ONE: Final[frozenset[Intent]] = frozenset({"why", "callers", "callees"})


class Asker:
    """Answers questions. Threads may share one."""

    def __init__(
        self,
        *,
        db: Database,
        incidents: Incidents,
        store: Store,
        oncall: OnCallConfig | Rota,
        clock: Clock,
        objectives: Callable[[], Sequence[Objective]] = lambda: (),
    ) -> None:
        self._db = db
        self._incidents = incidents
        self._store = store
        self._rota = rota_of(oncall)
        self._clock = clock
        self._objectives = objectives

    def ask(self, question: str) -> Answer:
        """The answer to a question; where it is not understood, what can be asked, with this system's own names.

        Raises:
            StateError: the state database cannot be read.
        """
        reading = Reading(
            db=self._db,
            incidents=self._incidents,
            store=self._store,
            oncall=self._rota(),
            objectives=self._objectives(),
            now=self._clock.now(),
        )
        text = one_line(question, LONGEST)
        named = [Name(kind="incident", text=found.casefold()) for found in INCIDENT.findall(text)]
        names = Names([*named, *_names(reading)])
        match = names.find(text)
        intent = intent_of(match.rest) if match else intent_of(text)
        if match and match.is_common and (intent is None or _strange(match.rest)):
            match, intent = None, intent_of(text)  # a word of the question that is a name, too
        if match and intent is None:
            intent = intent_of(text) or _usual(match)
        if match and intent == "open" and match.names[0].kind == "service" and not OPEN.search(text):
            intent = "why"  # "what is wrong with checkout?"
        answer = self._answer(reading, names, text, intent, match)
        reads = {f"{read.text} {sorted(read.parameters.items())}": read for read in reading.reads}
        return replace(answer, notes=(*answer.notes, *reading.notes), reads=tuple(reads.values()))

    def _answer(self, reading: Reading, names: Names, text: str, intent: Intent | None, match: Match | None) -> Answer:
        """The answer, without the reads that it rests on."""
        if intent is None:
            return _not_understood(names)
        if match and len(match.names) > 1:
            return _several(intent, match)
        subject = match.names[0] if match else None
        if intent in OF_ONE and (subject is None or subject.kind not in ("service", "incident", "objective")):
            if intent == "why" and subject is None and not _strange(text):
                intent = "open"  # "what is wrong?"
            else:
                return _no_such(intent, names, text, subject)
        if subject is None and intent in ("who", "budget", "last", "changed") and (strange := _strange(text)):
            return _no_such(intent, names, strange, None)
        answer = replace(_carried_out(reading, intent, subject, text), intent=intent)
        if match and not match.is_certain:
            note = f"Read “{one_line(match.words, 80)}” as {seen_name(match.names[0].text)}."
            answer = replace(answer, notes=(note, *answer.notes))
        return replace(answer, subject=subject.text if subject else "")


def _carried_out(reading: Reading, intent: Intent, subject: Name | None, text: str) -> Answer:
    """The answer to an intent about a name."""
    service = _service_of(reading, subject)
    match intent:
        case "why" if service:
            return from_telemetry.why(reading, service)
        case "callers" if service:
            return from_telemetry.callers(reading, service)
        case "callees" if service:
            return from_telemetry.callees(reading, service)
        case "budget":
            return from_telemetry.budget(reading, subject)
        case "changed":
            return from_records.what_changed(reading, subject, text)
        case "who":
            return from_records.who_is_on_call(reading, subject)
        case "last":
            return from_records.what_happened_last_time(reading, subject)
    return from_records.what_is_open(reading, subject)


def _service_of(reading: Reading, subject: Name | None) -> str:
    """The service that a name is about."""
    if subject is None:
        return ""
    if subject.kind == "incident":
        return reading.incident(subject.text).service
    if subject.kind == "objective":
        return next((one.service for one in reading.objectives if subject.text in (one.name, one.title)), "")
    return subject.text if subject.kind == "service" else ""


def _names(reading: Reading) -> Iterator[Name]:
    """Every name that a question may mean; a service before what else has its name."""
    end = reading.now
    times = {"start": (end - NAMED_WITHIN).timestamp(), "end": end.timestamp()}
    services = [row["service"] for row in reading.telemetry(ask_queries.SERVICES, **times)]
    incidents = reading.incidents.list(limit=200)
    objectives = reading.objectives
    known = [
        *services,
        *(one.service for one in incidents),
        *(finding.service for one in incidents for finding in one.findings),
        *(one.service for one in objectives),
    ]
    yield from (Name(kind="service", text=text) for text in dict.fromkeys(known) if text.strip())
    yield from (Name(kind="incident", text=one.id) for one in incidents)
    yield from (Name(kind="objective", text=text) for one in objectives for text in {one.name, one.title})
    yield from (Name(kind="schedule", text=one.id) for one in reading.oncall.schedules)
    yield from (Name(kind="person", text=text) for one in reading.oncall.people for text in {one.name, one.id})


def _usual(match: Match) -> Intent:
    """What a bare name asks."""
    return {"person": "who", "schedule": "who", "objective": "budget"}.get(match.names[0].kind, "why")  # type: ignore[return-value]


def _several(intent: Intent, match: Match) -> Answer:
    """A name that may be several: which one?"""
    shown = match.names[:MOST_MEANT]
    names = " or ".join(seen_name(name.text) for name in shown)
    more = f", or one of {len(match.names) - MOST_MEANT} more" if len(match.names) > MOST_MEANT else ""
    return Answer(
        heading=f"“{one_line(match.words, 80)}” may be {names}{more}. Did you mean one of these?",
        suggestions=tuple(EXAMPLES[intent].format(service=_quoted(name.text)) for name in shown),
    )


def _no_such(intent: Intent, names: Names, text: str, subject: Name | None) -> Answer:
    """A question about a name that is not known: which one was meant?"""
    if subject is not None:
        heading = f"{seen_name(subject.text)} is a {subject.kind}; this question is about a service."
        return Answer(heading=heading, suggestions=_examples(names))
    words = _strange(text) or text
    near = names.near(words, "service") or names.of("service")[:MOST_MEANT]
    if not near:
        heading = "No service is known yet: none sent telemetry within the last hour, and no incident names one."
        return Answer(heading=heading, suggestions=_examples(names))
    meant = " or ".join(map(seen_name, near))
    return Answer(
        heading=f"No name in “{one_line(words, 80)}” is known here. Did you mean {meant}?",
        suggestions=tuple(EXAMPLES[intent].format(service=_quoted(name)) for name in near),
    )


def _not_understood(names: Names) -> Answer:
    """What can be asked, with names of this very system."""
    return Answer(heading="That question is not understood. These are:", suggestions=_examples(names))


def _examples(names: Names) -> tuple[str, ...]:
    services = names.of("service") or ("checkout",)
    return tuple(
        text.format(service=_quoted(services[number % len(services)])) for number, text in enumerate(EXAMPLES.values())
    )


def _quoted(name: str) -> str:
    """A name as it can be asked for: in quotes where it is more than one word, or a word of questions."""
    seen = seen_name(name)
    plain = re.fullmatch(r"[\w./:-]+", seen)
    found = Names([Name(kind="service", text=name)]).find(seen) if plain else None
    return seen if found and not found.is_common else f'"{seen}"'


def _strange(text: str) -> str:
    """The words that no question is made of, which seem to be a name; empty where there are none."""
    words = re.findall(r"[\w./:-]{3,}", INCIDENT.sub("", text))
    return " ".join(word for word in words if word.casefold() not in COMMON and not word.isdigit())[:200]
