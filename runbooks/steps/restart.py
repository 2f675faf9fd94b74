"""The step `restart`."""

from __future__ import annotations

from watchkeeper.target import ServiceStatus, Target


class Restart:
    """Replace a service's instance by a fresh one of the same version.

    The new one takes over first; then the old one is stopped, or killed if it hangs.
    """

    needs = frozenset({"restart"})

    def plan(self, service: str, status: ServiceStatus | None) -> str:
        now = f" (now: {status.instance}, {status.state})" if status else ""
        return f"start a fresh instance of {service}, lead traffic to it, stop the old one{now}"

    def run(self, target: Target, service: str, key: str) -> str:
        return target.act(service, "restart", key=key)
