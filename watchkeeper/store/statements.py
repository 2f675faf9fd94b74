"""Statements with a large body, over ClickHouse's HTTP interface.

The ordinary client looks through a statement and what goes with it before it sends; for a segment of tens of
megabytes that costs more than sending it. This sends a body as it is.
"""

from __future__ import annotations

from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import HTTPError, ReadTimeoutError

from watchkeeper.errors import StoreError

CONNECT_S = 5.0  # to a store in the same network
LONGEST_S = 120.0  # for an answer; the largest segment takes half of it on a busy machine
LONGEST_MESSAGE = 4000  # bytes of the store's error that are kept


class RejectedError(StoreError):
    """The store rejected a statement; `code` is ClickHouse's number for why."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class TimedOutError(StoreError):
    """The store took a statement and gave no answer in time; nobody knows whether it was carried out."""


class Statements:
    """Sends statements as one user. Threads may share it."""

    def __init__(self, *, url: str, user: str, password: str) -> None:
        self._url = url.rstrip("/")
        self._headers = {"X-ClickHouse-User": user, "X-ClickHouse-Key": password}
        timeout = urllib3.Timeout(connect=CONNECT_S, read=LONGEST_S)
        self._pool = urllib3.PoolManager(maxsize=4, retries=False, timeout=timeout)

    def run(self, sql: str, body: bytes = b"") -> bytes:
        """Run one statement and return what it answers; `body` is what the FORMAT at its end announces.

        Raises:
            RejectedError: the store rejected it; the message says why.
            TimedOutError: it did not answer in time (`retry` is set).
            StoreError: it could not be reached (`retry` is set).
        """
        url = f"{self._url}/?{urlencode({'query': sql})}"
        try:
            answer = self._pool.request("POST", url, body=body, headers=self._headers)
        except ReadTimeoutError as error:
            text = f"the store at {self._url} gave no answer within {LONGEST_S:g} s"
            raise TimedOutError(text, retry=True) from error
        except HTTPError as error:
            raise StoreError(f"the store at {self._url} cannot be reached: {error}", retry=True) from error
        if answer.status != 200:
            code = answer.headers.get("X-ClickHouse-Exception-Code", "0")
            text = answer.data[:LONGEST_MESSAGE].decode(errors="replace").strip()
            raise RejectedError(
                text or f"the store at {self._url} answered {answer.status}", int(code) if code.isdecimal() else 0
            )
        return bytes(answer.data)
