"""Bearer tokens: checked in constant time, with a message that names what is wrong."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from watchkeeper.config import Config

LOCAL: Final = "local token"
LONGEST: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A configured token: its name, and a fingerprint that reveals nothing about it."""

    name: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """Why a token is rejected: 401 if it is unknown, 403 if its scope does not allow the request."""

    status: int
    text: str


def check(config: Config, token: str, scope: str) -> Credential | Denied:
    """Judge a token as it was pasted: blanks and line breaks around it do no harm. Takes as long for every token."""
    plain = token.strip()
    digest = hashlib.sha256(plain[:LONGEST].encode("utf-8", "surrogatepass")).hexdigest()
    match: tuple[str, str, tuple[str, ...]] | None = None
    for name, configured, scopes in _configured(config, scope):
        # No early exit: how long this takes must not reveal which token came close.
        if secrets.compare_digest(digest, configured) and plain and (match is None or scope in scopes):
            match = (name, configured, scopes)
    if match is None:
        return Denied(status=401, text=_unknown(plain, scope))
    name, configured, scopes = match
    if scope not in scopes:
        can = " and ".join(scopes) or "nothing"
        return Denied(
            status=403,
            text=f"the token {name!r} has the scope {can}; this request needs the scope {scope}: "
            f"make a token with `watchkeeper token new --scope {scope}`",
        )
    return Credential(name=name, fingerprint=fingerprint(configured))


def from_header(config: Config, header: str | None, scope: str) -> Credential | Denied | None:
    """Judge an `Authorization` header; None where there is none."""
    if header is None or not header.strip():
        return None
    scheme, _, token = header.strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        return Denied(
            status=401, text="the Authorization header has no bearer token; send `Authorization: Bearer <token>`"
        )
    return check(config, token, scope)


def fingerprint(digest: str) -> str:
    """A short name of a token's digest, for cookies: it ends a session when the token ends."""
    return hashlib.sha256(digest.encode()).hexdigest()[:16]


def fingerprints(config: Config, scope: str) -> frozenset[str]:
    """Of every token that may do `scope` now."""
    return frozenset(fingerprint(digest) for _, digest, scopes in _configured(config, scope) if scope in scopes)


def _configured(config: Config, scope: str) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    local = config.secret("commands")
    if local:  # a secret file that was emptied makes no token good enough
        yield LOCAL, hashlib.sha256(local.encode()).hexdigest(), (scope,)
    for token in config.tokens:
        yield token.name, token.sha256, tuple(token.scopes)


def _unknown(token: str, scope: str) -> str:
    make = f"make one with `watchkeeper token new --scope {scope}`, or see `watchkeeper token local`"
    if not token:
        return f"the token is empty; {make}"
    if any(character.isspace() for character in token):
        return "the token contains a space or a line break; paste it in one piece"
    if len(token) == 64 and all(character in "0123456789abcdef" for character in token):
        return "this looks like a token's SHA-256 from the configuration; send the token itself"
    return f"unknown token; check that it is complete, or {make}"
