"""Slack's bad days, on demand: rate limits, outages, and answers that get lost on the way back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

KINDS: Final = ("ratelimited", "unavailable", "refused", "lost_answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """The next `times` calls of `method` fail.

    `ratelimited`, `unavailable` and `refused` (with `error`) do nothing and answer with an error; after
    `lost_answer` the call is done, but the caller sees an error, as when it is killed before it can record the answer.
    """

    method: str
    kind: Literal["ratelimited", "unavailable", "refused", "lost_answer"] = "ratelimited"
    times: int = 1
    retry_after_s: float = 1.0
    error: str = "missing_scope"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind is {self.kind!r}; it is one of {', '.join(KINDS)}")


class Troubles:
    """Those that were asked for and did not come yet."""

    def __init__(self) -> None:
        self._waiting: dict[str, Trouble] = {}

    def add(self, trouble: Trouble) -> None:
        self._waiting[trouble.method] = trouble

    def of(self, method: str) -> Trouble | None:
        """The trouble that this call meets; it counts as met."""
        trouble = self._waiting.pop(method, None)
        if trouble and trouble.times > 1:
            self._waiting[method] = replace(trouble, times=trouble.times - 1)
        return trouble

    def clear(self) -> None:
        """Nothing more goes wrong."""
        self._waiting.clear()
