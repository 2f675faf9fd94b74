"""The step `start`."""

from __future__ import annotations

from watchkeeper.target import ServiceStatus, Target


class Start:
    """Start a service that does not run.

    Does nothing to a service that runs, so it is safe to repeat.
    """

    needs = frozenset({"start"})

    def plan(self, service: str, status: ServiceStatus | None) -> str:
        now = f" (now: {status.state})" if status else ""
        return f"start {service}{now}"

    def run(self, target: Target, service: str, key: str) -> str:
        return target.act(service, "start", key=key)
