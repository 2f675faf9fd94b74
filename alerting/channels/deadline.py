"""A bound on each call of a channel, so that one that hangs costs its worker a quarter of a minute and no more.

A channel's own time-outs are for one read or one connection; a server that sends a byte now and then passes all of
them. Each call runs on a thread of the channel's own. When its time is over, the worker goes on, and the channel
refuses further calls until the one that hangs has ended: there is never more than one thread that hangs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final, TypeVar

from alerting.channels.channel import Channel, Digest, Message, Notice, ShowsNotices, Thread
from watchkeeper.durations import duration
from watchkeeper.errors import DeliveryError

# As long as a channel has for one call, and less than the lease of a message.
CALL_S: Final = 15.0
T = TypeVar("T")


class Deadline:
    """A channel whose calls end in time."""

    def __init__(self, channel: Channel, name: str, call_s: float = CALL_S) -> None:
        self._channel = channel
        self._name = name
        self._call_s = call_s
        self._running: tuple[threading.Thread, float] | None = None

    def send(self, message: Message) -> Thread:
        """As the channel's; DeliveryError when it takes too long."""
        return self._within(lambda: self._channel.send(message))

    def send_digest(self, digest: Digest) -> Thread:
        """As the channel's; DeliveryError when it takes too long."""
        return self._within(lambda: self._channel.send_digest(digest))

    def send_test(self, address: str, text: str) -> Thread:
        """As the channel's; DeliveryError when it takes too long."""
        return self._within(lambda: self._channel.send_test(address, text))

    def show_notice(self, notice: Notice, thread: Thread | None, *, maybe_there: bool = False) -> Thread:
        """As the channel's; DeliveryError when it takes too long, or where the channel shows none."""
        channel = self._channel
        if not isinstance(channel, ShowsNotices):
            raise DeliveryError(f"{self._name} shows no message about no incident", retry=False, unsent=True)
        return self._within(lambda: channel.show_notice(notice, thread, maybe_there=maybe_there))

    def unreachable(self, mention: str) -> str | None:
        """As the channel's; None when it takes too long: a page that was sent counts as sent."""
        try:
            return self._within(lambda: self._channel.unreachable(mention))
        except DeliveryError:
            return None

    def _within(self, call: Callable[[], T]) -> T:
        if self._running:
            thread, began = self._running
            if thread.is_alive():
                age = duration(time.monotonic() - began)
                raise DeliveryError(f"{self._name} has not answered a call for {age}", retry=True, unsent=True)
        results: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

        def work() -> None:
            try:
                results.put((call(), None))
            except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
                results.put((None, error))

        thread = threading.Thread(target=work, name=f"channel {self._name}", daemon=True)
        self._running = thread, time.monotonic()
        thread.start()
        try:
            result, error = results.get(timeout=self._call_s)
        except Empty:
            why = f"{self._name} did not answer within {duration(self._call_s)}"
            raise DeliveryError(why, retry=True) from None
        self._running = None
        if error is not None:
            raise error
        return result  # type: ignore[return-value]
