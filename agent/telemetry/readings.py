"""All that the agent measures by itself, as one OTLP request: the host, its services, and the state of telemetry."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

from agent.telemetry.host_readings import HostReadings, host_id
from agent.telemetry.points import Point, Reading, encoded
from agent.telemetry.watched import WatchedServices

_GAUGES = {"queued_bytes": ("queued.size", "By"), "oldest_age_s": ("queued.age", "s")}
_COUNTERS = ("taken", "sent", "not_taken", "set_aside")


class Readings:
    """Reads everything at once. Called by one thread.

    Args:
        name: of the agent, which is the host's `service.name`.
        state: how telemetry is getting on, as `GET /target` shows it.
    """

    def __init__(self, name: str, watched: WatchedServices, state: Callable[[], dict[str, Any]]) -> None:
        self._name = name
        self._watched = watched
        self._state = state
        self._host = HostReadings()
        self._started_ns = time.time_ns()
        self._resource = {"host.name": socket.gethostname()} | ({"host.id": found} if (found := host_id()) else {})

    @property
    def labels(self) -> dict[str, str]:
        """What an alert says of its host."""
        named = {"host": self._name, "host_name": self._resource["host.name"]}
        return named | ({"host_id": self._resource["host.id"]} if "host.id" in self._resource else {})

    def request(self) -> bytes:
        """An ExportMetricsServiceRequest of now."""
        return encoded(list(self._read()))

    def _read(self) -> Iterator[Reading]:
        own = {**self._resource, "service.name": self._name, "service.instance.id": self._name}
        points = self._host.read()
        yield Reading(resource=own, points=points, since_ns=self._host.booted_ns, at_ns=time.time_ns())
        for service, instance, used in self._watched.read():
            named = {"service.name": service, "service.instance.id": f"{self._name}/{instance.name}"}
            since_ns = int(instance.started * 1e9) or self._started_ns
            yield Reading(resource={**self._resource, **named}, points=used, since_ns=since_ns, at_ns=time.time_ns())
        yield Reading(resource=own, points=self._own(), since_ns=self._started_ns, at_ns=time.time_ns())

    def _own(self) -> list[Point]:
        state, prefix = self._state(), "watchkeeper.agent.telemetry"
        gauges = [Point(name=f"{prefix}.{name}", unit=unit, value=state[key]) for key, (name, unit) in _GAUGES.items()]
        counters = [Point(name=f"{prefix}.{key}", unit="{body}", value=state[key], kind="counter") for key in _COUNTERS]
        return [*gauges, *counters]
