"""The step `drain`."""

from __future__ import annotations

from watchkeeper.target import ServiceStatus, Target


class Drain:
    """Give a service no new requests; those that it has it finishes.

    Its undo gives it requests again.
    """

    needs = frozenset({"drain", "undrain"})

    def plan(self, service: str, status: ServiceStatus | None) -> str:
        now = f" (now: {status.state})" if status else ""
        return f"give {service} no new requests{now}"

    def run(self, target: Target, service: str, key: str) -> str:
        return target.act(service, "drain", key=key)

    def undo(self, target: Target, service: str, key: str) -> str:
        return target.act(service, "undrain", key=key)
