"""Start a service that does not run."""

from __future__ import annotations

from runbooks.targets.shop import Services, ServiceStatus


class Start:
    """Does nothing to a service that runs, so it is safe to repeat. Nothing to undo."""

    def plan(self, service: str, status: ServiceStatus | None) -> str:
        now = f" (now: {status.state})" if status else ""
        return f"start {service}{now}"

    def run(self, target: Services, service: str, key: str) -> str:
        return target.act(service, "start", key)

    def undo(self, target: Services, service: str, key: str) -> str | None:  # noqa: ARG002
        return None
