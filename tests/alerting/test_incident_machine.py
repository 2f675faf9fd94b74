"""The state machine alone: any sequence of commands keeps its promises."""

from __future__ import annotations

from datetime import timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol import finding

from alerting.incidents.machine import (
    Absorbed,
    Command,
    Event,
    EventType,
    Incident,
    Refusal,
    begin,
    decide,
    fold,
    replay,
)
from watchkeeper.state.codec import dump, parse
from watchkeeper.vocabulary import Actor, Diagnosis, Label, Proposal, Suspect, utc

BEGAN = utc(1_772_334_000)
ANA, BEN = Actor(name="Ana", via="slack"), Actor(name="Ben", via="cli")
KINDS: tuple[EventType, ...] = get_args(EventType)
FINDINGS = tuple(finding(BEGAN, service) for service in ("cart", "web"))
PROPOSALS = tuple(
    Proposal(runbook=name, title=name, service="cart", steps=("go",), blast_radius="one", undo="none")
    for name in ("restart", "roll-back")
)
DIAGNOSES = tuple(
    Diagnosis(
        onset=BEGAN,
        made_at=BEGAN,
        suspects=(Suspect(service=name, score=1, probability=0.7),),
        abstained=False,
        reason=name,
        engine_version="v1",
    )
    for name in ("cart", "web")
)

steps = st.lists(
    st.tuples(st.sampled_from(KINDS), st.sampled_from((ANA, BEN)), st.integers(0, 1), st.booleans()), max_size=40
)


def command(number: int, kind: EventType, actor: Actor, which: int, good: bool) -> Command:
    at = BEGAN + timedelta(seconds=number)
    label = Label(id=f"l{number}", incident_id="inc-1", source="human", author=actor.name, at=at, warranted=good)
    return Command(
        type=kind,
        at=at,
        actor=actor,
        key=f"k{number}",
        finding=FINDINGS[which],
        diagnosis=DIAGNOSES[which],
        proposal=PROPOSALS[which],
        seen=PROPOSALS[which].id,
        label=label,
        person="ana",
        succeeded=good,
        until=at + timedelta(seconds=90),
        other="inc-2",
        level=("SEV1", "SEV4")[which],
        reason="because",
        pages=which == 0,
        anew=good,
        absorbed=Absorbed(id="inc-2", title="two", findings=FINDINGS[1:], cleared=frozenset()) if good else None,
    )


def history(drawn: list[tuple[EventType, Actor, int, bool]]) -> tuple[list[Event], list[Incident]]:
    """The events that a sequence of commands became, and the incident after each."""
    opened = Event(type="opened", at=BEGAN, actor=ANA, key="opened", text="opened", finding=FINDINGS[0])
    events, states = [opened], [begin("inc-1", opened)]
    for number, (kind, actor, which, good) in enumerate(drawn):
        decision = decide(states[-1], command(number, kind, actor, which, good))
        if isinstance(decision, Refusal):
            assert decision.message
        else:
            events.append(decision)
            states.append(fold(states[-1], decision))
    return events, states


@given(steps)
def test_a_resolve_is_final(drawn: list[tuple[EventType, Actor, int, bool]]) -> None:
    """Nothing reopens it, nothing wakes anybody, and who resolved it stays."""
    events, states = history(drawn)
    ends = [number for number, event in enumerate(events) if event.type == "resolved"]
    assert len(ends) <= 1
    for end in ends:
        assert {state.human_state for state in states[end:]} == {"resolved"}
        assert {state.resolved_by for state in states[end:]} == {events[end].actor}
        forbidden = {
            "paged",
            "escalated",
            "ack_timed_out",
            "expired",
            "acknowledged",
            "approved",
            "run_started",
            "refired",
        }
        assert not forbidden & {event.type for event in events[end:]}


@given(steps)
def test_one_holds_it_at_a_time(drawn: list[tuple[EventType, Actor, int, bool]]) -> None:
    """Nobody acknowledges what somebody has, and no step of the escalation pages for it."""
    events, states = history(drawn)
    for event, before in zip(events[1:], states, strict=False):
        if event.type in ("acknowledged", "paged", "escalated", "expired"):
            assert before.human_state != "acknowledged"


@given(steps)
def test_nobody_is_paged_before_a_snooze_or_a_silence_ends(drawn: list[tuple[EventType, Actor, int, bool]]) -> None:
    """But by a human who assigns it: only the end of the wait itself pages."""
    events, states = history(drawn)
    for event, before, after in zip(events[1:], states, states[1:], strict=False):
        if before.human_state in ("snoozed", "silenced") and after.human_state == "paged":
            assert event.type == "assigned" or event.type.removesuffix("_ended") + "d" == before.human_state


@given(steps)
def test_what_is_merged_pages_nobody_until_it_is_split_off(
    drawn: list[tuple[EventType, Actor, int, bool]],
) -> None:
    """It is out of every list of what is open, and whoever splits it off has it."""
    events, states = history(drawn)
    for event, before, after in zip(events[1:], states, states[1:], strict=False):
        if before.human_state == "merged":
            assert not before.is_open
            assert after.human_state == ("acknowledged" if event.type == "split" else "merged")


def test_an_event_of_another_version_is_one_more_line_of_the_timeline() -> None:
    """Unknown types are read, and change no state."""
    events, states = history([("paged", ANA, 0, True)])
    body = dump(events[-1]).replace('"type":"paged"', '"type":"teleported"').replace('"key":"k0"', '"key":"k9"')
    unknown = parse(Event, body)
    after = fold(states[-1], unknown)
    assert parse(Incident, dump(after)) == after
    assert after.timeline[-1].kind == "teleported"
    assert (after.human_state, after.version) == (states[-1].human_state, states[-1].version + 1)


@given(steps)
def test_a_runbook_runs_only_after_a_humans_yes(drawn: list[tuple[EventType, Actor, int, bool]]) -> None:
    """Every start has an approval of its own before it."""
    approvals = 0
    for event in history(drawn)[0]:
        if event.type == "approved":
            approvals += 1
        if event.type == "run_started":
            approvals -= 1
        if event.type == "proposed":
            approvals = 0
        assert approvals in (0, 1)


@given(steps)
def test_what_is_written_down_tells_the_same_story(drawn: list[tuple[EventType, Actor, int, bool]]) -> None:
    """Events and incident survive their JSON, and the events replay to the incident."""
    events, states = history(drawn)
    assert replay("inc-1", [parse(Event, dump(event)) for event in events]) == states[-1]
    assert parse(Incident, dump(states[-1])) == states[-1]
    assert [state.version for state in states] == list(range(1, len(states) + 1))


@pytest.mark.parametrize(
    ("asked", "done"),
    [
        (["paged", "paged", "escalated", "acknowledged"], ["paged", "escalated", "acknowledged"]),
        (["escalated", "expired", "ack_timed_out", "paged"], ["paged"]),
        (
            ["paged", "acknowledged", "escalated", "expired", "ack_timed_out"],
            ["paged", "acknowledged", "ack_timed_out"],
        ),
        (["paged", "expired", "paged", "resolved", "paged"], ["paged", "expired", "paged", "resolved"]),
        (["recovered", "paged", "escalated", "expired"], ["recovered", "paged", "expired"]),
    ],
)
def test_a_page_is_answered_escalated_or_expires(asked: list[EventType], done: list[EventType]) -> None:
    """What happens of what is asked for, in this order."""
    events, _ = history([(kind, ANA, 0, True) for kind in asked])
    assert [event.type for event in events] == ["opened", *done]


def test_another_proposal_takes_the_place_of_one_that_nobody_answered() -> None:
    """The same once more is refused, and so is any after an approval."""
    asked: list[tuple[EventType, int]] = [
        ("proposed", 0),
        ("proposed", 0),
        ("proposed", 1),
        ("approved", 1),
        ("proposed", 0),
    ]
    events, states = history([(kind, ANA, which, True) for kind, which in asked])
    assert [event.type for event in events] == ["opened", "proposed", "proposed", "approved"]
    assert states[-1].proposal == PROPOSALS[1]
