"""Weaknesses that experiments showed, kept until somebody decides about them, and tested again by later experiments.

    open ──► accepted, repaired ──► open      a human decides; a repaired one that is shown again is open again

Each experiment is read once, in one transaction with what it shows: a kill in between reads it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal, get_args

from sqlalchemy import Connection, select, update

from chaos.calls import AFTER, Observed, observe
from chaos.journal import recorded
from chaos.resilience import KINDS, Kind, Weakness, judged_callers, resilience
from watchkeeper.errors import ChaosError, NotFound
from watchkeeper.state.audit import record_audit
from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.state.insert import insert_new
from watchkeeper.state.schema import resilience_findings as findings
from watchkeeper.state.schema import resilience_tests as tests
from watchkeeper.store.telemetry import Telemetry
from watchkeeper.text import one_line
from watchkeeper.vocabulary import Actor, content_key

State = Literal["open", "accepted", "repaired"]
STATES: Final[tuple[State, ...]] = get_args(State)
# After its end, until its telemetry is loaded.
LOADED: Final = AFTER + timedelta(seconds=60)
AT_ONCE: Final = 20  # experiments that one round reads
OF_BROKEN: Final[tuple[Kind, ...]] = ("single point of failure", "cascade")  # whose service is the broken one


@dataclass(frozen=True, slots=True, kw_only=True)
class ResilienceFinding:
    """A weakness of a service towards a dependency.

    Attributes:
        fault, experiment: under which it was shown last, and by which experiment.
        decided_by: who accepted it or says that it is repaired, with a `note`.
        retested_at: when an experiment with the same fault no longer showed it, since it was shown last.
    """

    id: str
    kind: Kind
    service: str
    dependency: str
    fault: str
    experiment: str
    shown: str
    proposal: str
    first_seen: datetime
    last_seen: datetime
    state: State = "open"
    decided_by: str = ""
    note: str = ""
    retested_at: datetime | None = None
    retested_by: str = ""

    @property
    def status(self) -> str:
        """`open`, `repaired by Ana; not shown any more by 1a2b3c4d on 2026-12-01`."""
        by = f" by {self.decided_by}" if self.decided_by else ""
        note = f" ({self.note})" if self.note else ""
        again = ""
        if self.retested_at:
            again = f"; no longer shown by {self.retested_by[:8]} on {self.retested_at:%Y-%m-%d}"
        return f"{self.state}{by}{note}{again}"


def catch_up(db: Database, telemetry: Telemetry, now: datetime) -> int:
    """Read the experiments that ended and were not read yet, oldest first. Returns how many.

    Raises:
        StateError, StoreError: what cannot be read; nothing of that experiment is kept.
    """
    with db.read() as connection:
        read = set(connection.scalars(select(tests.c.experiment)))
        waiting = [
            truth
            for truth, _ in recorded(connection)
            if truth.took_effect and truth.fault and truth.id not in read and truth.ended + LOADED <= now
        ]
    for truth in waiting[:AT_ONCE]:
        keep(db, observe(telemetry, truth), now)
    return len(waiting[:AT_ONCE])


def keep(db: Database, one: Observed, now: datetime) -> None:
    """Keep what one experiment shows, and what it no longer shows. The same experiment again changes nothing."""
    shown = {_id(weakness): weakness for weakness in resilience([one]).weaknesses}
    with db.write() as connection:
        if not insert_new(connection, tests, {"experiment": one.truth.id, "at": to_micros(now)}):
            return
        for key, weakness in shown.items():
            _seen(connection, key, weakness, one)
        judged = judged_callers(one)
        for row in connection.execute(select(findings).where(findings.c.dependency == one.truth.service)).all():
            could = bool(one.entries) if row.kind in OF_BROKEN else row.service in judged
            later = to_micros(one.truth.ended) > row.last_seen
            if row.id not in shown and row.fault == one.truth.fault and could and later:
                values = {"retested_at": to_micros(one.truth.ended), "retested_by": one.truth.id}
                connection.execute(update(findings).where(findings.c.id == row.id).values(**values))


def _seen(connection: Connection, key: str, weakness: Weakness, one: Observed) -> None:
    ended = to_micros(one.truth.ended)
    values: dict[str, Any] = {
        "fault": one.truth.fault, "experiment": one.truth.id, "shown": weakness.shown, "proposal": weakness.proposal,
        "last_seen": ended, "retested_at": None, "retested_by": "",
    }  # fmt: skip
    row = {
        "id": key, "kind": weakness.kind, "service": weakness.service, "dependency": weakness.dependency,
        "first_seen": ended, "state": "open", "decided_by": "", "note": "",
    }  # fmt: skip
    if insert_new(connection, findings, row | values):
        return
    known = connection.execute(select(findings).where(findings.c.id == key)).one()
    if ended <= known.last_seen:  # an older experiment, read late
        earlier = {"first_seen": min(known.first_seen, ended)}
        connection.execute(update(findings).where(findings.c.id == key).values(**earlier))
        return
    if known.state == "repaired":
        values |= {
            "state": "open",
            "decided_by": "",
            "note": one_line(f"shown again after {known.decided_by} repaired it"),
        }
    connection.execute(update(findings).where(findings.c.id == key).values(**values))


def stored_findings(db: Database) -> tuple[ResilienceFinding, ...]:
    """All of them: open ones first, then by kind, the worst kind first."""
    with db.read() as connection:
        rows = connection.execute(select(findings)).all()
    return _ranked(_finding(row) for row in rows)


def decide(db: Database, finding_id: str, state: State, actor: Actor, note: str, now: datetime) -> ResilienceFinding:
    """Accept a finding, say that it is repaired, or open it again; audited.

    Raises:
        NotFound: no finding's id begins so. ChaosError: several do.
    """
    with db.write() as connection:
        rows = connection.execute(select(findings).where(findings.c.id.startswith(finding_id, autoescape=True))).all()
        if not rows or not finding_id:
            raise NotFound(f"there is no finding {finding_id!r}; `watchkeeper chaos report --resilience` lists them")
        if len(rows) > 1:
            raise ChaosError(f"{len(rows)} findings begin with {finding_id!r}; write more of the id")
        own = findings.c.id == rows[0].id
        by, why = "" if state == "open" else actor.name, one_line(note, 300) if note.strip() else ""
        connection.execute(update(findings).where(own).values(state=state, decided_by=by, note=why))
        record_audit(connection, now, actor, "resilience.decide", rows[0].id, f"{state}: {why}" if why else state)
        return _finding(connection.execute(select(findings).where(own)).one())


def _ranked(known: Iterable[ResilienceFinding]) -> tuple[ResilienceFinding, ...]:
    def rank(one: ResilienceFinding) -> tuple[int, int, str, str]:
        return STATES.index(one.state), KINDS.index(one.kind), one.service, one.dependency

    return tuple(sorted(known, key=rank))


def _id(weakness: Weakness) -> str:
    return content_key("resilience", weakness.kind, weakness.service, weakness.dependency)


def _finding(row: Any) -> ResilienceFinding:
    values: Mapping[str, Any] = row._mapping  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping
    times = {name: from_micros(values[name]) for name in ("first_seen", "last_seen")}
    retested = values["retested_at"]
    return ResilienceFinding(**{**values, **times, "retested_at": None if retested is None else from_micros(retested)})
