"""What must not stand in a text for the public: secrets and machines never, names only on purpose. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from alerting.incidents.machine import Incident
from watchkeeper.config import Config
from watchkeeper.errors import Conflict
from watchkeeper.text import is_unseen, one_line

# What a secret looks like. Formats of vendors, a key or a password with its value, and any long random word.
_SECRETS: Final = (
    ("an access key", r"\b(AKIA|ASIA)[0-9A-Z]{16}\b"),
    ("a token", r"\b(xox[abeprs]-|gh[opsu]_|github_pat_|glpat-|sk-|sk_live_|rk_live_|ya29\.|npm_)[A-Za-z0-9_-]{8,}"),
    ("a signed token", r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
    ("a private key", r"-----BEGIN"),
    ("a password or key", r"(?i)\b[\w-]*(password|passwd|pwd|secret|token|api[_-]?key|bearer)[\"']?\s*[=:]\s*\S"),
    ("a bearer token", r"(?i)\bbearer\s+[A-Za-z0-9._~+/-]{12,}"),
    ("a password in an address", r"://[^\s/@]*:[^\s/@]*@"),
    ("a long random word", r"\b(?=[A-Za-z0-9+/_=-]*\d)(?=[A-Za-z0-9+/_=-]*[A-Za-z])[A-Za-z0-9+/_=-]{28,}"),
)  # fmt: skip
_INSIDE: Final = (
    ("an IP address", r"\b\d{1,3}(\.\d{1,3}){3}\b"),
    ("an IPv6 address", r"(?i)(?<![\w:])([0-9a-f]{1,4}:){3,}[0-9a-f:]*[0-9a-f]"),
    ("the name of an internal host", r"(?i)\b[\w-]+(\.[\w-]+)*\.(internal|local|lan|intra|corp|localdomain|svc)\b"),
    ("an address of this machine", r"(?i)\blocalhost\b"),
    ("an id of Watchkeeper", r"(?i)\b(inc|act|upd|batch)-[0-9a-f]{6,}\b"),
    ("a path of a file", r"(?<![\w/:.])/(etc|var|home|root|opt|usr|srv|tmp|data|mnt)/\S+"),
    ("a traceback", r"Traceback \(most recent call last\)|\bat [\w.$]+\([\w.]+:\d+\)"),
)  # fmt: skip


def leaks(text: str, incident: Incident, config: Config) -> Iterator[tuple[bool, str]]:
    """Each thing that must not leave: whether it may on purpose, and what it is."""
    plain = "".join(" " if is_unseen(character) and character != "\n" else character for character in text)
    if any(is_unseen(character) and character not in "\r\n\t" for character in text):
        yield False, "characters that nobody sees"
    for what, pattern in (*_SECRETS, *_INSIDE):
        match = re.search(pattern, plain)
        if match:
            # A secret is not repeated where others read along.
            shown = "" if (what, pattern) in _SECRETS else f" ({one_line(match[0], 60)})"
            yield False, f"{what}{shown}"
    public = " ".join(component.name for component in config.status_page.components).casefold()
    for what, name in _names(incident, config):
        if _holds(plain, name) and not _holds(public, name):
            yield True, f"{what} {one_line(name, 60)!r}"


def refuse_leaks(text: str, incident: Incident, config: Config, *, names_too: bool) -> None:
    """Refuse a text for the public.

    Raises:
        Conflict: names each thing that must not leave, and what to do.
    """
    found = list(leaks(text, incident, config))
    never = [what for on_purpose, what in found if not on_purpose]
    names = [what for on_purpose, what in found if on_purpose]
    if never:
        raise Conflict(f"The text has {', '.join(never)}. That must not leave: remove it.")
    if names and not names_too:
        raise Conflict(
            f"The text has {', '.join(names)}. The public knows the names of components: use those. If the word is an "
            "everyday one here, confirm it: --names-too, or `names_too` in the API."
        )


def _names(incident: Incident, config: Config) -> Iterator[tuple[str, str]]:
    """Names that are ours, each once: services, instances, operations, versions of changes, and people."""
    seen: set[str] = set()
    for what, name in _every_name(incident, config):
        if len(name) > 1 and name.casefold() not in seen:
            seen.add(name.casefold())
            yield what, name


def _every_name(incident: Incident, config: Config) -> Iterator[tuple[str, str]]:
    for component in config.status_page.components:
        yield from (("the service", service) for service in component.services)
    yield "the service", incident.service
    for finding in incident.findings:
        yield "the service", finding.service
        yield "the operation", finding.operation or ""
    for suspect in incident.diagnosis.suspects if incident.diagnosis else ():
        yield "the service", suspect.service
        yield "the instance", suspect.instance or ""
        yield "the operation", suspect.operation or ""
    for person in config.oncall.people:
        yield "the name of", person.name
    for label in incident.labels:
        yield "the name of", label.author


def _holds(text: str, name: str) -> bool:
    """Whether a text has a name as a word of its own, in any case."""
    plain = _plain(name)
    return bool(plain) and re.search(rf"(?<![\w-]){re.escape(plain)}(?![\w-])", _plain(text)) is not None


def _plain(text: str) -> str:
    """In lower case, with one blank for whatever separates words or is not seen."""
    return " ".join("".join(" " if is_unseen(character) else character for character in text.casefold()).split())
