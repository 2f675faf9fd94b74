"""Shows pictures of the evidence in a channel: one for each signal that a diagnosis rests on, few for an incident.

A picture helps and no more. It follows the message of its incident, on a worker of its own: nothing here can delay a
page, a step of the escalation or an edit. What fails is tried again a few times, then left. A round goes:

1. Incidents that have a message and a diagnosis with evidence get a row in the outbox, unless they had it.
2. The oldest row that is due is drawn, then claimed, then shown. So a slow drawing never outlasts the claim.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, Protocol

import structlog

from alerting.channels import outbox
from alerting.channels.channel import Picture, ShowsPictures
from alerting.channels.delivery import SENT
from alerting.channels.outbox import Pending
from alerting.incidents.machine import Incident
from alerting.pictures.plot import Plot, shown_by, strongest
from watchkeeper.durations import duration
from watchkeeper.errors import DeliveryError, NotFound
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database
from watchkeeper.text import one_line, seen_name

LOOP: Final = "pictures"
LOOKED_AT: Final = 50  # open incidents, newest first
MOST: Final = 3  # pictures of one incident
TRIES: Final = 5
# Where no second try helps, a human has to change something in Slack first.
REFUSED_S: Final = 3600.0


class OpenIncidents(Protocol):
    """The incidents that are looked at."""

    def get(self, incident_id: str) -> Incident: ...
    def list(self, state: str | None, limit: int) -> Sequence[Incident]: ...


class Showing:
    """The pictures of one channel.

    `read` gives the plot of an incident, None where the store holds nothing of it; `draw` gives a plot's PNG.
    """

    def __init__(
        self,
        db: Database,
        incidents: OpenIncidents,
        name: str,
        channel: ShowsPictures,
        read: Callable[[Incident, datetime], Plot | None],
        draw: Callable[[Plot], bytes],
        problems: Problems,
    ) -> None:
        self._db = db
        self._incidents = incidents
        self._name = name
        self._channel = channel
        self._read = read
        self._draw = draw
        self._problems = problems
        self._decided: set[tuple[str, str]] = set()
        self._refused_until = 0.0

    def run(self, now: datetime) -> int:
        """One round; how many pictures were shown, which is one at most."""
        if time.monotonic() < self._refused_until:
            return 0
        self._decide(now)
        _, due = outbox.due(self._db, outbox.pictures_of(self._name), now, self._problems)
        for row in due:
            if row.attempts >= TRIES:
                self._leave(row, now, f"it failed {row.attempts} times")
            else:
                return self._show(row, now)
        return 0

    def _decide(self, now: datetime) -> None:
        """Put every picture that is new into the outbox, once its incident has a message."""
        wanted = {
            (incident.id, shown_by(*found))
            for incident in self._incidents.list("open", LOOKED_AT)
            if not incident.is_canary and (found := strongest(incident))
        }
        self._decided &= wanted
        new = wanted - self._decided
        if not new:
            return
        with self._db.read() as connection:
            has_message = [what for what in new if outbox.thread_of(connection, what[0], self._name)]
        for what in has_message:
            outbox.put_picture(self._db, self._name, *what, MOST, now)
            self._decided.add(what)

    def _show(self, row: Pending, now: datetime) -> int:
        with self._db.read() as connection:
            thread = outbox.thread_of(connection, row.incident_id, self._name)
            shown = outbox.incidents_at(connection, self._name, thread) if thread else ()
        if thread is None or len(shown) != 1:
            self._leave(row, now, "a gathered message shows no pictures" if shown else "the incident has no message")
            return 0
        try:
            picture, why_not = self._picture(row, now)
            if picture is None:
                self._leave(row, now, why_not)
                return 0
            if not outbox.claim(self._db, [row], now):
                return 0
            self._channel.show_picture(picture, thread, maybe_there=row.attempts > 0)
        except Exception as error:  # noqa: BLE001 - one incident that cannot be drawn must not keep the others
            self._failed(row, error, now)
            return 0
        outbox.record_sent(self._db, [row], thread, self._name, now)
        self._problems.solved(LOOP, self._name)
        SENT.labels(self._name, "picture", "sent").inc()
        structlog.get_logger().info("picture.shown", channel=self._name, incident=row.incident_id)
        return 1

    def _picture(self, row: Pending, now: datetime) -> tuple[Picture | None, str]:
        """The picture of a row, or None with the reason why there is none."""
        try:
            incident = self._incidents.get(row.incident_id)
        except NotFound:
            return None, "the incident is gone"
        found = strongest(incident)
        if found is None or shown_by(*found) != row.draft.text:
            return None, "the diagnosis rests on something else by now"
        plot = self._read(incident, now)
        if plot is None:
            return None, "the store holds nothing of the signal"
        suspect, evidence = found
        words = f"{seen_name(suspect.service)}: {evidence.sentence}"
        name = f"{incident.id}-{row.draft.text}.png"
        return Picture(name=name, title=plot.title, words=words, png=self._draw(plot)), ""

    def _leave(self, row: Pending, now: datetime, why: str) -> None:
        outbox.drop(self._db, [row.id], now, why)
        structlog.get_logger().info("picture.left", channel=self._name, incident=row.incident_id, reason=why)

    def _failed(self, row: Pending, error: Exception, now: datetime) -> None:
        SENT.labels(self._name, "picture", "failed").inc()
        wait_s = error.retry_after_s if isinstance(error, DeliveryError) else None
        reason = str(error) or type(error).__name__
        outbox.put_off(self._db, row.id, row.attempts, now, reason, after_s=wait_s)
        why = f"no picture of the evidence: {one_line(reason, 300)}; messages go out all the same"
        if isinstance(error, DeliveryError) and not error.retry:
            self._refused_until = time.monotonic() + REFUSED_S
            why += f"; the next try is in {duration(REFUSED_S)}"
        self._problems.report(LOOP, self._name, why)
