"""A message to whom a swap concerns: its taker when it is asked, its asker when it is answered.

A durable timer of the swap's own transaction puts the message into the outbox: a kill loses none and doubles none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, select

from alerting.channels import outbox
from alerting.channels.channel import NoticeButton
from alerting.oncall.timers import Effect, Timer, set_timers, timer_row
from watchkeeper.config import OnCallConfig
from watchkeeper.state.database import from_micros
from watchkeeper.state.schema import swaps as table
from watchkeeper.text import seen_name

KIND: Final = "swap"
ACCEPT: Final = "swap_accept"
DECLINE: Final = "swap_decline"
# The step of a timer, by the state that it tells of.
STATES: Final[Mapping[str, int]] = {"asked": 1, "accepted": 2, "declined": 3, "cancelled": 4}


def announce(connection: Connection, swap_id: str, state: str, now: datetime) -> None:
    """Tell whom it concerns, at once; once for each state."""
    step = STATES[state]
    set_timers(connection, [timer_row(swap_id, KIND, now, version=step, step=step, at=now)])


def effect(oncall: OnCallConfig, channels: Sequence[str]) -> Effect:
    """What the timer does. `channels` are those that can show a notice."""

    def tell(connection: Connection, timer: Timer, now: datetime) -> None:
        row = connection.execute(select(table).where(table.c.id == timer.incident_id)).first()
        if row is None or STATES.get(row.state) != timer.step:
            return  # what it was to tell of is over
        to = row.asker if row.state in ("accepted", "declined") else row.taker
        person = oncall.person(to)
        reached = [(name, person.address(name)) for name in channels if person and person.address(name)]
        message = _message(oncall, row, to)
        for channel, address in reached[:1]:
            outbox.put_reminder(connection, f"{timer.id}:{channel}", row.id, channel, address, message, now)

    return tell


def _message(oncall: OnCallConfig, row: Any, to: str) -> outbox.Draft:
    asker, taker = (_name(oncall, each) for each in (row.asker, row.taker))
    shift = f"{seen_name(row.schedule)}, {_span(row.start, row.end)}"
    back = f"\nIn return, {asker} takes {_span(row.return_start, row.return_end)}." if row.return_start else ""
    if row.state == "asked":
        how = f"watchkeeper oncall swap accept {row.id}, or decline {row.id}"
        return outbox.Draft(
            kind="reminder",
            person=to,
            title=f"{asker} asks {taker} to take a shift",
            text=f"On call in {shift}.{back}\nNothing changes before {taker} accepts. From a terminal: {how}",
            choices=(
                NoticeButton(action=ACCEPT, label="Accept", value=row.id, style="primary"),
                NoticeButton(action=DECLINE, label="Decline", value=row.id),
            ),
        )
    by = row.answered_by or "somebody"
    ended = {"accepted": f"{taker} is on call", "declined": f"{asker} stays on call", "cancelled": "Nothing changes"}
    title = f"{by} {row.state} the swap of a shift"
    return outbox.Draft(kind="reminder", person=to, title=title, text=f"{ended[row.state]}: {shift}.{back}")


def _name(oncall: OnCallConfig, person_id: str) -> str:
    person = oncall.person(person_id)
    return person.name if person else person_id


def _span(start: int, end: int) -> str:
    return f"{from_micros(start):%a %Y-%m-%d %H:%M} to {from_micros(end):%a %Y-%m-%d %H:%M} UTC"
