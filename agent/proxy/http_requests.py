"""Where requests begin in a stream of HTTP/1 bytes, so that some can be answered in the service's place.

Only requests are read. Clients send the next one after the answer to the one before (nobody pipelines), so whatever
follows a request's body is another request. What is no HTTP/1, and what upgrades to something else, passes untouched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Final

LONGEST_HEAD: Final = 65536
FORWARD: Final = "forward"
ANSWER: Final = "answer"
CLOSE: Final = "close"


class RequestFilter:
    """Splits the bytes of one connection into what is passed on, and what is answered here.

    Args:
        fails: whether the request with this path fails; asked once a request.
        status: what a failing one is answered.
    """

    def __init__(self, fails: Callable[[str], int]) -> None:
        self._fails = fails
        self._head = b""
        self._body = 0  # bytes of the body that are still to come
        self._chunked: _Chunks | None = None
        self._failing = False
        self._raw = False

    @property
    def is_between(self) -> bool:
        """Whether it waits for a request to begin: nothing is lost without it."""
        return self._raw or not (self._head or self._body or self._chunked)

    def feed(self, data: bytes) -> Iterator[tuple[str, bytes]]:
        """What to do with the next bytes: pairs of (`forward`, `answer` or `close`; the bytes)."""
        while data:
            if self._raw:
                yield FORWARD, data
                return
            if self._body or self._chunked:
                part, data = self._of_body(data)
                if not self._failing:
                    yield FORWARD, part
                continue
            self._head += data
            data = b""
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                if len(self._head) > LONGEST_HEAD or not _may_be_request(self._head):
                    self._raw = True
                    yield FORWARD, self._head
                    self._head = b""
                return
            head, data = self._head[: end + 4], self._head[end + 4 :]
            self._head = b""
            yield from self._begin(head)

    def _begin(self, head: bytes) -> Iterator[tuple[str, bytes]]:
        line, *rest = head.decode("latin-1").split("\r\n")
        parts = line.split(" ")
        if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
            self._raw = True
            yield FORWARD, head
            return
        headers = {name.strip().lower(): value.strip() for name, _, value in (one.partition(":") for one in rest)}
        length = headers.get("content-length", "0")
        self._body = int(length) if length.isdigit() else 0
        self._chunked = _Chunks() if "chunked" in headers.get("transfer-encoding", "").lower() else None
        status = self._fails(parts[1])
        self._failing = status > 0
        if not self._failing:
            self._raw = "upgrade" in headers or parts[0] == "CONNECT"
            yield FORWARD, head
            return
        # A client that waits before it sends the body takes the answer as a no, and may not send it at all.
        closes = "expect" in headers or headers.get("connection", "").lower() == "close"
        yield ANSWER, _answer(status, closes=closes or parts[2] == "HTTP/1.0", has_body=parts[0] != "HEAD")
        if closes:
            yield CLOSE, b""

    def _of_body(self, data: bytes) -> tuple[bytes, bytes]:
        if self._chunked:
            size = self._chunked.feed(data)
            if self._chunked.is_over:
                self._chunked = None
        else:
            size = min(self._body, len(data))
            self._body -= size
        return data[:size], data[size:]


class _Chunks:
    """Finds the end of a body in chunks."""

    def __init__(self) -> None:
        self.is_over = False
        self._line = b""
        self._left = 0  # of the chunk and the line's end after it
        self._last = False

    def feed(self, data: bytes) -> int:
        """How many of these bytes belong to the body."""
        at = 0
        while at < len(data) and not self.is_over:
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
                continue
            self._line += data[at : at + 1]
            at += 1
            if self._line.endswith(b"\r\n"):
                self._end_of_line(self._line[:-2])
                self._line = b""
        return at

    def _end_of_line(self, line: bytes) -> None:
        if self._last:  # trailers, then an empty line
            self.is_over = not line
            return
        try:
            size = int(line.split(b";")[0], 16)
        except ValueError:
            self.is_over = True
            return
        self._last = size == 0
        self._left = size + 2 if size else 0


def _may_be_request(data: bytes) -> bool:
    """Whether a request's first line may begin like this: a method of capital letters, and a space."""
    method = data.split(b" ", 1)[0]
    return len(method) <= 20 and method.isalpha() and method.isupper()


def _answer(status: int, *, closes: bool, has_body: bool) -> bytes:
    body = b"a fault injected by Watchkeeper\n"
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Error"
    head = f"HTTP/1.1 {status} {phrase}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
    head += f"Connection: {'close' if closes else 'keep-alive'}\r\n\r\n"
    return head.encode() + (body if has_body else b"")
