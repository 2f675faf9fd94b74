"""The step `release-database`."""

from __future__ import annotations

from watchkeeper.target import ServiceStatus, Target


class ReleaseDatabase:
    """End the processes that hold a service's database locked.

    Only those that are not the target's own services. A human must look at what they were doing.
    """

    needs = frozenset({"release-database"})

    def plan(self, service: str, status: ServiceStatus | None) -> str:
        of = f" (now: {status.state})" if status else ""
        return f"end foreign processes that hold the database of {service} locked{of}"

    def run(self, target: Target, service: str, key: str) -> str:
        return target.act(service, "release-database", key=key)
