"""What a caller shows: a bearer token, read with patience and judged with words that say what is wrong with it."""

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
    """A token that is known here: its configured name, and a fingerprint that tells nothing of it."""

    name: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """Why a token is not enough: 401 where it is none that is known, 403 where it may do other things only."""

    status: int
    text: str


def check(config: Config, token: str, scope: str) -> Credential | Denied:
    """Judge a token as it was pasted: blanks and line breaks around it do no harm. Takes as long for every token."""
    plain = token.strip()
    digest = hashlib.sha256(plain[:LONGEST].encode("utf-8", "surrogatepass")).hexdigest()
    found: tuple[str, str, tuple[str, ...]] | None = None
    for name, known, scopes in _known(config, scope):
        # No early exit: how long this takes must not tell which token came close.
        if secrets.compare_digest(digest, known) and plain and (found is None or scope in scopes):
            found = (name, known, scopes)
    if found is None:
        return Denied(status=401, text=_unknown(plain, scope))
    name, known, scopes = found
    if scope not in scopes:
        can = " and ".join(scopes) or "nothing"
        return Denied(
            status=403,
            text=f"the token {name!r} has the scope {can}; this needs the scope {scope}: "
            f"make a token with `watchkeeper token new --scope {scope}`",
        )
    return Credential(name=name, fingerprint=fingerprint(known))


def from_header(config: Config, header: str | None, scope: str) -> Credential | Denied | None:
    """Judge an `Authorization` header; None where there is none."""
    if header is None or not header.strip():
        return None
    scheme, _, token = header.strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        return Denied(status=401, text="the Authorization header holds no bearer token; send `Bearer` and the token")
    return check(config, token, scope)


def fingerprint(digest: str) -> str:
    """A short name of a token's digest, for cookies: it ends a session when the token ends."""
    return hashlib.sha256(digest.encode()).hexdigest()[:16]


def fingerprints(config: Config, scope: str) -> frozenset[str]:
    """Of every token that may do `scope` now."""
    return frozenset(fingerprint(digest) for _, digest, scopes in _known(config, scope) if scope in scopes)


def _known(config: Config, scope: str) -> Iterator[tuple[str, str, tuple[str, ...]]]:
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
        return "the token holds a blank or a line break inside; paste it in one piece"
    if len(token) == 64 and all(character in "0123456789abcdef" for character in token):
        return "this looks like a token's SHA-256 from the configuration; send the token itself"
    return f"this token is not known here; check that it is whole, or {make}"
