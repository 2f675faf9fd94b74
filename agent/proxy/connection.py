"""One connection through the proxy: two ends, and what is on its way from one to the other."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import socket
import ssl
import struct
from collections import deque
from typing import TYPE_CHECKING, Final, cast

from agent.proxy.http_requests import ANSWER, CLOSE, FORWARD, RequestFilter

if TYPE_CHECKING:
    from agent.proxy.listener import Listener
    from agent.proxy.rules import Rule

# As much may be on its way in one direction before its sender has to wait.
MOST_PENDING: Final = 262144
CONNECT_WITHIN_S: Final = 10.0
_ANSWER_HEAD: Final = re.compile(rb"HTTP/1\.[01] [2-5]\d\d[^\r\n]*\r\n")
LOST_OPENING_S: Final = 1.0  # the first packet of a connection is sent again after a second


class End(asyncio.Protocol):
    """One end: its bytes go to the other end, at once or as late as the rule says."""

    def __init__(self, connection: Connection, *, is_client: bool) -> None:
        self._connection, self._is_client = connection, is_client
        self.transport: asyncio.Transport | None = None
        self._pending: deque[tuple[float, bytes]] = deque()  # what came from the other end; no bytes: its end
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._last_due = 0.0
        self._is_slow = False  # its peer takes bytes more slowly than they come
        self._has_ended = False  # its peer sends no more

    @property
    def other(self) -> End:
        return self._connection.service if self._is_client else self._connection.client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        if self._is_client:
            self.transport.pause_reading()
            self._connection.begin()

    def data_received(self, data: bytes) -> None:
        self._connection.arrived(self, data, from_client=self._is_client)

    def eof_received(self) -> bool:
        self._has_ended = True
        self.other.send(b"", 0.0)
        # The other direction goes on; TLS has no half-closed connections.
        return self.transport is not None and self.transport.can_write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.lost(self, exc)

    def pause_writing(self) -> None:
        self._is_slow = True
        self.other.read_on(False)

    def resume_writing(self) -> None:
        self._is_slow = False
        self.other.read_on(self._size < MOST_PENDING)

    def read_on(self, may: bool) -> None:
        """Read from the peer, or let it wait."""
        if self.transport is None or self.transport.is_closing():
            return
        if may:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    def send(self, data: bytes, due: float) -> None:
        """Write at this time (the event loop's clock), and never before what was sent earlier."""
        now = self._connection.loop.time()
        due = max(due, self._last_due)
        if due <= now and not self._pending:
            self._write(data)
            return
        self._last_due = due
        self._pending.append((due, data))
        self._size += len(data)
        if self._size >= MOST_PENDING:
            self.other.read_on(False)
        self._wait()

    def flush(self) -> None:
        """Write everything that waits: the rule is over."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        self._last_due = 0.0
        self._deliver(math.inf)

    def abort(self) -> None:
        """Break the connection, so that the peer sees a reset."""
        if self._timer:
            self._timer.cancel()
        self._pending.clear()
        if self.transport is None:
            return
        raw = self.transport.get_extra_info("socket")
        if raw is not None:
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def finish(self) -> None:
        """Close after everything that waits is written."""
        if self._pending:
            self.send(b"", 0.0)
        elif self.transport:
            self.transport.close()

    def _wait(self) -> None:
        if self._timer is None and self._pending and self._pending[0][0] < math.inf:
            self._timer = self._connection.loop.call_at(self._pending[0][0], self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._deliver(self._connection.loop.time())
        self._wait()

    def _deliver(self, until: float) -> None:
        was = self._size
        while self._pending and self._pending[0][0] <= until:
            data = self._pending.popleft()[1]
            self._size -= len(data)
            self._write(data)
        if was >= MOST_PENDING > self._size and not self._is_slow:
            self.other.read_on(True)

    def _write(self, data: bytes) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        if data:
            self.transport.write(data)
        elif self.other.is_lost or self._has_ended or not self.transport.can_write_eof():
            self.transport.close()
        else:
            with contextlib.suppress(OSError):  # it broke in this moment
                self.transport.write_eof()

    @property
    def is_lost(self) -> bool:
        return self.transport is not None and self.transport.is_closing()


class Connection:
    """A caller's connection, and the one to the service that is made for it."""

    def __init__(self, listener: Listener) -> None:
        self.listener, self.loop = listener, asyncio.get_running_loop()
        self.client, self.service = End(self, is_client=True), End(self, is_client=False)
        self.quiet_since = self.loop.time()
        self.answered = True  # the last bytes came from the service, or nothing came yet: a request may begin
        self._filter: RequestFilter | None = None
        self._opening: asyncio.Task[None] | None = None
        self._is_broken = False

    def begin(self) -> None:
        """A caller connected: what the rule says of that, then connect to the service."""
        self.listener.connections.add(self)
        rule = self.listener.rule
        if rule and rule.kind == "reject":
            rule.touched += 1
            self.abort()
        elif rule and rule.kind == "drop":
            rule.touched += 1  # opened when the rule ends
        else:
            self.open()

    def open(self) -> None:
        """Connect to the service, once."""
        if self._opening is None and not self._is_broken:
            self._opening = self.loop.create_task(self._open())

    async def _open(self) -> None:
        rule, route = self.listener.rule, self.listener.route
        speaks_tls = rule is not None and rule.kind == "certificate"
        try:
            if rule and rule.kind == "loss" and rule.chosen():
                rule.touched += 1
                await self.listener.pause(LOST_OPENING_S)
            if rule and speaks_tls:
                rule.touched += 1
                await self._speak_tls(rule)
            async with asyncio.timeout(CONNECT_WITHIN_S):
                await self.loop.create_connection(
                    lambda: self.service, route.to_host, route.to, ssl=_trusting() if speaks_tls else None
                )
        except OSError:  # TimeoutError and ssl.SSLError are such
            self.abort()
            return
        if self.client.is_lost:
            self.service.abort()
        else:
            self.client.read_on(True)

    async def _speak_tls(self, rule: Rule) -> None:
        """Answer the caller's handshake with the rule's certificate. Raises OSError if the caller does not want it."""
        if self.client.transport is None or rule.context is None:
            return
        transport = await self.loop.start_tls(self.client.transport, self.client, rule.context, server_side=True)
        if transport is None:
            raise ConnectionResetError
        self.client.transport = transport
        self.client.read_on(False)

    def arrived(self, end: End, data: bytes, *, from_client: bool) -> None:
        """Bytes came from one end."""
        self.quiet_since = self.loop.time()
        may_begin, self.answered = self.answered, not from_client
        rule = self.listener.rule
        if rule is None and self._filter and self._filter.is_between:
            self._filter = None
        if rule and from_client and rule.kind == "reset" and rule.chosen():
            rule.touched += 1
            self.abort()
            return
        if rule and from_client and rule.kind == "http_errors" and self._filter is None and may_begin:
            self._filter = RequestFilter(self.listener.fails)
        if self.listener.route.drained and not from_client and not may_begin:
            data = _with_close(data)
        due = rule.due(self.quiet_since, len(data), to_service=from_client) if rule else 0.0
        if self._filter is None or not from_client:
            end.other.send(data, due)
            return
        for what, part in self._filter.feed(data):
            if what == FORWARD:
                self.service.send(part, due)
            elif what == ANSWER:
                self.client.send(part, 0.0)
                self.answered = True
            elif what == CLOSE:
                self.client.finish()

    def lost(self, end: End, error: Exception | None) -> None:
        """One end is gone: so is the other, once what waits for it is written."""
        self.listener.connections.discard(self)
        if error is not None:
            self.abort()
            return
        if self._opening and not self._opening.done():
            self._opening.cancel()
        end.other.finish()

    def flush(self) -> None:
        """The rule is over."""
        self.open()
        self.client.flush()
        self.service.flush()

    def close_if_idle(self, quiet_s: float) -> None:
        """Close a connection that waits for its caller's next request: the caller makes another one."""
        if self.answered and self.loop.time() - self.quiet_since >= quiet_s:
            self.client.finish()

    def abort(self) -> None:
        """Break both ends."""
        if self._is_broken:
            return
        self._is_broken = True
        self.listener.connections.discard(self)
        self.client.abort()
        self.service.abort()


def _with_close(data: bytes) -> bytes:
    """The head of an HTTP/1 answer that tells the caller to make another connection for its next request."""
    if not _ANSWER_HEAD.match(data):
        return data
    line, _, rest = data.partition(b"\r\n")
    return line + b"\r\nConnection: close\r\n" + rest


def _trusting() -> ssl.SSLContext:
    """TLS to a service of this host, whatever its certificate: the caller's check is what is broken, not ours."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
