"""What is marked on every plot over time: deploys and other changes, and the onsets of incidents."""

from __future__ import annotations

from typing import Final

from dashboard.figures.marks import Moment
from dashboard.reads.sources import Sources
from watchkeeper.vocabulary import Window

READ: Final = 200  # incidents, the newest, for a time longer than a day; `newest` reads fewer
DAY_S: Final = 86_400
MOST: Final = 200  # of each kind, the newest: near ones are drawn as one


def happenings(sources: Sources, window: Window, service: str | None = None) -> list[Moment]:
    """Changes and onsets within a window, about one service or about all; at most `MOST` of each.

    Raises:
        StateError: the state database cannot be read.
    """
    changes = [change for change in sources.records.changes(window) if service in (None, "", change.service)]
    incidents = [
        one
        for one in (sources.records.newest(READ) if window.seconds > DAY_S else sources.records.newest())
        if window.start <= one.onset < window.end and (not service or service in one.services)
    ]
    marks = [
        Moment(
            at=change.at,
            text=" ".join(word for word in ("" if service else change.service, change.kind, change.version) if word),
            kind="change",
            plural="changes",
        )
        for change in changes[:MOST]
    ]
    marks += [
        Moment(at=one.onset, text="onset" if service else f"{one.service} onset", kind="onset", plural="onsets")
        for one in incidents[:MOST]
    ]
    return sorted(marks, key=lambda moment: moment.at)
