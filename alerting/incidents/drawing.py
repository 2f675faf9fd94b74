"""The protocol between machine and human as Mermaid diagrams, drawn by trying every command in every state.

Nothing here knows the protocol: `decide` and `fold` are asked, and what they did is drawn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, get_args

from alerting.incidents.machine import Command, Event, EventType, Incident, begin, decide, fold
from watchkeeper.vocabulary import Actor, Finding, Proposal

AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
ANA: Final = Actor(name="Ana", via="cli")
# The three states that an incident has at the same time, and the title of each diagram.
AXES: Final[dict[str, Callable[[Incident], str]]] = {
    "The system": lambda incident: incident.system_state,
    "The human": lambda incident: incident.human_state,
    "The runbook": lambda incident: incident.proposal_state,
}


@dataclass(frozen=True, slots=True, order=True)
class _Move:
    source: str
    target: str
    event: str


def diagrams() -> dict[str, str]:
    """A Mermaid state diagram for each of the states, by title."""
    moves: dict[str, set[_Move]] = {title: set() for title in AXES}
    first = begin("inc-1", Event(type="opened", at=AT, actor=ANA, key="opened", finding=_finding("page")))
    waiting, seen = deque([first]), {_place(first)}
    while waiting:
        incident = waiting.popleft()
        for event in _possible(incident):
            after = fold(incident, event)
            for title, of in AXES.items():
                if of(incident) != of(after):
                    moves[title].add(_Move(of(incident), of(after), _name(event)))
            if _place(after) not in seen:
                seen.add(_place(after))
                waiting.append(after)
    return {title: _drawn(AXES[title](first), moves[title]) for title in AXES}


def _place(incident: Incident) -> tuple[str, ...]:
    """Incidents that differ in nothing else can do the same."""
    return (*(of(incident) for of in AXES.values()), str(bool(incident.cleared)))


def _possible(incident: Incident) -> Iterator[Event]:
    """Every command that is not refused now."""
    for kind in get_args(EventType):
        if kind in ("opened", "raised", "joined"):
            continue
        for succeeded in (True, False) if kind in ("run_finished", "proposed") else (True,):
            proposal = _proposal("t" if succeeded else "another")
            command = Command(
                type=kind,
                at=AT,
                actor=ANA,
                key=kind,
                finding=_finding("page"),
                proposal=proposal,
                seen=incident.proposal.id if incident.proposal else "",
                succeeded=succeeded,
                person="ana",
                until=AT + timedelta(hours=1),
                other="inc-2",
                level="SEV1",
                reason="cards fail",
                anew=True,
            )
            decided = decide(incident, command)
            if isinstance(decided, Event):
                yield decided


def _name(event: Event) -> str:
    if event.type == "run_finished":
        return "run_finished (done)" if event.succeeded else "run_finished (failed)"
    return event.type


def _drawn(first: str, moves: set[_Move]) -> str:
    lines = ["stateDiagram-v2", f"    [*] --> {first}"]
    pairs: dict[tuple[str, str], list[str]] = {}
    for move in sorted(moves):
        pairs.setdefault((move.source, move.target), []).append(move.event)
    lines += [f"    {source} --> {target}: {', '.join(events)}" for (source, target), events in pairs.items()]
    return "\n".join(lines)


def _finding(severity: str) -> Finding:
    values = {"detector": "d", "detector_version": "1", "kind": "errors", "service": "cart", "summary": "errors"}
    return Finding(**values, onset=AT, seen_at=AT, score=1.0, severity=severity)  # type: ignore[arg-type]


def _proposal(title: str) -> Proposal:
    return Proposal(runbook="b", title=title, service="cart", steps=("s",), blast_radius="b", undo="u")
