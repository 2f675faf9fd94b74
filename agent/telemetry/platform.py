"""The platform as the agent reaches it: its address, the token, and whom TLS trusts."""

from __future__ import annotations

import ssl
from email.utils import parsedate_to_datetime
from time import time
from typing import Final

import aiohttp

from agent.telemetry.section import TelemetrySection, read_token
from watchkeeper import __version__
from watchkeeper.text import one_line

LARGEST_ANSWER: Final = 64 << 10
LONGEST_RETRY_AFTER_S: Final = 600.0
_TIMEOUT: Final = aiohttp.ClientTimeout(total=90, sock_connect=10)


class Answer:
    """What the platform answered to one request."""

    def __init__(self, status: int, kind: str, body: bytes, retry_after: str) -> None:
        self.status = status
        self.kind = kind
        self.body = body
        self.retry_after_s = _seconds(retry_after)

    @property
    def took(self) -> bool:
        """Whether the platform took it; a proxy's sign-in page in its place took nothing."""
        return self.status == 200 and not self.kind.startswith("text/")

    @property
    def reason(self) -> str:
        """Its words, as far as they can be read: a Status in protobuf is a text with a few bytes around it."""
        text = self.body[:2000].decode("utf-8", "replace")
        readable = "".join(c if c.isprintable() and c != "�" else " " for c in text)
        words = " ".join(readable.split())
        return f"{self.status} {one_line(words, 300)}" if words else str(self.status)


class Platform:
    """One platform's HTTP port for telemetry and alerts.

    Raises:
        ValueError: a certificate or the token cannot be used; says which.
    """

    def __init__(self, section: TelemetrySection) -> None:
        self.url = section.to
        self._section = section
        self._tls = _context(section) if section.to.startswith("https:") else None
        self._token = read_token(section)
        self._session: aiohttp.ClientSession | None = None

    async def post(self, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Send one request.

        Raises:
            OSError, aiohttp.ClientError, TimeoutError: there was no answer.
        """
        if self._session is None:
            # No proxies of the environment, no redirects, no cookies: only the platform that the file names.
            named = {"User-Agent": f"watchkeeper-agent/{__version__}"}
            self._session = aiohttp.ClientSession(timeout=_TIMEOUT, cookie_jar=aiohttp.DummyCookieJar(), headers=named)
        if self._token:
            headers = {**headers, "Authorization": f"Bearer {self._token}"}
        async with self._session.post(
            self.url + path, data=body, headers=headers, ssl=self._tls or True, allow_redirects=False
        ) as response:
            read = await response.content.read(LARGEST_ANSWER)
            answer = Answer(response.status, response.content_type, read, response.headers.get("Retry-After", ""))
        if answer.status in (401, 403):
            self._read_token_again()
        return answer

    def _read_token_again(self) -> None:
        """A token in a file may have been replaced."""
        try:
            self._token = read_token(self._section)
        except ValueError:
            return

    async def close(self) -> None:
        if self._session:
            await self._session.close()


def describe_failure(error: BaseException) -> str:
    """Why there was no answer, in words."""
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    text = one_line(error, 200)
    return text or type(error).__name__


def _context(section: TelemetrySection) -> ssl.SSLContext:
    tls = section.tls
    try:
        context = ssl.create_default_context(cafile=str(tls.ca) if tls.ca else None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if tls.certificate and tls.key:
            context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"tls: a certificate or a key cannot be used: {error}") from error
    return context


def _seconds(retry_after: str) -> float | None:
    """A Retry-After: seconds, or a date. None where there is none that can be read."""
    if retry_after.isdecimal():
        return min(float(retry_after[:9]), LONGEST_RETRY_AFTER_S)
    try:
        return min(max(0.0, parsedate_to_datetime(retry_after).timestamp() - time()), LONGEST_RETRY_AFTER_S)
    except (ValueError, TypeError, OverflowError):
        return None
