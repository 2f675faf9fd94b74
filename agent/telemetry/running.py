"""Everything that the key `telemetry` of the agent's file sets going, while the agent runs."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from agent.allowed import Allowed
from agent.audit import audit
from agent.telemetry.body_log import BodyLog, Bounds
from agent.telemetry.forwarder import Forwarder
from agent.telemetry.platform import Platform
from agent.telemetry.receiver import Receiver
from agent.telemetry.section import LogSection, TelemetrySection
from watchkeeper.errors import AgentError, ConfigError

FOLDER: Final = "telemetry"
SAME_REPORT_EVERY_S: Final = 60.0  # a platform that refuses each body must not fill the audit log


class Telemetry:
    """The receiver, the log and the forwarder of one agent."""

    def __init__(self, allowed: Allowed, section: TelemetrySection, root: Path) -> None:
        self._section = section
        self._root = root
        self._reported: dict[str, float] = {}
        try:
            self._platform = Platform(section)
        except ValueError as error:
            raise ConfigError(f"{allowed.path}: telemetry: {error}") from error
        self.log = BodyLog(root / FOLDER, bounds_of(section.log), self._report)
        self.receiver = Receiver(self.log)
        self.forwarder = Forwarder(self.log, self._platform, self._report)
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
        self._tasks.append(asyncio.create_task(self.forwarder.run()))
        return f"{receive.host}:{self._runner.addresses[0][1]}"

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
        }

    async def close(self) -> None:
        """Take nothing more, and stop sending; what was acked stays in the log."""
        await self._runner.cleanup()
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
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


def bounds_of(section: LogSection) -> Bounds:
    """The log's bounds as its file has them."""
    return Bounds(bytes=section.mib << 20, age_s=section.hours * 3600, keep_free_bytes=section.keep_free_mib << 20)
