"""Pictures of the evidence: read as the dashboard reads, drawn in another process, shown by each channel that can."""

from __future__ import annotations

from datetime import datetime
from functools import partial

import numpy as np

from alerting.channels.channel import ShowsPictures
from alerting.channels.registry import OpenChannels
from alerting.incidents.commands import Incidents
from alerting.incidents.machine import Incident
from alerting.pictures.drawing import drawn
from alerting.pictures.plot import STEP_S, Plot, strongest, usual_band, window_of
from alerting.pictures.showing import Showing
from dashboard.reads.cache import Cache
from dashboard.reads.signals import signal_of
from dashboard.reads.traffic import TrafficReads
from watchkeeper.clock import SystemClock
from watchkeeper.config import Config
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database
from watchkeeper.store.telemetry import Telemetry

CACHE_S = 2.0


class Picturing:
    """The `pictures` job of one watch role."""

    def __init__(
        self,
        config: Config,
        telemetry: Telemetry,
        db: Database,
        incidents: Incidents,
        channels: OpenChannels,
        problems: Problems,
    ) -> None:
        read = partial(plot_of, TrafficReads(telemetry, SystemClock(), Cache(CACHE_S)))
        draw = partial(drawn, cache=config.data_dir / "fonts")
        self._showing = [
            Showing(db, incidents, name, channel, read, draw, problems)
            for name, channel in channels.channels.items()
            if isinstance(channel, ShowsPictures)
        ]

    def run(self, now: datetime) -> None:
        """One round of each channel."""
        for showing in self._showing:
            showing.run(now)


def plot_of(traffic: TrafficReads, incident: Incident, now: datetime) -> Plot | None:
    """The signal of an incident's strongest evidence around the onset; None where the store holds nothing of it.

    Raises:
        StoreError: the store cannot be read.
    """
    found = strongest(incident)
    if found is None:
        return None
    suspect, evidence = found
    signal = signal_of(traffic, suspect.service, evidence, window_of(incident, now), STEP_S)
    if signal is None or not np.isfinite(signal.values).any():
        return None
    values = tuple(float(value) if np.isfinite(value) else None for value in signal.values)
    return Plot(
        title=signal.title,
        sentence=evidence.sentence,
        unit=signal.unit,
        start=signal.start,
        step_s=signal.step_s,
        values=values,
        onset=incident.onset,
        usual=usual_band(values, signal.start, signal.step_s, incident.onset),
    )
