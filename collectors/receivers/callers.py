"""Who may call the receivers, how much at once, and how fast."""

from __future__ import annotations

import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from collectors.receivers.rejections import BusyError, TooFastError
from watchkeeper.asgi.hosts import name_of
from watchkeeper.config import Config, is_loopback

# How containers on a desktop call the machine they run on; nobody can register a name under .internal.
CONTAINER_HOSTS: Final = ("host.docker.internal", "gateway.docker.internal", "host.containers.internal")
# A sender may burst: what it saves in so many seconds of silence.
BURST_S: Final = 4.0
MOST_SENDERS: Final = 10_000  # whose rates are remembered, some 2 MB; beyond it the longest silent is forgotten


class Callers:
    """Says whether a request may come from where it comes, by its Host and Origin.

    A page in a browser on this machine could else write telemetry and alerts: it sends an Origin, or, if its own
    name was made to point here (DNS rebinding), its own name as Host.
    """

    def __init__(self, config: Config) -> None:
        ingest = config.ingest
        self._origins = frozenset(origin.lower().rstrip("/") for origin in ingest.allowed_origins)
        self._hosts = frozenset(host.lower() for host in (*ingest.allowed_hosts, *CONTAINER_HOSTS, ingest.host))
        self._any_host = not is_loopback(ingest.host) and not ingest.allowed_hosts

    def refusal(self, headers: Sequence[tuple[bytes, bytes]]) -> tuple[int, str] | None:
        """The status and the reason of a refusal; None if the request may come in."""
        for raw_name, raw_value in headers:
            name, value = raw_name.lower(), raw_value.decode("latin-1")
            if name == b"host" and not self._host_is_ours(value):
                shown = value[:80]
                return 421, f"Host {shown!r} is not a name of this receiver; add it to ingest.allowed_hosts"
            if name == b"origin" and not self.allows_origin(value):
                return 403, f"pages of {value[:80]!r} may not write here; add it to ingest.allowed_origins"
        return None

    def allows_origin(self, origin: str) -> bool:
        """Whether pages of an origin may write."""
        return origin.lower().rstrip("/") in self._origins

    def _host_is_ours(self, value: str) -> bool:
        host = name_of(value.strip())
        if not host:
            return False
        return self._any_host or host in self._hosts or is_loopback(host) or host.endswith(".localhost")


def sender_of(config: Config, peer: str, authorization: str) -> str:
    """Who sends: the name of its token, else its address."""
    token = authorization.partition(" ")[2]
    if token:
        digest = hashlib.sha256(token.encode()).hexdigest()
        for known in config.tokens:
            if known.sha256 == digest:
                return known.name
    return peer


def described(sender: str, peer: str, user_agent: str) -> str:
    """A sender as a human finds it again: token or address, address, program."""
    return " ".join(filter(None, (sender, peer if peer != sender else "", user_agent[:80])))


class Rates:
    """Bytes per second and sender, by a token bucket each."""

    def __init__(self, bytes_per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`bytes_per_s` is what one sender may send in the long run; 0 for any."""
        self._rate = bytes_per_s
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, sender: str, size: int) -> None:
        """Count `size` bytes of a sender.

        A request that is larger than the burst is let in when the bucket is full, and paid for afterwards.

        Raises:
            TooFastError: it is over its rate; the message says so, and when to come back.
        """
        if not self._rate:
            return
        most = self._rate * BURST_S
        left = self._filled(sender)
        needed = max(1, min(size, most))
        if left < needed:
            raise TooFastError(
                f"{sender} sends more than {self._rate / (1 << 20):.3g} MiB/s (ingest.max_sender_mib_s); "
                "other senders are not affected",
                retry_after_s=max(1, math.ceil((needed - left) / self._rate)),
            )
        self.charge(sender, size)

    def charge(self, sender: str, size: int) -> None:
        """Count what turned out to be more than was declared, though it may be more than is left."""
        if self._rate:
            self._left[sender] = (self._filled(sender) - size, self._clock())

    def _filled(self, sender: str) -> float:
        now, most = self._clock(), self._rate * BURST_S
        left, since = self._left.pop(sender, (most, now))
        left = min(most, left + (now - since) * self._rate)
        self._left[sender] = (left, now)
        if len(self._left) > MOST_SENDERS:
            self._left.popitem(last=False)
        return left


class Held:
    """The bytes of bodies that are in memory at once, of all requests."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.bytes = 0

    @contextmanager
    def account(self) -> Iterator[Callable[[int], None]]:
        """One request's account: call it with more bytes; all of them are released at the end.

        The call raises BusyError where there are too many already.
        """
        own_bytes = 0

        def hold(size: int) -> None:
            nonlocal own_bytes
            if self.bytes + size > self._most:
                raise BusyError(f"bodies of {self._most >> 20} MiB are in progress, which is the limit; try again")
            self.bytes += size
            own_bytes += size

        try:
            yield hold
        finally:
            self.bytes -= own_bytes
