"""What was shown, against what was true: one row a fault, and what was shown without a fault."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from bench.worlds.watching import WARM_S, Page, Watched
from chaos.worlds.recording import Event, Recording
from watchkeeper.vocabulary import Diagnosis

STILL_S: Final = 120.0  # after a fault's end a page is still about it: the detectors look back over a minute
RECOVERY_S: Final = 180.0  # so long after it a backlog, a cold cache or a restart may still show
# Harmless to users, and yet somebody should know: a service fails and its callers do without.
WORTH_A_TICKET: Final = frozenset({"tolerated failure"})
SHOWN: Final = 3  # suspects that a page shows
DAY_S: Final = 86_400.0
Warrants = Callable[[Event], bool]
SIZES: Final = ((8, "3-8 services"), (20, "9-20"), (40, "21-40"), (10**9, "41 and more"))
RATES: Final = ((1.0, "below 1 request/s"), (10.0, "1-10"), (100.0, "10-100"), (float("inf"), "100 and more"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One diagnosis against the truth.

    Attributes:
        rank: the place of a right name, from 1; None where none is among the suspects.
        mechanism: whether that suspect has the right mechanism.
        abstained: whether no cause was named.
        named: the first suspects with their mechanisms, as shown.
    """

    rank: int | None = None
    mechanism: bool = False
    abstained: bool = True
    named: str = "no diagnosis"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault and what came of it; seconds are from the recording's start.

    `seconds` runs from when users first feel it to its page; 0 for a page before. `found` is what was shown, right or
    not.
    """

    seed: int
    event: Event
    habits: tuple[str, ...]
    size: str
    rate: str
    detected: bool = False
    ticketed: bool = False
    seconds: float | None = None
    pages: int = 0
    at_page: Answer = Answer()
    at_last: Answer = Answer()
    found: str = "nothing"

    @property
    def passed(self) -> bool:
        """Whether a human heard of it as they should: by a page if users feel it, by a ticket or page otherwise."""
        return self.detected or (self.ticketed and not self.event.pages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unwarranted:
    """A page or ticket while nothing that warrants it went on; `during` names what did.

    `unfelt` is whether that was a fault, but one that users don't feel.
    """

    seed: int
    at_s: float
    summary: str
    during: str
    unfelt: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The score of one recording."""

    seed: int
    days: float
    faults: tuple[Fault, ...]
    false_pages: tuple[Unwarranted, ...]
    false_tickets: tuple[Unwarranted, ...]
    problems: tuple[str, ...] = ()


def score(seed: int, recording: Recording, watched: Watched, calls: Iterable[tuple[str, str]] = ()) -> World:
    """Every fault of a recording, and what was shown outside of all of them.

    `calls` are pairs of caller and callee beside those that were recorded: whoever reports nothing calls others, too.
    """
    graph = CallGraph(recording, calls)
    events = [event for event in recording.events if event.ends_s > WARM_S]
    return World(
        seed=seed,
        days=(recording.seconds - WARM_S) / DAY_S,
        faults=tuple(_fault(seed, recording, event, watched, graph) for event in events if event.harmful),
        false_pages=_unwarranted(
            seed,
            events,
            [(page.paged_s, page.summaries[0] if page.summaries else "") for page in watched.pages],
            lambda event: event.harmful and (event.pages or event.limit_at_s is not None),
        ),
        false_tickets=_unwarranted(
            seed,
            events,
            [(ticket.opened_s, ticket.summary) for ticket in watched.tickets],
            lambda event: event.harmful or event.kind in WORTH_A_TICKET,
        ),
        problems=watched.problems,
    )


def together(worlds: Sequence[World]) -> World:
    """Several recordings of one system as one."""
    return World(
        seed=worlds[0].seed,
        days=sum(world.days for world in worlds),
        faults=tuple(fault for world in worlds for fault in world.faults),
        false_pages=tuple(page for world in worlds for page in world.false_pages),
        false_tickets=tuple(ticket for world in worlds for ticket in world.false_tickets),
        problems=tuple(problem for world in worlds for problem in world.problems),
    )


class CallGraph:
    """Who calls whom in a system, and what a fault can show at."""

    def __init__(self, recording: Recording, calls: Iterable[tuple[str, str]] = ()) -> None:
        self._callers: defaultdict[str, set[str]] = defaultdict(set)
        self._callees: defaultdict[str, set[str]] = defaultdict(set)
        pairs = recording.edges.group_by(["caller", "callee"]).aggregate([])
        recorded = zip(pairs["caller"].to_pylist(), pairs["callee"].to_pylist(), strict=True)
        for caller, callee in {*calls, *recorded}:
            self._callers[callee].add(caller)
            self._callees[caller].add(callee)

    def reach(self, event: Event) -> frozenset[str]:
        """The culprits, whoever depends on them, and what they call themselves."""
        reached = set(culprits(event))
        reached |= {callee for name in culprits(event) for callee in self._callees[name]}
        todo = list(culprits(event))
        while todo:
            for caller in self._callers[todo.pop()] - reached:
                reached.add(caller)
                todo.append(caller)
        return frozenset(reached)


def culprits(event: Event) -> tuple[str, ...]:
    """The names that are right."""
    return tuple(name for name in (event.culprit, *event.also) if name)


def _fault(seed: int, recording: Recording, event: Event, watched: Watched, graph: CallGraph) -> Fault:
    reach = graph.reach(event)
    until = event.ends_s + STILL_S
    if event.limit_at_s is not None and not event.pages:
        until = min(until, event.limit_at_s)
    during = [page for page in watched.pages if event.begins_s <= page.paged_s <= until]
    connected = [page for page in during if not reach.isdisjoint(page.services)]
    tickets = [
        ticket
        for ticket in watched.tickets
        if any(event.begins_s <= at <= until and service in reach for at, service in ticket.noticed)
    ]
    first = connected[0] if connected else None
    return Fault(
        seed=seed,
        event=event,
        habits=_habits(recording, event),
        size=_class(recording.size, SIZES),
        rate=_class(recording.entry_rate, RATES),
        detected=first is not None,
        ticketed=bool(tickets),
        seconds=max(0.0, first.paged_s - (event.felt_at_s or event.begins_s)) if first else None,
        pages=len(connected),
        at_page=_answer(first.at_page if first else None, event),
        at_last=_answer(first.at_last if first else None, event),
        found=_found(first, during, [ticket.summary for ticket in tickets]),
    )


def _answer(diagnosis: Diagnosis | None, event: Event) -> Answer:
    if diagnosis is None:
        return Answer()
    right = culprits(event)
    ranks = [place for place, suspect in enumerate(diagnosis.suspects) if suspect.service in right]
    shown = [f"{one.service} ({one.mechanism}, {one.probability:.0%})" for one in diagnosis.suspects[:SHOWN]]
    return Answer(
        rank=ranks[0] + 1 if ranks else None,
        mechanism=bool(ranks) and diagnosis.suspects[ranks[0]].mechanism == event.mechanism,
        abstained=diagnosis.abstained,
        named=", ".join(shown) or diagnosis.reason,
    )


def _found(first: Page | None, during: Sequence[Page], tickets: Sequence[str]) -> str:
    if first:
        return "; ".join(first.summaries[:SHOWN])
    shown = [f"page elsewhere: {page.summaries[0]}" for page in during if page.summaries]
    shown += [f"ticket: {summary}" for summary in tickets]
    return "; ".join(shown[:SHOWN]) + (f"; {len(shown) - SHOWN} more" if len(shown) > SHOWN else "") or "nothing"


def _unwarranted(
    seed: int, events: Sequence[Event], shown: Iterable[tuple[float, str]], warrants: Warrants
) -> tuple[Unwarranted, ...]:
    spans = [(event.begins_s, event.ends_s + RECOVERY_S) for event in events if warrants(event)]
    return tuple(
        Unwarranted(
            seed=seed,
            at_s=at,
            summary=summary,
            during=", ".join(sorted({event.kind for event in _at(events, at)})) or "nothing",
            unfelt=any(event.harmful for event in _at(events, at)),
        )
        for at, summary in shown
        if not any(low <= at <= high for low, high in spans)
    )


def _at(events: Iterable[Event], at: float) -> list[Event]:
    return [event for event in events if event.begins_s <= at <= event.ends_s + RECOVERY_S]


def _habits(recording: Recording, event: Event) -> tuple[str, ...]:
    """The habits of the culprit; one that reports nothing has none but that."""
    return tuple(sorted(recording.traits.get(event.culprit, ("reports nothing",))))


def _class(value: float, classes: Collection[tuple[float, str]]) -> str:
    return next(name for bound, name in classes if value <= bound)
