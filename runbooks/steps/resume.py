"""The step `resume`."""

from __future__ import annotations

from watchkeeper.target import ServiceStatus, Target


class Resume:
    """Let a stopped process go on (SIGCONT).

    Does nothing to a process that runs.
    """

    needs = frozenset({"resume"})

    def plan(self, service: str, status: ServiceStatus | None) -> str:
        now = f" (now: {status.state})" if status else ""
        return f"let the process of {service} go on where it is stopped{now}"

    def run(self, target: Target, service: str, key: str) -> str:
        return target.act(service, "resume", key=key)
