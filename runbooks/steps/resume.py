"""Let a stopped process go on."""

from __future__ import annotations

from runbooks.targets.shop import Services, ServiceStatus


class Resume:
    """Sends SIGCONT to a process that is stopped; does nothing to one that runs. Nothing to undo."""

    def plan(self, service: str, status: ServiceStatus | None) -> str:
        now = f" (now: {status.state})" if status else ""
        return f"let the process of {service} go on where it is stopped{now}"

    def run(self, target: Services, service: str, key: str) -> str:
        return target.act(service, "resume", key)

    def undo(self, target: Services, service: str, key: str) -> str | None:  # noqa: ARG002
        return None
