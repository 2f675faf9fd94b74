"""Shifts that people swap: one asks, the other accepts, and only then somebody else is on call.

An accepted swap is one override, or two where the other's shift is taken in return; they are made in the transaction
that records the answer. So a swap is never half done, and of two answers one counts.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from sqlalchemy import Connection, insert, select, update

from alerting.oncall import swap_messages
from alerting.oncall.escalation import known_person
from alerting.oncall.schedule import (
    OVERRIDING,
    Override,
    final_schedule,
    overrides_in,
    person,
    put_override,
    schedule_of,
)
from watchkeeper.config import OnCallConfig
from watchkeeper.errors import NotFound, StateError
from watchkeeper.state.audit import record_audit
from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.state.schema import swaps as table
from watchkeeper.vocabulary import Actor, Window, content_key

State = Literal["asked", "accepted", "declined", "cancelled"]
Answer = Literal["accepted", "declined", "cancelled"]
LISTED: Final = 200
LONGEST: Final = timedelta(days=62)


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """`taker` is asked to be on call in place of `asker` during `window`; in return, `asker` during `returned`."""

    schedule: str
    asker: str
    taker: str
    window: Window
    returned: Window | None = None
    id: str = ""
    state: State = "asked"
    asked_by: str = ""
    answered_by: str = ""


def ask(db: Database, oncall: OnCallConfig, swap: Swap, now: datetime, actor: Actor, key: str = "") -> str:
    """Ask somebody to take a shift, who gets a message; the id of what was asked. The same `key` again asks nothing.

    Raises:
        NotFound: no such schedule or person.
        StateError: it is over, somebody asks themselves, a shift is not theirs, or the actor is somebody else.
    """
    schedule_of(oncall, swap.schedule)
    asker, taker = person(oncall, swap.asker), person(oncall, swap.taker)
    _may(oncall, actor, {asker.id}, f"ask for {asker.name}")
    if asker == taker:
        raise StateError(f"{asker.name} cannot swap with themselves; name somebody else")
    swap_id = content_key("swap", key) if key else secrets.token_hex(4)
    with db.write() as connection:
        if key and connection.execute(select(table.c.id).where(table.c.id == swap_id)).first():
            return swap_id
        _check_shifts(connection, oncall, swap, now)
        row = {"id": swap_id, "schedule": swap.schedule, "asker": asker.id, "taker": taker.id, "state": "asked"}
        row |= {"start": to_micros(swap.window.start), "end": to_micros(swap.window.end)}  # type: ignore[dict-item]
        if swap.returned:
            back = {"return_start": to_micros(swap.returned.start), "return_end": to_micros(swap.returned.end)}
            row |= back  # type: ignore[arg-type]
        connection.execute(insert(table).values(**row, asked_at=to_micros(now), asked_by=actor.name))
        record_audit(connection, now, actor, "swap.ask", swap.schedule, f"{swap_id}: {_words(swap)}")
        swap_messages.announce(connection, swap_id, "asked", now)
    return swap_id


def answer(db: Database, oncall: OnCallConfig, swap_id: str, given: Answer, now: datetime, actor: Actor) -> Swap:
    """Accept or decline a swap as its taker, or cancel it as its asker. Accepted, it is in force.

    Raises:
        NotFound: no such swap, or its schedule or people are no longer configured.
        StateError: it was answered already, it is over, a shift has changed hands, or the actor is somebody else.
    """
    with db.write() as connection:
        db.one_at_a_time(connection, OVERRIDING)
        swap = _load(connection, swap_id)
        allowed = {swap.asker} if given == "cancelled" else {swap.taker}
        _may(oncall, actor, allowed, f"answer {swap_id}, which is {' or '.join(sorted(allowed))}'s")
        if swap.state != "asked":
            raise StateError(f"swap {swap_id} was {swap.state} already by {swap.answered_by}")
        if given == "accepted":
            _check_shifts(connection, oncall, swap, now)
            for taker, window in ((swap.taker, swap.window), (swap.asker, swap.returned)):
                if window:
                    made = Override(
                        schedule=swap.schedule,
                        person=taker,
                        start=max(window.start, now),
                        end=window.end,
                        author=f"swap {swap_id}",
                    )
                    put_override(connection, oncall, made, now, actor)
        answered = {"state": given, "answered_at": to_micros(now), "answered_by": actor.name}
        connection.execute(update(table).where(table.c.id == swap_id).values(**answered))
        record_audit(connection, now, actor, f"swap.{given}", swap.schedule, f"{swap_id}: {_words(swap)}")
        swap_messages.announce(connection, swap_id, given, now)
        return _load(connection, swap_id)


def swaps(db: Database, state: State | None = None) -> tuple[Swap, ...]:
    """The newest swaps, newest first, of one state or of all."""
    query = select(table).order_by(table.c.asked_at.desc(), table.c.id).limit(LISTED)
    with db.read() as connection:
        rows = connection.execute(query if state is None else query.where(table.c.state == state)).all()
    return tuple(_swap(row) for row in rows)


def shown(swap: Swap) -> dict[str, Any]:
    """A swap as JSON."""
    window, returned = swap.window, swap.returned
    return {
        "id": swap.id,
        "schedule": swap.schedule,
        "asker": swap.asker,
        "taker": swap.taker,
        "start": window.start.isoformat(),
        "end": window.end.isoformat(),
        "return_start": returned.start.isoformat() if returned else None,
        "return_end": returned.end.isoformat() if returned else None,
        "state": swap.state,
        "asked_by": swap.asked_by,
        "answered_by": swap.answered_by,
    }


def _may(oncall: OnCallConfig, actor: Actor, allowed: set[str], what: str) -> None:
    """Whoever is known as somebody acts for themselves; who runs commands on the host may be nobody of the rota."""
    known = known_person(oncall, actor)
    if known is not None and known.id not in allowed:
        raise StateError(f"{known.name} may not {what}")


def _check_shifts(connection: Connection, oncall: OnCallConfig, swap: Swap, now: datetime) -> None:
    """Both shifts lie ahead, and belong to who gives them away."""
    overrides = overrides_in(connection)
    for owner, window in ((swap.asker, swap.window), (swap.taker, swap.returned)):
        if window is None:
            continue
        if window.seconds > LONGEST.total_seconds():
            raise StateError(f"a swap is for {LONGEST.days} days at most; ask for a shorter time")
        if window.end <= now:
            raise StateError(f"{window.end:%Y-%m-%d %H:%M} UTC has passed; ask for a shift that lies ahead")
        left = Window(start=max(window.start, now), end=window.end)
        for shift in final_schedule(oncall, swap.schedule, left, overrides):
            if shift.person is None or shift.person.id != owner:
                whose = shift.person.name if shift.person else "nobody"
                raise StateError(
                    f"from {shift.start:%Y-%m-%d %H:%M} UTC {whose} is on call in {swap.schedule!r}, not "
                    f"{person(oncall, owner).name}: choose a time that is theirs (`watchkeeper oncall schedule`)"
                )


def _load(connection: Connection, swap_id: str) -> Swap:
    row = connection.execute(select(table).where(table.c.id == swap_id)).first()
    if row is None:
        raise NotFound(f"no swap {swap_id!r}; `watchkeeper oncall swap list` lists them")
    return _swap(row)


def _swap(row: Any) -> Swap:
    returned = None
    if row.return_start is not None:
        returned = Window(start=from_micros(row.return_start), end=from_micros(row.return_end))
    return Swap(
        id=row.id,
        schedule=row.schedule,
        asker=row.asker,
        taker=row.taker,
        window=Window(start=from_micros(row.start), end=from_micros(row.end)),
        returned=returned,
        state=row.state,
        asked_by=row.asked_by,
        answered_by=row.answered_by or "",
    )


def _words(swap: Swap) -> str:
    text = f"{swap.taker} for {swap.asker} from {_span(swap.window)}"
    return f"{text}, in return for {_span(swap.returned)}" if swap.returned else text


def _span(window: Window) -> str:
    return f"{window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC"
