"""A state database of one's own, and incidents with labels in it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alerting.incidents.commands import Incidents
from watchkeeper.clock import FrozenClock
from watchkeeper.config import Config
from watchkeeper.state.database import Database
from watchkeeper.state.labels import record_label
from watchkeeper.vocabulary import Conditions, Finding, Label, LabelSource

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def reason_of(finding: Finding) -> str:
    """Why a finding was suppressed; it must have been."""
    assert finding.suppression is not None
    return finding.suppression.reason


class Scene:
    """Opens incidents by their findings and labels them, minute by minute."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.clock = FrozenClock(START)
        self.incidents = Incidents(db, self.clock, Config().oncall)

    def finding(
        self, service: str, score: float, detector: str = "red.latency", load: float = 1.0, extra_ms: float = 0.0
    ) -> Finding:
        """A slow service: at twice the usual 30 ms where it is barely noticed, worse the higher the score."""
        now = self.clock.now()
        return Finding(
            detector=detector,
            detector_version="0",
            kind="latency" if detector == "red.latency" else "errors",
            service=service,
            summary=f"{service} is unwell",
            onset=now - timedelta(seconds=10),
            seen_at=now,
            score=score,
            value=30.0 + (extra_ms or 2000.0 * max(0.02, score - 0.5)),
            expected=30.0,
            unit="ms",
            conditions=Conditions(load=load),
            key=f"{detector}:{service}",
        )

    def incident(self, finding: Finding, *, warranted: bool, sources: tuple[LabelSource, ...]) -> str:
        """An incident that opened, ended and was judged; a quarter of an hour later it is the next one's turn."""
        (incident_id,) = self.incidents.observe([finding], now=self.clock.now())
        self.clock.advance(60)
        self.incidents.observe([], now=self.clock.now())
        for source in sources:
            label = Label(
                id=f"{source}-{incident_id}",
                incident_id=incident_id,
                source=source,
                author=source,
                at=self.clock.now(),
                warranted=warranted,
            )
            record_label(self.db, label)
        self.clock.advance(900)
        return incident_id


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """An empty state database, and a clock that stands still."""
    db = Database.open(f"sqlite:///{tmp_path / 'state.db'}")
    yield Scene(db)
    db.close()
