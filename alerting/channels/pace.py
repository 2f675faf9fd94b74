"""How fast messages go out: a few at once, then gathered, and not at all while the channel asks to wait."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

# So many pages go out one by one within `WINDOW`; what comes on top is gathered into one message. Slack takes one
# message a second in a channel, with short bursts above that (Slack's documentation of rate limits).
SINGLE: Final = 5
WINDOW: Final = timedelta(seconds=20)
# A gathered message goes out at most this often, so that it holds what came meanwhile; a page waits no longer for it.
GATHER: Final = timedelta(seconds=3)
# While pages go out in numbers, updates wait: they share the channel's rate limit.
STORM: Final = 2


class Pace:
    """What one worker sent lately. Not shared between threads; a restart begins anew, which costs a wait at most."""

    def __init__(self) -> None:
        self._singles: list[datetime] = []
        self._gathered: datetime | None = None
        self._pages_from: datetime | None = None
        self._updates_from: datetime | None = None
        self._now: datetime | None = None

    def begin(self, now: datetime) -> None:
        """A round begins. A clock that went back makes everything before it meaningless."""
        if self._now and now < self._now:
            self._singles.clear()
            self._gathered = self._pages_from = self._updates_from = None
        self._now = now
        self._singles = [at for at in self._singles if at > now - WINDOW]

    def wait(self, until: datetime, *, pages: bool) -> None:
        """The channel asks to wait: with everything, or (where it was an update that it refused) with updates."""
        self._updates_from = until
        if pages:
            self._pages_from = until

    def pages_wait(self, now: datetime) -> bool:
        return self._pages_from is not None and now < self._pages_from

    def updates_wait(self, now: datetime) -> bool:
        return self._updates_from is not None and now < self._updates_from

    def singles_left(self) -> int:
        """How many pages may still go out one by one."""
        return max(0, SINGLE - len(self._singles))

    def single(self, now: datetime) -> None:
        """A page went out by itself."""
        self._singles.append(now)

    def may_gather(self, now: datetime) -> bool:
        return self._gathered is None or now >= self._gathered + GATHER

    def gathered(self, now: datetime) -> None:
        """A gathered message went out: the window for single ones is full."""
        self._gathered = now
        self._singles = [now] * SINGLE

    def updates_a_round(self) -> int:
        """How many updates may go out in one round."""
        return 1 if len(self._singles) >= STORM else 5
