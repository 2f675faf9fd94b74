"""The HTTP protocol of a port: uvicorn's, with a bound on heads and on how long one may take.

uvicorn with httptools keeps headers, trailers and addresses of any length, and waits for the rest of a head for ever.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LARGEST_HEAD: Final = 64 << 10  # bytes, while it arrives; applications allow less
HEAD_DEADLINE_S: Final = 15.0  # for a whole head; Apache's mod_reqtimeout gives 20 s
MOST_CONNECTIONS: Final = 512  # at once on one port; half of a process's usual 1024 files


class BoundedHttp(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unread = 0  # bytes since the parser last had a whole head or a piece of a body
        self._head_is_whole = False
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return  # what comes after a refusal is nobody's
        self._unread += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._unread > LARGEST_HEAD:
            self._refuse_head()
        elif self._head_timer is None and self._is_idle():
            self._wait_for_head()  # empty lines before a request begin none

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_is_whole = False
        if self._head_timer is None:
            self._wait_for_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head_is_whole:  # what comes after the body are trailers, which nobody here reads
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._unread = 0
        self._head_is_whole = True
        self._stop_waiting()
        if not self.url.startswith(b"/"):
            self._take_host_from_target()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unread = 0
        super().on_message_complete()

    def _take_host_from_target(self) -> None:
        """`GET http://name/path`: the name in the target counts, whatever the Host header says (RFC 9112, 3.2.2)."""
        target = httptools.parse_url(self.url)
        if target.host is None:
            return
        host = b"[" + target.host + b"]" if b":" in target.host else target.host
        if target.port:
            host += b":%d" % target.port
        self.headers[:] = [(name, value) for name, value in self.headers if name != b"host"] + [(b"host", host)]

    def _is_idle(self) -> bool:
        """Whether no request is being answered and the server does not wait for the next one by itself."""
        return self.timeout_keep_alive_task is None and (self.cycle is None or self.cycle.response_complete)

    def _wait_for_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_DEADLINE_S, self._head_is_late)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()

    def _refuse_head(self) -> None:
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            text = b'{"error": "the head of the request is too large; send fewer and shorter headers"}'
            self.transport.write(
                b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(text), text)
            )
        self.transport.close()
