"""Fetch one page as Prometheus would: within a time and a size that hold for the whole of it, redirects included."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit, urlunsplit

import httpx

from watchkeeper import __version__
from watchkeeper.errors import CollectorError
from watchkeeper.text import one_line

ACCEPT: Final = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
MOST_HOPS: Final = 10  # as Go's client, and so Prometheus, follows
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
ANY_HOST: Final = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a target answered: the text's bytes, unzipped, and what it calls them."""

    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class _Url:
    """An address in parts, so that its credentials are sent and never shown."""

    scheme: str
    host: str  # with port, without credentials
    rest: str
    credentials: tuple[str, str] | None

    @classmethod
    def parse(cls, text: str) -> _Url:
        parts = urlsplit(text)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise CollectorError(f"{_plain(text)} is not an http or https address")
        host = parts.netloc.rpartition("@")[2].lower()
        credentials = (parts.username or "", parts.password or "") if "@" in parts.netloc else None
        return cls(parts.scheme, host, urlunsplit(("", "", parts.path or "/", parts.query, "")), credentials)

    @property
    def full(self) -> str:
        return f"{self.scheme}://{self.host}{self.rest}"

    def __str__(self) -> str:
        return one_line(f"{self.scheme}://{self.host}{self.rest.partition('?')[0]}")

    @property
    def _name_and_port(self) -> tuple[str, int]:
        parts = urlsplit(f"//{self.host}")
        return parts.hostname or "", parts.port or (443 if self.scheme == "https" else 80)

    def may_lead_to(self, other: _Url, allowed: Collection[str]) -> bool:
        """The same server, the same name by https instead of http, or a host that the configuration names."""
        name, port = other._name_and_port
        if ANY_HOST in allowed or name in allowed or f"{name}:{port}" in allowed or other.host in allowed:
            return True
        if self._name_and_port == (name, port):
            return self.scheme == other.scheme or other.scheme == "https"
        return self._name_and_port[0] == name and (self.scheme, other.scheme, port) == ("http", "https", 443)


def address(target: str, path: str) -> str:
    """The address of a target's page; without a scheme it is http."""
    base = target if "://" in target else f"http://{target}"
    return base.rstrip("/") + (path if path.startswith("/") else f"/{path}")


def shown(target: str) -> str:
    """A target without credentials and query, for whoever reads logs and attributes."""
    return _plain(target)


def _plain(text: str) -> str:
    head, _, rest = text.partition("?")[0].partition("://") if "://" in text else ("", "", text.partition("?")[0])
    name, slash, path = rest.partition("/")
    name = name.rpartition("@")[2]
    return one_line(f"{head}://{name}{slash}{path}" if head else f"{name}{slash}{path}")


async def fetch(
    client: httpx.AsyncClient, url: str, *, timeout_s: float, most_bytes: int, redirect_hosts: Collection[str] = ()
) -> Page:
    """Read a page, from the connection's first byte to the page's last within `timeout_s` in all.

    Raises:
        CollectorError: unreachable, too slow, too large, not 200, or redirected where it may not go; says which.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await _follow(client, _Url.parse(url), timeout_s, most_bytes, redirect_hosts)
    except TimeoutError as error:
        raise CollectorError(
            f"scrape of {_plain(url)} failed: not complete after {timeout_s:g} s (timeout_s)", retry=True
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ValueError, OSError) as error:
        why = one_line(str(error) or type(error).__name__)
        raise CollectorError(f"scrape of {_plain(url)} failed: {why}", retry=True) from error


async def _follow(
    client: httpx.AsyncClient, url: _Url, timeout_s: float, most_bytes: int, allowed: Collection[str]
) -> Page:
    first = url
    headers = {
        "Accept": ACCEPT,
        "Accept-Encoding": "gzip",
        "User-Agent": f"Watchkeeper/{__version__}",
        "X-Prometheus-Scrape-Timeout-Seconds": f"{timeout_s:g}",
    }
    for _ in range(MOST_HOPS + 1):
        # Credentials are for the server that was configured, and for no other that it leads to.
        auth = first.credentials if url.host == first.host else url.credentials
        request = client.build_request("GET", url.full, headers=headers)
        answer = await client.send(
            request, stream=True, follow_redirects=False, auth=httpx.BasicAuth(*auth) if auth else None
        )
        try:
            if answer.status_code not in REDIRECTS:
                return await _read(answer, url, most_bytes)
            location = answer.headers.get("location", "")
        finally:
            await answer.aclose()
        if not location:
            raise CollectorError(f"scrape of {url} failed: HTTP {answer.status_code} without a Location", retry=True)
        following = _Url.parse(urljoin(url.full, location))
        if not first.may_lead_to(following, allowed):
            raise CollectorError(
                f"scrape of {url} failed: HTTP {answer.status_code} leads to {following}, another host; "
                "name it in ingest.scrape.redirect_hosts to follow"
            )
        url = following
    raise CollectorError(f"scrape of {first} failed: over {MOST_HOPS} redirects", retry=True)


async def _read(answer: httpx.Response, url: _Url, most_bytes: int) -> Page:
    if answer.status_code != 200:
        raise CollectorError(f"scrape of {url} failed: HTTP {answer.status_code}", retry=True)
    encoding = answer.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise CollectorError(f"scrape of {url} failed: Content-Encoding {one_line(encoding, 40)} was not asked for")
    parts: list[bytes] = []
    size = 0
    chunks = _unzipped(answer.aiter_raw(), most_bytes) if "gzip" in encoding else answer.aiter_raw()
    try:
        async for chunk in chunks:
            size += len(chunk)
            if size > most_bytes:
                limit = f"{most_bytes >> 20} MiB (ingest.scrape.max_mib)"
                raise CollectorError(f"scrape of {url} gave over {limit}; scrape less, or raise it")
            parts.append(chunk)
    except zlib.error as error:
        raise CollectorError(f"scrape of {url} failed: not gzip, though Content-Encoding says so: {error}") from error
    return Page(body=b"".join(parts), content_type=answer.headers.get("content-type", ""))


async def _unzipped(chunks: AsyncIterator[bytes], most_bytes: int) -> AsyncIterator[bytes]:
    """Every member of a gzip body, in pieces, so that a small body cannot become a huge one at once."""
    inflater = zlib.decompressobj(wbits=31)
    begun = False
    async for chunk in chunks:
        rest = chunk
        while rest:
            if inflater.eof:
                inflater, begun = zlib.decompressobj(wbits=31), False
            begun = True
            yield inflater.decompress(rest, most_bytes + 1)
            rest = inflater.unconsumed_tail or inflater.unused_data
    if begun and not inflater.eof:
        raise zlib.error("the body is cut short")
