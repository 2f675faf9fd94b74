"""The step `reroute`."""

from __future__ import annotations

from watchkeeper.target import ServiceStatus, Target


class Reroute:
    """Lead callers straight to the instance again, past whatever stands in between.

    The path that is left carries no traffic afterwards.
    """

    needs = frozenset({"reroute"})

    def plan(self, service: str, status: ServiceStatus | None) -> str:
        at = f" ({status.instance})" if status else ""
        return f"lead the callers of {service} straight to its instance{at}"

    def run(self, target: Target, service: str, key: str) -> str:
        return target.act(service, "reroute", key=key)
