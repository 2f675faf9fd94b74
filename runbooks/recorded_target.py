"""A target in memory, for tests of steps: it does each key once and keeps what it was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from watchkeeper.errors import TargetError
from watchkeeper.target import NoTarget, ServiceStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One verb that a target was asked for."""

    service: str
    verb: str
    key: str


class RecordedTarget(NoTarget):
    """Every service runs and takes `verbs`. One that `refuses` answers every question with an error."""

    def __init__(self, verbs: Iterable[str], *, refuses: bool = False) -> None:
        super().__init__("this target in memory knows only states and verbs")
        self._verbs = frozenset(verbs)
        self._refuses = refuses
        self._answers: dict[str, str] = {}
        self.asked: list[Act] = []
        self.done: list[Act] = []

    def status(self, service: str, *, timeout_s: float = 30.0) -> ServiceStatus:  # noqa: ARG002 - answers at once
        if self._refuses:
            raise TargetError("refused")
        return ServiceStatus(
            service=service,
            state="running",
            version="1.1",
            previous_version="1.0",
            instance=f"{service}-1",
            capabilities=self._verbs,
        )

    def act(self, service: str, verb: str, *, key: str, arguments: Mapping[str, object] | None = None) -> str:  # noqa: ARG002
        act = Act(service=service, verb=verb, key=key)
        self.asked.append(act)
        if self._refuses or verb not in self._verbs:
            raise TargetError(f"{verb} is refused")
        if key not in self._answers:
            self.done.append(act)
            self._answers[key] = f"{verb} of {service}"
        return self._answers[key]
