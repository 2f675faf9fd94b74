"""Check that a service runs, and keeps running for a moment."""

from __future__ import annotations

import time

from runbooks.targets.shop import Services, ServiceStatus
from watchkeeper.errors import RunbookError

WITHIN_S = 10.0
STEADY_S = 1.0


class Verify:
    """Reads only. The detectors decide whether the incident is over."""

    def plan(self, service: str, status: ServiceStatus | None) -> str:  # noqa: ARG002
        return f"check that {service} runs"

    def run(self, target: Services, service: str, key: str) -> str:  # noqa: ARG002
        deadline = time.monotonic() + WITHIN_S
        since: float | None = None
        while time.monotonic() < deadline:
            if target.status(service).state != "running":
                since = None
            elif since is None:
                since = time.monotonic()
            elif time.monotonic() - since >= STEADY_S:
                return f"{service} runs"
            time.sleep(0.2)
        raise RunbookError(f"{service} does not run: {target.status(service).state}")

    def undo(self, target: Services, service: str, key: str) -> str | None:  # noqa: ARG002
        return "nothing to undo"
