"""The agent's own alerts, and what the platform knows of them: on the disk before anything is sent.

They go to the platform's webhook for alerts from outside, past the queue of telemetry and past the platform's store. An
alert has one start time and one fingerprint, so what is sent again, also by the agent after a restart, is no second
page. An alert that is over before the platform came back is sent as one that fired and is resolved.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp

from agent.records import write_synced
from agent.telemetry.platform import Platform, describe_failure
from watchkeeper.durations import backoff_s, spread_s

PATH: Final = "/api/v1/alerts/alertmanager"
# The platform ends an alert that nobody repeats (ingest.alerts_expire_hours); as often as Alertmanager by default.
REPEAT_S: Final = 4 * 3600.0
FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 60.0
IDLE_S: Final = 5.0
MOST_OVER: Final = 200  # alerts that are over and wait for the platform; the oldest go first


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert. Times are Unix seconds; 0: not yet.

    Attributes:
        key: what it is about; one alert fires for one key at a time.
        told_at: when the platform last acked that it fires.
    """

    key: str
    name: str
    service: str
    summary: str
    labels: Mapping[str, str]
    starts_at: float
    ended_at: float = 0.0
    told_at: float = 0.0

    def is_due(self, now: float) -> bool:
        return bool(self.ended_at) or not self.told_at or not 0 <= now - self.told_at < REPEAT_S


class Alerts:
    """The alerts of one agent, kept in a file. Threads may share it.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, path: Path, labels: Mapping[str, str]) -> None:
        self._path = path
        self._labels = dict(labels)
        self._lock = threading.Lock()
        self._alerts: tuple[Alert, ...] = _read(path)

    def firing(self, key: str) -> Alert | None:
        """The alert that fires for a key."""
        return next((each for each in self._alerts if each.key == key and not each.ended_at), None)

    def all_firing(self) -> tuple[Alert, ...]:
        return tuple(each for each in self._alerts if not each.ended_at)

    def begin(self, alert: Alert) -> None:
        """It fires; when this returns, the disk has it. Nothing happens where it fires already."""
        with self._lock:
            if not self.firing(alert.key):
                self._keep((*self._alerts, alert))

    def end(self, key: str, at: float) -> None:
        """It is over; when this returns, the disk has it."""
        with self._lock:
            firing = self.firing(key)
            self._keep(tuple(replace(each, ended_at=at) if each is firing else each for each in self._alerts))

    def due(self, now: float) -> tuple[Alert, ...]:
        """What the platform must hear."""
        return tuple(each for each in self._alerts if each.is_due(now))

    def told(self, alerts: tuple[Alert, ...], at: float) -> None:
        """The platform has acked these, as they were."""
        over = {(each.key, each.starts_at) for each in alerts if each.ended_at}
        fire = {(each.key, each.starts_at) for each in alerts}
        with self._lock:
            self._keep(
                tuple(
                    replace(each, told_at=at) if (each.key, each.starts_at) in fire else each
                    for each in self._alerts
                    if (each.key, each.starts_at) not in over
                )
            )

    def _keep(self, alerts: tuple[Alert, ...]) -> None:
        over = [each for each in alerts if each.ended_at][:-MOST_OVER]
        kept = tuple(each for each in alerts if each not in over)
        if kept != self._alerts:
            write_synced(self._path, [asdict(each) for each in kept])
            self._alerts = kept

    def webhook(self, alerts: tuple[Alert, ...]) -> bytes:
        """Alertmanager's body: what fires, then what is resolved. What the platform never heard of is both."""
        fire = [self._shown(each, "firing") for each in alerts if not (each.ended_at and each.told_at)]
        over = [self._shown(each, "resolved") for each in alerts if each.ended_at]
        body = {
            "version": "4",
            "receiver": "watchkeeper-agent",
            "groupKey": f"agent {self._labels.get('host', '')}",
            "status": "firing" if len(over) < len(alerts) else "resolved",
            "alerts": [*fire, *over],
        }
        return json.dumps(body).encode()

    def _shown(self, alert: Alert, status: str) -> dict[str, Any]:
        labels = {
            **self._labels,
            **alert.labels,
            "alertname": alert.name,
            "service": alert.service,
            "severity": "critical",
        }
        fingerprint = hashlib.sha256(json.dumps([self._labels, alert.key]).encode()).hexdigest()[:16]
        return {
            "status": status,
            "labels": labels,
            "annotations": {"summary": alert.summary},
            "startsAt": _instant(alert.starts_at),
            "endsAt": _instant(alert.ended_at) if status == "resolved" else "0001-01-01T00:00:00Z",
            "fingerprint": fingerprint,
        }


class AlertSender:
    """Tells the platform, and tries until it has heard.

    Args:
        report: called when that fails, with the reason.
    """

    def __init__(self, alerts: Alerts, platform: Platform, report: Callable[[str], None]) -> None:
        self.trouble = ""
        self._alerts = alerts
        self._platform = platform
        self._report = report
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """Something was raised or ended."""
        self._changed.set()

    async def run(self) -> None:
        """Send until cancelled."""
        failures = 0
        while True:
            due = self._alerts.due(time.time())
            if not due:
                failures = 0
                await self._wait(IDLE_S)
                continue
            failures = 0 if await self._send(due) else failures + 1
            if failures:
                await asyncio.sleep(spread_s(backoff_s(failures, FIRST_WAIT_S, LONGEST_WAIT_S)))

    async def _wait(self, timeout_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        self._changed.clear()

    async def _send(self, due: tuple[Alert, ...]) -> bool:
        """Whether the platform has them."""
        try:
            answer = await self._platform.post(PATH, self._alerts.webhook(due), {"Content-Type": "application/json"})
        except (OSError, aiohttp.ClientError, TimeoutError) as error:
            return self._failed(describe_failure(error))
        if not answer.took:
            return self._failed(answer.reason)
        try:
            await asyncio.to_thread(self._alerts.told, due, time.time())
        except OSError as error:
            return self._failed(f"the agent's disk: {error.strerror or error}")
        self.trouble = ""
        return True

    def _failed(self, why: str) -> bool:
        self.trouble = f"{self._platform.url}{PATH}: {why}"
        self._report(f"telemetry.alert_waits {self.trouble}")
        return False


def _instant(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _read(path: Path) -> tuple[Alert, ...]:
    """What was kept; nothing where the file is missing or no one can read it."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return tuple(Alert(**row) for row in rows)
    except (OSError, ValueError, TypeError):
        return ()
