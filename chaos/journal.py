"""What experiments and control windows made true, and what became of it: a label of an incident, or a miss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, func, select, update

from watchkeeper.state.codec import dump, parse
from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.state.insert import upsert
from watchkeeper.state.schema import experiments as table
from watchkeeper.vocabulary import Mechanism, require_text, require_utc

# `joined`: it showed in an incident that was open before. `unknown`: whoever injected it was killed before the proof.
Outcome = Literal["found", "missed", "joined", "no effect", "unknown", "false page", "quiet"]


def is_name_of(service: str, seen: str) -> bool:
    """Whether a name in telemetry means the service: what has none of its own is named by those who call it.

    >>> is_name_of("redis", "redis (10.0.0.7:6379)"), is_name_of("redis", "redis-cache")
    (True, False)
    """
    return seen == service or seen.startswith((f"{service} (", f"{service}:"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentTruth:
    """What was true of a target from `began` to `ended`; a control window has no fault and no service.

    `dependency` is what the fault cut the service off from: whoever names it as the cause is right, too.
    `services` are all of the target's, so that others' incidents are not taken for its own. `took_effect` None: not
    known yet, or never; `effect_at` is since when. Until the end is known, `ended` is when the fault ends by itself at
    the latest. `release` of Watchkeeper watched. `sealed`: which fault it is, nobody is shown before its end.
    `incidents` that pages announced in its time, oldest first: kept when it is settled.
    """

    id: str
    target: str
    fault: str = ""
    service: str = ""
    dependency: str = ""
    mechanism: Mechanism | None = None
    services: tuple[str, ...]
    began: datetime
    ended: datetime
    took_effect: bool | None = None
    effect_at: datetime | None = None
    detail: str = ""
    release: str = ""
    sealed: bool = False
    incidents: tuple[str, ...] = ()

    def is_caused_by(self, seen: str) -> bool:
        """Whether a name in telemetry is that of the cause."""
        return any(name and is_name_of(name, seen) for name in (self.service, self.dependency))

    def __post_init__(self) -> None:
        require_text("ExperimentTruth.id", self.id)
        require_utc("ExperimentTruth.began", self.began)
        require_utc("ExperimentTruth.ended", self.ended)
        if self.effect_at is not None:
            require_utc("ExperimentTruth.effect_at", self.effect_at)


def record_experiment(db: Database, truth: ExperimentTruth) -> None:
    """Keep what is known of an experiment. The same again changes nothing; what is new is settled anew.

    Which release watched, the target and its services, and which incidents came, stay as they were recorded first:
    whoever takes up an old row knows only what they are now.
    """
    with db.write() as connection:
        known = connection.scalar(select(table.c.body).where(table.c.id == truth.id))
        before = _readable(known) if known else None
        if before:
            first = {name: getattr(before, name) for name in ("release", "target", "services", "incidents")}
            truth = replace(truth, **first)
            if truth == before:
                return
        body = dump(truth)
        times = {"began": to_micros(truth.began), "ended": to_micros(truth.ended)}
        upsert(connection, table, {"id": truth.id, "target": truth.target, **times, "outcome": None, "body": body})


def outcomes(db: Database) -> dict[str, Outcome | None]:
    """What became of each experiment, oldest first; None where that is not settled yet."""
    with db.read() as connection:
        return {row.id: row.outcome for row in connection.execute(select(table).order_by(table.c.began, table.c.id))}


def ended_unsettled(db: Database, now: datetime) -> tuple[str, ...]:
    """Experiments that have ended and wait for their outcome, oldest first."""
    waits = select(table.c.id).where(table.c.outcome.is_(None), table.c.ended <= to_micros(now))
    with db.read() as connection:
        return tuple(connection.scalars(waits.order_by(table.c.began, table.c.id)))


def read_experiment(connection: Connection, experiment_id: str) -> ExperimentTruth:
    """One experiment, inside somebody else's transaction."""
    return parse(
        ExperimentTruth, connection.execute(select(table.c.body).where(table.c.id == experiment_id)).scalar_one()
    )


def next_began(connection: Connection, truth: ExperimentTruth) -> datetime | None:
    """When the next experiment against the same target began."""
    later = (table.c.target == truth.target) & (table.c.began > to_micros(truth.began))
    at = connection.scalar(select(func.min(table.c.began)).where(later))
    return None if at is None else from_micros(at)


def settle_as(connection: Connection, truth: ExperimentTruth, outcome: Outcome, incidents: Sequence[str]) -> None:
    """Keep what became of an experiment, and the incidents that came, inside somebody else's transaction."""
    body = dump(replace(truth, incidents=tuple(incidents)))
    connection.execute(update(table).where(table.c.id == truth.id).values(outcome=outcome, body=body))


def recorded(connection: Connection) -> tuple[tuple[ExperimentTruth, Outcome | None], ...]:
    """Every experiment and control window with what became of it (None: not settled yet), oldest first.

    What cannot be read is left out: settling reports it.
    """
    rows = connection.execute(select(table.c.body, table.c.outcome).order_by(table.c.began, table.c.id))
    known = ((_readable(body), outcome) for body, outcome in rows)
    return tuple((truth, outcome) for truth, outcome in known if truth)


def _readable(body: str) -> ExperimentTruth | None:
    try:
        return parse(ExperimentTruth, body)
    except ValueError:
        return None
