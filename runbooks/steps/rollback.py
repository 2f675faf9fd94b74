"""The step `rollback`."""

from __future__ import annotations

from watchkeeper.target import ServiceStatus, Target


class Rollback:
    """Go back to the version before the current one.

    A human decides whether the later one comes back.
    """

    needs = frozenset({"rollback"})

    def plan(self, service: str, status: ServiceStatus | None) -> str:
        if status and status.previous_version:
            return f"roll {service} back from {status.version} to {status.previous_version}"
        return f"roll {service} back to the version before"

    def run(self, target: Target, service: str, key: str) -> str:
        return target.act(service, "rollback", key=key)
