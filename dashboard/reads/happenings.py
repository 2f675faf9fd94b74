"""What is marked on every plot over time: deploys and other changes, and the onsets of incidents."""

from __future__ import annotations

from typing import Final

from dashboard.figures.frame import Moment
from dashboard.reads.sources import Sources
from watchkeeper.vocabulary import Window

MOST: Final = 12  # of each kind, the newest: more words than that cover the lines


def happenings(sources: Sources, window: Window, service: str | None = None) -> list[Moment]:
    """Changes and onsets within a window, about one service or about all; at most `MOST` of each.

    Raises:
        StateError: the state database cannot be read.
    """
    changes = [change for change in sources.records.changes(window) if service in (None, "", change.service)]
    incidents = [
        one
        for one in sources.records.newest()
        if window.start <= one.onset < window.end and (not service or service in one.services)
    ]
    marks = [
        Moment(
            at=change.at,
            text=" ".join(word for word in ("" if service else change.service, change.kind, change.version) if word),
            kind="change",
        )
        for change in changes[:MOST]
    ]
    marks += [
        Moment(at=one.onset, text="onset" if service else f"{one.service} onset", kind="onset")
        for one in incidents[:MOST]
    ]
    return sorted(marks, key=lambda moment: moment.at)
