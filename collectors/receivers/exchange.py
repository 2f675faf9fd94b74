"""One HTTP request to the receivers, and its answer."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from collectors.receivers.callers import described, sender_of
from collectors.receivers.rejections import MalformedError, SlowError, TooLargeError
from watchkeeper.asgi.bodies import Bodies, BodyRejected, Gone, throw_away
from watchkeeper.config import Config

Pairs = list[tuple[str, str]]


class Exchange:
    """A request, and the one answer that it gets.

    An answer before the body was read closes the connection; a little of the body is still taken and thrown away, so
    that the sender reads the answer instead of a broken pipe.
    """

    def __init__(self, config: Config, scope: Scope, receive: Receive, send: Send) -> None:
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self.path: str = scope["path"]
        self.method: str = scope["method"]
        self.kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        self.encoding = self.headers.get("content-encoding", "")
        declared = self.headers.get("content-length", "")
        self.declared = int(declared[:20]) if declared.isdecimal() else 0
        peer = (scope.get("client") or ("unknown",))[0]
        self.sender = sender_of(config, str(peer), self.headers.get("authorization", ""))
        self.described = described(self.sender, str(peer), self.headers.get("user-agent", ""))
        self.extra: Pairs = []
        self._scope = scope
        self._receive = receive
        self._send = send
        self._is_read = not self.declared and "transfer-encoding" not in self.headers

    async def body(self, bodies: Bodies) -> bytes:
        """The whole body.

        Raises:
            TooLargeError: it is over the limit.
            SlowError: it did not come in time.
            MalformedError: the sender left.
        """
        try:
            body = await bodies.complete(self._scope, self._receive)
        except Gone as error:
            self._is_read = True
            raise MalformedError("the connection closed before the body was whole") from error
        except BodyRejected as error:
            self._is_read = not error.more
            raise (TooLargeError if error.status == 413 else SlowError)(error.text) from error
        self._is_read = True
        return body

    async def answer(
        self, status: int, body: bytes, extra: Pairs | None = None, kind: str = "application/json"
    ) -> None:
        """Answer, once."""
        pairs = [("content-type", kind), ("content-length", str(len(body))), *self.extra, *(extra or [])]
        if not self._is_read:
            pairs.append(("connection", "close"))
        headers = [(name.encode(), value.encode("latin-1")) for name, value in pairs]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        if not self._is_read:
            await self._send({"type": "http.response.body", "body": body, "more_body": True})
            await throw_away(self._receive)
            body = b""
        await self._send({"type": "http.response.body", "body": body})
