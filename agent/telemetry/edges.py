"""Looks at the host every few seconds, and raises the agent's alerts: a service gone, memory or a disk at its end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psutil

from agent.audit import newest
from agent.keepers import Keepers
from agent.processes import boot
from agent.telemetry.alerts import Alert, Alerts
from agent.telemetry.conditions import Filling, Held
from agent.telemetry.host_readings import Filesystem, filesystems, oom_kills
from agent.telemetry.section import AlertSection
from agent.telemetry.watched import WatchedServices
from watchkeeper.durations import duration

HOLDS_FOR_S: Final = 10.0  # memory and disks: three looks
CLEAR_S: Final = 60.0
OOM_OVER_S: Final = 600.0  # after the last process that was killed
EXCUSED_S: Final = 120.0  # after a verb, or the end of a fault: a service may take so long to come back
NOTE_EVERY_S: Final = 30.0
STOPS: Final = frozenset({"stop", "scale"})  # verbs after which a service stays down


class ServiceWatch:
    """Which services ran, and are gone without a verb or a fault of the agent's. It survives restarts of the agent."""

    def __init__(self, root: Path, section: AlertSection, keepers: Keepers, alerts: Alerts) -> None:
        self._root = root
        self._keepers = keepers
        self._gone_s = section.gone_seconds
        self._alerts = alerts
        self._path = root / "telemetry" / "ran.json"
        self._seen: dict[str, float] = _read_times(self._path)  # when a service was last seen, Unix seconds
        self._missing: dict[str, float] = {}  # since when a service is missing, by the looks of this agent
        self._noted_at = 0.0

    def look(self, name: str, running: int | None, now: float) -> Alert | float | None:
        """An alert to raise, the time at which one is over, or nothing."""
        key = f"gone {name}"
        if running is None:
            return None
        if running:
            self._seen[name] = now
            self._missing.pop(name, None)
            return now if self._alerts.firing(key) else None
        # Not only since it was seen last: after a start of the host, services may start after the agent.
        seen, missing = self._seen.get(name), self._missing.setdefault(name, now)
        if seen is None or self._alerts.firing(key) or now - missing < self._gone_s:
            return None
        excuse = self._excuse(name, seen, now)
        if excuse == "stopped":
            del self._seen[name]  # until it runs again
        if excuse:
            return None
        return Alert(
            key=key,
            name="ServiceGone",
            service=name,
            summary=f"{name} is gone: no process of it runs since {_clock(seen)}, and no verb of the agent stopped it",
            labels={},
            starts_at=seen,
        )

    def _excuse(self, name: str, seen: float, now: float) -> str:
        """`stopped`: by a verb, for good; `busy`: a verb or a fault may still be the reason; else empty."""
        if any(state.service == name for state in self._keepers.states()):
            return "busy"
        if any(state.service == name and now - state.ended_at < EXCUSED_S for state in self._keepers.ended()):
            return "busy"
        for row in newest(self._root, 1000):  # the newest first
            if row.get("at", 0) < seen - EXCUSED_S:
                break
            if row.get("what") == "verb.asked" and row.get("service") == name:
                if row.get("verb") in STOPS:
                    return "stopped"
                return "busy" if now - row["at"] < EXCUSED_S else ""
        return ""

    def note(self, now: float) -> None:
        """Keep when each service was last seen. Not synced: after a loss of power an older time is as good."""
        if 0 <= now - self._noted_at < NOTE_EVERY_S:
            return
        self._noted_at = now
        draft = self._path.with_suffix(".draft")
        with suppress(OSError):
            draft.write_text(json.dumps(self._seen), encoding="utf-8")
            draft.replace(self._path)


class HostWatch:
    """Memory and disks of the host. `kills` counts what the kernel killed for lack of memory since the boot."""

    def __init__(
        self,
        name: str,
        section: AlertSection,
        alerts: Alerts,
        root: Path,
        kills: Callable[[], int | None] = oom_kills,
    ) -> None:
        self._count_kills = kills
        self._name = name
        self._section = section
        self._alerts = alerts
        self._held: dict[str, Held] = {}
        self._filling: dict[str, Filling] = {}
        self._kills_path = root / "telemetry" / "oom_kills.json"
        self._killed_at = 0.0
        self._counted: int | None = None  # kills that were looked at
        self._noted: int | None = None  # and that a restart of the agent knows of

    def look(self, now: float, steady: float) -> Iterable[Alert | tuple[str, float]]:
        """Alerts to raise, and the keys of those that are over, with the time."""
        memory = psutil.virtual_memory()
        share = memory.available / memory.total
        text = f"{self._name} is out of memory: {memory.available >> 20} MiB of {memory.total >> 20} MiB are available"
        yield from self._judged("memory", "HostOutOfMemory", text, {}, share < self._section.memory_available, now)
        yield from self._kills(now)
        found = [each for each in filesystems() if each.writable]
        for each in found:
            yield from self._filesystem(each, now, steady)
        there = {f"{kind} {each.mountpoint}" for each in found for kind in ("full", "filling")}
        for alert in self._alerts.all_firing():
            if alert.key.startswith(("full ", "filling ")) and alert.key not in there:
                yield alert.key, now  # it was unmounted

    def _filesystem(self, each: Filesystem, now: float, steady: float) -> Iterable[Alert | tuple[str, float]]:
        mount, labels = each.mountpoint, {"mountpoint": each.mountpoint}
        is_full = each.used_share >= self._section.disk_used
        text = f"{mount} of {self._name} is {each.used_share:.1%} full: {each.free >> 20} MiB are free"
        yield from self._judged(f"full {mount}", "FilesystemFull", text, labels, is_full, now)
        left_s = self._filling.setdefault(mount, Filling()).full_in_s(each.free, steady)
        soon = left_s is not None and left_s < self._section.disk_full_within_minutes * 60 and not is_full
        text = (
            f"{mount} of {self._name} is full in {duration(left_s or 0)} if it goes on; {each.free >> 20} MiB are free"
        )
        yield from self._judged(f"filling {mount}", "FilesystemFilling", text, labels, soon, now)

    def _judged(
        self, key: str, name: str, text: str, labels: dict[str, str], holds: bool, now: float
    ) -> Iterable[Alert | tuple[str, float]]:
        if key not in self._held:
            firing = self._alerts.firing(key)
            self._held[key] = Held(HOLDS_FOR_S, CLEAR_S, since=firing.starts_at if firing else None)
        held = self._held[key]
        if not held.look(holds, now):
            return
        if held.since is None:
            yield key, now
        else:
            yield self._alert(key, name, text, labels, held.since)

    def _kills(self, now: float) -> Iterable[Alert | tuple[str, float]]:
        """Processes that the kernel killed for lack of memory, also while the agent was away: it may be one of them."""
        count = self._count_kills()
        if count is None:
            return
        before = self._counted if self._counted is not None else _read_times(self._kills_path).get(boot())
        self._counted = count
        firing = self._alerts.firing("oom")
        if before is not None and count > before:
            self._killed_at = now
            if not firing:
                killed = int(count - before)
                noun = "processes" if killed > 1 else "process"
                text = f"the kernel of {self._name} killed {killed} {noun} for lack of memory"
                yield self._alert("oom", "HostOomKill", text, {}, now)
        elif firing and now - max(self._killed_at, firing.starts_at) > OOM_OVER_S:
            yield "oom", now

    def note(self) -> None:
        """Keep how many kills were looked at, once their alert is kept: killed before, the agent counts them anew."""
        if self._counted is None or self._counted == self._noted:
            return
        with suppress(OSError):
            self._kills_path.write_text(json.dumps({boot(): self._counted}), encoding="utf-8")
            self._noted = self._counted

    def _alert(self, key: str, name: str, text: str, labels: dict[str, str], since: float) -> Alert:
        return Alert(key=key, name=name, service=self._name, summary=text, labels=labels, starts_at=since)


class Edges:
    """All looks of one agent. Called by one thread."""

    def __init__(
        self,
        services: ServiceWatch,
        host: HostWatch,
        watched: WatchedServices,
        alerts: Alerts,
    ) -> None:
        self._services = services
        self._host = host
        self._watched = watched
        self._alerts = alerts

    def look(self) -> bool:
        """Look once, raise and end alerts; whether there were any. Raises OSError where the disk does not keep them."""
        now = time.time()
        changes: list[Alert | tuple[str, float]] = []
        for name in self._watched.names:
            found = self._watched.instances(name)
            verdict = self._services.look(name, None if found is None else len(found), now)
            if isinstance(verdict, Alert):
                changes.append(verdict)
            elif verdict is not None:
                changes.append((f"gone {name}", verdict))
        with suppress(psutil.Error):
            changes.extend(self._host.look(now, time.monotonic()))
        for change in changes:
            if isinstance(change, Alert):
                self._alerts.begin(change)
            else:
                self._alerts.end(*change)
        self._services.note(now)
        self._host.note()
        return bool(changes)


def _clock(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S} UTC"


def _read_times(path: Path) -> dict[str, float]:
    """Names with numbers; nothing where the file is missing or no one can read it."""
    with suppress(OSError, ValueError, AttributeError):
        rows: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {name: value for name, value in rows.items() if isinstance(value, int | float)}
    return {}
