"""Lead callers straight to the instance again, past whatever stands in between."""

from __future__ import annotations

from runbooks.targets.shop import Services, ServiceStatus


class Reroute:
    """The path that is left carries no traffic afterwards. Nothing to undo."""

    def plan(self, service: str, status: ServiceStatus | None) -> str:
        at = f" ({status.instance})" if status else ""
        return f"lead the callers of {service} straight to its instance{at}"

    def run(self, target: Services, service: str, key: str) -> str:
        return target.act(service, "reroute", key)

    def undo(self, target: Services, service: str, key: str) -> str | None:  # noqa: ARG002
        return None
