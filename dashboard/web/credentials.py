"""Bearer tokens: checked in constant time, with a message that names what is wrong."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from watchkeeper.config import Config

LOCAL: Final = "local token"
LONGEST: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A configured token: its name, a fingerprint that reveals nothing about it, and the person it is for, if any."""

    name: str
    fingerprint: str
    person: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """Why a token is rejected: 401 if it is unknown, 403 if its scope does not allow the request."""

    status: int
    text: str


def check(config: Config, token: str, scope: str) -> Credential | Denied:
    """Judge a token as it was pasted: blanks and line breaks around it do no harm. Takes as long for every token."""
    plain = token.strip()
    digest = hashlib.sha256(plain[:LONGEST].encode("utf-8", "surrogatepass")).hexdigest()
    match: tuple[str, str, tuple[str, ...], str | None] | None = None
    for name, configured, scopes, person in _configured(config, scope):
        # No early exit: how long this takes must not reveal which token came close.
        if secrets.compare_digest(digest, configured) and plain and (match is None or scope in scopes):
            match = (name, configured, scopes, person)
    if match is None:
        return Denied(status=401, text=_unknown(plain, scope))
    name, configured, scopes, person = match
    if scope not in scopes:
        can = " and ".join(scopes) or "nothing"
        return Denied(
            status=403,
            text=f"the token {name!r} has the scope {can}; this request needs the scope {scope}: "
            f"make a token with `watchkeeper token new --scope {scope}`",
        )
    return Credential(name=name, fingerprint=fingerprint(configured), person=person)


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


def fingerprints(config: Config, scope: str) -> Mapping[str, str | None]:
    """Of every token that may do `scope` now, with the one person it is for, if any."""
    return {fingerprint(digest): person for _, digest, scopes, person in _configured(config, scope) if scope in scopes}


def _configured(config: Config, scope: str) -> Iterator[tuple[str, str, tuple[str, ...], str | None]]:
    local = config.secret("commands")
    if local:  # a secret file that was emptied makes no token good enough
        yield LOCAL, hashlib.sha256(local.encode()).hexdigest(), (scope,), None
    for token in config.tokens:
        yield token.name, token.sha256, tuple(token.scopes), token.person


def _unknown(token: str, scope: str) -> str:
    make = f"make one with `watchkeeper token new --scope {scope}`, or see `watchkeeper token local`"
    if not token:
        return f"the token is empty; {make}"
    if any(character.isspace() for character in token):
        return "the token contains a space or a line break; paste it in one piece"
    if len(token) == 64 and all(character in "0123456789abcdef" for character in token):
        return "this looks like a token's SHA-256 from the configuration; send the token itself"
    return f"unknown token; check that it is complete, or {make}"
