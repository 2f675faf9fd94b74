"""The step `stop`."""

from __future__ import annotations

from watchkeeper.target import ServiceStatus, Target


class Stop:
    """Stop a service, so that it serves nobody.

    Its undo starts it again.
    """

    needs = frozenset({"stop", "start"})

    def plan(self, service: str, status: ServiceStatus | None) -> str:
        now = f" (now: {status.state})" if status else ""
        return f"stop {service}{now}"

    def run(self, target: Target, service: str, key: str) -> str:
        return target.act(service, "stop", key=key)

    def undo(self, target: Target, service: str, key: str) -> str:
        return target.act(service, "start", key=key)
