"""Why a receiver takes a request not, or not now."""

from __future__ import annotations

from watchkeeper.errors import CollectorError


class MalformedError(CollectorError):
    """The request is not what it says it is. Sending it again can't help."""


class TooLargeError(MalformedError):
    """The request is over a limit. Send smaller batches."""


class UnsupportedError(MalformedError):
    """The request is in a form that is not read here. The message lists those that are."""


class TooFastError(CollectorError):
    """One sender is over its share. Send it again after `retry_after_s`."""

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message, retry=True)
        self.retry_after_s = retry_after_s


class SlowError(CollectorError):
    """The body did not come in time."""


class BusyError(CollectorError):
    """Too much is being received at this moment. Send it again soon."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retry=True)
