"""Experiments become labels: each incident that one caused, or a miss where none came.

Whoever runs an experiment records what is true before anything breaks. Settling is a pass over what has ended, each in
one transaction, and may be repeated by anybody: the watch role does it, so that a killed injector loses nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, select
from sqlalchemy.exc import SQLAlchemyError

from chaos.fault import Truth
from chaos.journal import (
    ExperimentTruth,
    Outcome,
    ended_unsettled,
    next_began,
    outcomes,
    read_experiment,
    record_experiment,
    settle_as,
)
from chaos.record import Records
from watchkeeper import __version__
from watchkeeper.errors import WatchkeeperError
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database, to_micros
from watchkeeper.state.labels import store_label
from watchkeeper.state.schema import findings, incidents, labels
from watchkeeper.target import Target, own_name
from watchkeeper.text import one_line
from watchkeeper.vocabulary import Label, content_key, utc

AUTHOR: Final = "chaos"
# An incident that opens so long after the end of a fault is still its own: telemetry is late by seconds, and detectors
# wait for a few ticks. After that it was missed.
OPENS_WITHIN: Final = timedelta(minutes=2)


def truth_of(row: Truth, target: str, services: Collection[str]) -> ExperimentTruth:
    """An experiment's truth as the state database keeps it."""
    return ExperimentTruth(
        id=row.id,
        target=target,
        fault=row.fault,
        service=own_name(row.target),
        dependency=row.dependency,
        mechanism=row.mechanism,
        services=tuple(sorted(services)),
        began=utc(row.injected_at),
        ended=utc(row.ended_at),
        took_effect=True if row.took_effect else None if row.cut_short else False,
        effect_at=utc(row.effect_at) if row.took_effect else None,
        detail=row.detail,
        release=__version__,
        sealed=row.sealed,
    )


def control_window(target: str, services: Collection[str], began: float, ended: float, detail: str) -> ExperimentTruth:
    """A span (Unix seconds) in which nothing was wrong with a target: a page about it is a false one."""
    return ExperimentTruth(
        id=f"control-{content_key(target, repr(began))}",
        target=target,
        services=tuple(sorted(services)),
        began=utc(began),
        ended=utc(ended),
        took_effect=False,
        detail=detail,
        release=__version__,
    )


def settle(db: Database, now: datetime, problems: Problems) -> None:
    """Label the incidents of the experiments that have ended, and close those whose time is over."""
    for attempt in problems.each("experiments", ended_unsettled(db, now), str):
        with attempt as experiment_id, db.write() as connection:
            _settle(connection, read_experiment(connection, experiment_id), now)


def incidents_so_far(connection: Connection, truth: ExperimentTruth) -> tuple[str, ...]:
    """The incidents that a running experiment, or one that is not settled yet, has caused, oldest first."""
    return tuple(_opened(connection, truth, _last_opening(connection, truth)))


def _last_opening(connection: Connection, truth: ExperimentTruth) -> datetime:
    """An incident that opens later is not the experiment's."""
    following = next_began(connection, truth)
    # After a control window something else may begin at once: what opens later is no evidence about it.
    last = truth.ended + (OPENS_WITHIN if truth.fault else timedelta(0))
    return min(last, following) if following else last


def _settle(connection: Connection, truth: ExperimentTruth, now: datetime) -> None:
    until = _last_opening(connection, truth)
    caused = _opened(connection, truth, until)
    if truth.took_effect or not truth.fault:
        for incident_id in caused:
            _label(connection, truth, incident_id, now)
    if now >= until:
        joined = _joined(connection, truth, until)
        outcome = outcome_of(truth, caused=bool(caused), joined=bool(joined))
        # What else was going on says nothing about a window in which nothing was broken.
        settle_as(connection, truth, outcome, joined if outcome == "joined" else caused)


def outcome_of(truth: ExperimentTruth, *, caused: bool, joined: bool) -> Outcome:
    """What became of an experiment whose time is over. Pure."""
    if not truth.fault:
        return "false page" if caused else "quiet"
    if not truth.took_effect:
        return "unknown" if truth.took_effect is None else "no effect"
    if caused:
        return "found"
    return "joined" if joined else "missed"


def _opened(connection: Connection, truth: ExperimentTruth, until: datetime) -> list[str]:
    """Incidents about the target that page, opened or raised to a page in time. A ticket pages nobody."""
    span = (incidents.c.updated_at >= to_micros(truth.began)) & (incidents.c.opened_at < to_micros(until))
    query = select(incidents.c.id, incidents.c.body).where(span, incidents.c.severity == "page")
    services = set(truth.services)
    trees = [(name, json.loads(body)) for name, body in connection.execute(query.order_by(incidents.c.opened_at))]
    return [
        name
        for name, tree in trees
        if truth.began <= datetime.fromisoformat(tree.get("raised_at") or tree["opened_at"]) < until
        and services & {finding["service"] for finding in tree["findings"]}
    ]


def _joined(connection: Connection, truth: ExperimentTruth, until: datetime) -> list[str]:
    """Incidents in which the target's findings began in time, whenever they were opened."""
    span = (findings.c.onset >= to_micros(truth.began)) & (findings.c.onset < to_micros(until))
    query = select(findings.c.incident_id).where(
        span, findings.c.service.in_(truth.services), findings.c.incident_id.is_not(None)
    )
    return list(dict.fromkeys(connection.scalars(query.order_by(findings.c.onset, findings.c.incident_id))))


def _label(connection: Connection, truth: ExperimentTruth, incident_id: str, now: datetime) -> None:
    """Chaos' own label of an incident, once: beside the humans', and never mixed with them."""
    label_id = f"chaos-{incident_id}"
    if connection.scalar(select(labels.c.id).where(labels.c.id == label_id)):
        return
    store_label(
        connection,
        Label(
            id=label_id,
            incident_id=incident_id,
            source="chaos",
            author=AUTHOR,
            at=now,
            warranted=bool(truth.fault),
            cause=truth.service or None,
            mechanism=truth.mechanism,
            note=f"{truth.fault}: {truth.detail}" if truth.fault else truth.detail,
        ),
    )


class Recorder:
    """Keeps what one target's experiments and control windows make true in the state database.

    Called with each truth as it becomes known. `notify` gets what could not be recorded.
    """

    def __init__(self, db: Database, target: Target, notify: Callable[[str], None]) -> None:
        self._db = db
        self._target = target.name
        self._notify = notify
        self._services = tuple({own_name(service): None for service in target.services()})
        self._began: set[str] = set()

    def __call__(self, row: Truth) -> None:
        """Keep an experiment's truth. Raises only before anything is broken: later, reverting comes first."""
        truth = truth_of(row, self._target, self._services)
        if row.id not in self._began:
            record_experiment(self._db, truth)
            self._began.add(row.id)
            return
        try:
            record_experiment(self._db, truth)
        except (WatchkeeperError, SQLAlchemyError) as error:
            self._notify(f"not recorded yet, the next experiment does it: {one_line(error)}")

    def catch_up(self, records: Records) -> None:
        """Record what an earlier injector wrote on the disk and could not record any more."""
        known = outcomes(self._db)
        for row in records.truths():
            if row.id in known:
                record_experiment(self._db, truth_of(row, self._target, self._services))

    def control(self, began: float, ended: float, detail: str) -> None:
        """Keep a span (Unix seconds) in which nothing was wrong with the target."""
        record_experiment(self._db, control_window(self._target, self._services, began, ended, detail))
