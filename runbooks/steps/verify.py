"""The step `verify`."""

from __future__ import annotations

import time

from watchkeeper.errors import RunbookError
from watchkeeper.target import ServiceStatus, Target

WITHIN_S = 10.0  # a fresh instance answers within a second or two
STEADY_S = 1.0  # so long it must run without a break: a process that crashes at once is no repair
LOOK_EVERY_S = 0.2


class Verify:
    """Check that a service runs, and keeps running for a moment.

    Reads only. The detectors decide whether the incident is over.
    """

    needs: frozenset[str] = frozenset()

    def plan(self, service: str, status: ServiceStatus | None) -> str:  # noqa: ARG002
        return f"check that {service} runs"

    def run(self, target: Target, service: str, key: str) -> str:  # noqa: ARG002
        deadline = time.monotonic() + WITHIN_S
        since: float | None = None
        while time.monotonic() < deadline:
            if target.status(service).state != "running":
                since = None
            elif since is None:
                since = time.monotonic()
            elif time.monotonic() - since >= STEADY_S:
                return f"{service} runs"
            time.sleep(LOOK_EVERY_S)
        raise RunbookError(f"{service} does not run: {target.status(service).state}")
