"""Everything that the key `telemetry` of the agent's file sets going, while the agent runs."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from aiohttp import web

from agent.allowed import Allowed
from agent.audit import audit
from agent.keepers import Keepers
from agent.services import Services
from agent.telemetry.alerts import Alerts, AlertSender
from agent.telemetry.body import Body
from agent.telemetry.body_log import BodyLog, Bounds, NotTaken
from agent.telemetry.edges import Edges, HostWatch, ServiceWatch
from agent.telemetry.forwarder import Forwarder
from agent.telemetry.platform import Platform
from agent.telemetry.readings import Readings
from agent.telemetry.receiver import Receiver
from agent.telemetry.section import TelemetrySection
from agent.telemetry.watched import WatchedServices
from watchkeeper.errors import AgentError, ConfigError
from watchkeeper.text import one_line

T = TypeVar("T")
FOLDER: Final = "telemetry"
AFTER_FAILURE_S: Final = 10.0  # what runs for ever is begun again
LOOK_EVERY_S: Final = 5.0  # at services, memory and disks, for alerts
SAME_REPORT_EVERY_S: Final = 60.0  # a platform that refuses each body must not fill the audit log


class Telemetry:
    """The receiver, the log and the forwarder of one agent, its readings and its alerts."""

    def __init__(self, allowed: Allowed, section: TelemetrySection, root: Path, keepers: Keepers) -> None:
        self._section = section
        self._root = root
        self._reported: dict[str, float] = {}
        try:
            self._platform = Platform(section)
        except ValueError as error:
            raise ConfigError(f"{allowed.path}: telemetry: {error}") from error
        self.log = BodyLog(root / FOLDER, Bounds.of(section.log), self._report)
        self.receiver = Receiver(self.log)
        self.forwarder = Forwarder(self.log, self._platform, self._report)
        watched = WatchedServices(
            Services(allowed), tuple(allowed.file.services), missing_s=min(10.0, section.alerts.gone_seconds / 3)
        )
        self._readings = Readings(allowed.file.name, watched, self.describe)
        self.alerts = Alerts(root / FOLDER / "alerts.json", self._readings.labels)
        self.sender = AlertSender(self.alerts, self._platform, self._report)
        services = ServiceWatch(root, section.alerts, keepers, self.alerts)
        host = HostWatch(allowed.file.name, section.alerts, self.alerts, root)
        self._edges = Edges(services, host, watched, self.alerts)
        # Finders may wait for other programs, and faults and verbs have threads of their own.
        self._looker = ThreadPoolExecutor(1, thread_name_prefix="telemetry")
        # Bodies are passed on as they came, packed or not.
        self._runner = web.AppRunner(
            self.receiver.application(),
            access_log=None,
            handle_signals=False,
            shutdown_timeout=2.0,
            auto_decompress=False,
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> str:
        """Begin to receive and to send; where it receives. Raises AgentError."""
        receive = self._section.receive
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, receive.host, receive.port).start()
        except OSError as error:
            raise AgentError(
                f"port {receive.port} of {receive.host} cannot be used for OTLP: {error.strerror or error}; "
                "set telemetry.receive in the agent's file"
            ) from error
        look_s = min(LOOK_EVERY_S, self._section.alerts.gone_seconds / 3)
        self._tasks = [
            asyncio.create_task(self._again(AFTER_FAILURE_S, self.forwarder.run)),
            asyncio.create_task(self._again(AFTER_FAILURE_S, self.sender.run)),
            asyncio.create_task(self._again(self._section.interval_seconds, self._read)),
            asyncio.create_task(self._again(look_s, self._look)),
        ]
        return f"{receive.host}:{self._runner.addresses[0][1]}"

    async def _again(self, every_s: float, do: Callable[[], Awaitable[None]]) -> None:
        """Do it every so many seconds; what goes wrong once must not end it."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            try:
                await do()
            except Exception as error:  # noqa: BLE001 - one look; the next may do
                self._report(f"telemetry.failed {type(error).__name__}: {one_line(error, 200)}")
            due = max(due + every_s, loop.time())
            await asyncio.sleep(due - loop.time())

    async def _read(self) -> None:
        data = await self._in_thread(self._readings.request)
        with suppress(NotTaken):  # it is counted
            await self.log.append(Body(signal="metrics", data=data, at=time.time(), is_json=True), is_own=True)

    async def _look(self) -> None:
        if await self._in_thread(self._edges.look):
            self.sender.wake()

    async def _in_thread(self, do: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._looker, do)

    def describe(self) -> dict[str, Any]:
        """How it is, for `GET /target`."""
        oldest_at = self.log.oldest_at
        return {
            "to": self._section.to,
            "trouble": self.forwarder.trouble,
            "queued_bytes": self.log.queued_bytes,
            "oldest_age_s": round(max(0.0, time.time() - oldest_at), 1) if oldest_at else 0.0,
            "taken": self.receiver.taken,
            "sent": self.forwarder.sent,
            "not_taken": self.log.refused_full,
            "set_aside": self.forwarder.set_aside,
            "alerts": [alert.summary for alert in self.alerts.all_firing()],
            "alerts_trouble": self.sender.trouble,
        }

    async def close(self) -> None:
        """Take nothing more, and stop sending; what was acked stays in the log."""
        await self._runner.cleanup()
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        await asyncio.to_thread(self._looker.shutdown)
        await self.forwarder.close()
        await self.log.close()
        await self._platform.close()

    def _report(self, what: str) -> None:
        """Into the audit log, and to whoever reads the agent's output."""
        now = time.monotonic()
        if now - self._reported.get(what, -SAME_REPORT_EVERY_S) < SAME_REPORT_EVERY_S:
            return
        if len(self._reported) > 100:
            self._reported.clear()
        self._reported[what] = now
        audit(self._root, "telemetry", note=what)
        print(f"watchkeeper agent: {what}", file=sys.stderr, flush=True)  # noqa: T201 - the agent's only output
