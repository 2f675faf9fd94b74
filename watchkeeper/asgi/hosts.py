"""Which names and pages may reach a port.

A page of another site can make a browser on this machine send requests here: with its own `Origin`, or, where its name
was made to point at loopback (DNS rebinding), with its own `Host`. Both are refused before anything else is read.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from watchkeeper.config import is_loopback

# A name or an IPv4 address, or an IPv6 address in brackets; then perhaps a port (RFC 9112, 3.2).
_HOST: Final = re.compile(r"(?P<name>[A-Za-z0-9_.-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::(?P<port>[0-9]{0,5}))?")


def name_of(host: str) -> str:
    """The name in a `Host` header: lower case, without port and final dot; empty where it is none.

    >>> name_of("LocalHost.:8050"), name_of("[::1]:8050"), name_of("127.0.0.1@evil.example"), name_of("")
    ('localhost', '::1', '', '')
    """
    match = _HOST.fullmatch(host)
    if not match:
        return ""
    return match["name"].strip("[]").lower().removesuffix(".")


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The names that a port answers to.

    Args:
        own: the name in its public address, if it has one.
        listens: the address that it is bound to. On loopback only loopback's names and `own` fit; elsewhere any
            numeric address fits too, because no page can make a browser send one that is not its own.
    """

    listens: str
    own: str | None = None

    def fit(self, host: str) -> bool:
        """Whether a `Host` header names this port."""
        name = name_of(host)
        if not name:
            return False
        own = (self.own or "").lower().removesuffix(".")
        return name == own or is_loopback(name) or (not is_loopback(self.listens) and _is_address(name))


def is_foreign(origin: str | None, host: str, public_url: str | None = None) -> bool:
    """Whether a page of another site sends this; another port of the same name counts as another site.

    Args:
        origin: the header, None where there is none: no page sends that, or one of ours reads.
        host: the `Host` header.
        public_url: where our own pages are for their readers, when a proxy in front of us gives them another port.
    """
    if origin is None:
        return False
    try:
        came_from = urlsplit(origin)
        came_from.port  # noqa: B018 - raises where the port is no number
    except ValueError:
        return True
    if came_from.scheme not in ("http", "https") or came_from.path or came_from.query or came_from.fragment:
        return True
    page = (name_of(came_from.netloc), came_from.port or _usual(came_from.scheme))
    own = urlsplit(public_url or "")
    if page[0] and public_url and page == (name_of(own.netloc), own.port or _usual(own.scheme)):
        return False
    # Without a port, Host means the usual one of a scheme that only a proxy in front of us knows.
    ports = (_port(host),) if _port(host) else (80, 443)
    return not page[0] or page[0] != name_of(host) or page[1] not in ports


def _port(host: str) -> int | None:
    match = _HOST.fullmatch(host)
    return int(match["port"]) if match and match["port"] else None


def _usual(scheme: str) -> int:
    return 443 if scheme == "https" else 80


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
