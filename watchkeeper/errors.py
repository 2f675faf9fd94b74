"""Every error that Watchkeeper raises on purpose.

WatchkeeperError
├── ConfigError          the file or the environment is wrong: says file, line, key and what to do
│   └── KeysError        keys of the rota are wrong; `mistakes` holds each, and what is wrong with it
├── StoreError           the telemetry store rejected a query or could not be reached
├── QueryError           a search is not written as its language wants; says at which character
├── IngestLogError       the ingest log cannot be written or read
├── StateError           incidents, labels, timers: the state database
│   ├── DatabaseError    the database itself failed
│   ├── NotFound         no such incident, label, model, ...
│   ├── Conflict         the version moved: somebody else was first; read again
│   └── BrokenTrail      an entry of the audit trail was changed, removed or put in between
├── CollectorError       a source of telemetry could not be read
├── DetectorError        a detector was given what it cannot judge
├── DiagnosisError       a case or a window cannot be diagnosed
├── DeliveryError        a channel could not deliver; `retry` says whether trying again can help
│   └── AddressRefused   the address is not reached; other addresses may be
├── TargetError          a target refused, or does not answer; `retry` says whether asking again can help
│   ├── OutOfReachError  there is no target, or it has no such service
│   └── UnsureError      it may have been done, and asking again with the same key tells nothing
├── AgentError           the agent on a host refuses, or could not do or undo something
├── RunbookError         a runbook or a step is refused, or failed
└── ChaosError           an experiment is refused, or failed

A message says what failed, on what, and what to do. `retry` is set where the raiser knows that
trying again can help.
"""

from __future__ import annotations

from collections.abc import Sequence


class WatchkeeperError(Exception):
    """A failure that a user can act on."""

    exit_code = 1

    def __init__(self, message: str, *, retry: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.retry = retry


class ConfigError(WatchkeeperError):
    """The configuration is wrong; the message names file, line and key."""

    exit_code = 2


class KeysError(ConfigError):
    """Keys of a section are wrong. `mistakes` are each key, from the root of the file, and what is wrong with it."""

    def __init__(self, message: str, mistakes: Sequence[tuple[tuple[int | str, ...], str]]) -> None:
        super().__init__(message)
        self.mistakes = tuple(mistakes)


class StoreError(WatchkeeperError):
    """The telemetry store rejected a query, or could not be reached."""


class QueryError(WatchkeeperError):
    """A search is not written as its language wants. `at` is the place of the character at fault, from 0."""

    exit_code = 2

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.at = at


class IngestLogError(WatchkeeperError):
    """The ingest log cannot be written or read."""


class StateError(WatchkeeperError):
    """The state database refused a command."""


class DatabaseError(StateError):
    """The state database itself failed: it is gone, full, or not what was expected."""


class NotFound(StateError):
    """No such incident, label, model or schedule."""

    exit_code = 3


class Conflict(StateError):
    """The version moved: somebody else was first. Read again, then decide."""

    exit_code = 4


class BrokenTrail(StateError):
    """An entry of the audit trail was changed, removed or put in between; the message names the first."""


class CollectorError(WatchkeeperError):
    """A source of telemetry could not be read."""


class DetectorError(WatchkeeperError):
    """A detector was given input that it cannot judge."""


class DiagnosisError(WatchkeeperError):
    """A case or a window cannot be diagnosed."""


class DeliveryError(WatchkeeperError):
    """A channel could not deliver; `retry` says whether trying again can help.

    `unsent`: the channel certainly has nothing of it, so that another try cannot show it twice.
    """

    def __init__(self, message: str, *, retry: bool, retry_after_s: float | None = None, unsent: bool = False) -> None:
        super().__init__(message, retry=retry)
        self.retry_after_s = retry_after_s
        self.unsent = unsent


class AddressRefused(DeliveryError):
    """The address is not reached, for now (`retry`) or at all; other addresses may be."""

    def __init__(self, message: str, *, retry: bool) -> None:
        super().__init__(message, retry=retry, unsent=True)


class TargetError(WatchkeeperError):
    """A target refused, or does not answer."""


class OutOfReachError(TargetError):
    """There is no target, or it has no such service."""


class UnsureError(TargetError):
    """A target may have done what it was asked, and will not find out: a human must look."""


class AgentError(WatchkeeperError):
    """The agent on a host refuses, or could not do or undo something."""


class RunbookError(WatchkeeperError):
    """A runbook or a step is refused, or failed."""


class ChaosError(WatchkeeperError):
    """An experiment is refused, or failed."""
