"""What `/watch` was asked to do: words in, one order out. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from alerting.incidents.human_labels import Judgement
from alerting.oncall.spoken_times import span_of
from watchkeeper.errors import ConfigError
from watchkeeper.text import did_you_mean, one_line
from watchkeeper.vocabulary import LEVELS, MECHANISMS, Level, Mechanism, level_named

USAGE: Final[Mapping[str, str]] = {
    "status": "status — open incidents, and who has them",
    "who": "who [SERVICE] — who is on call, and why",
    "ask": "ask QUESTION — such as: ask why is checkout slow?",
    "override": "override PERSON [from TIME] until TIME [in SCHEDULE] — PERSON is on call instead; or: for 2h",
    "page": "page PERSON TEXT — open an incident, and page somebody for it",
    "mute": "mute MATCHER for 2h because REASON — no pages of what matches: a service, kind=errors, or name=value",
    "severity": "severity INCIDENT SEV1|SEV2|SEV3|SEV4 because REASON — raise or lower its severity",
    "label": "label INCIDENT [yes|no|unsure] [cause SERVICE] [mechanism WORD] [note TEXT] — was the page warranted?",
    "help": "help — this list",
}
# What may be given without being known to Watchkeeper: it reads, and changes nothing.
READS: Final = frozenset({"status", "who", "ask", "help"})
QUESTION: Final = ("why", "what", "which", "when", "how", "is", "does", "did", "has", "are")
INCIDENT: Final = re.compile(r"[A-Za-z0-9-]{1,32}")
_MENTION: Final = re.compile(r"<@([UW][A-Za-z0-9]{1,30})(?:\|[^>]*)?>")
_LINK: Final = re.compile(r"<(?:https?|mailto):[^|>]*\|([^>]*)>")
_ENTITIES: Final = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))
_QUOTES: Final = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'"})
_ANSWERS: Final[Mapping[str, bool | None]] = {
    "yes": True, "warranted": True, "no": False, "unwarranted": False, "unsure": None, "notsure": None,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order. Fields that its `verb` does not have are empty.

    Attributes:
        subject: a service, a person or an incident, as it was written.
        text: a question, or what a page says.
        start, until: times as they were written; `span` in place of them.
        schedule: the schedule of an override; empty for the first one.
        service, kind, label, reason: of a silence.
        level: of `severity`.
        judgement: None where `label` gives no answer yet.
    """

    verb: str
    subject: str = ""
    text: str = ""
    start: str = ""
    until: str = ""
    span: timedelta | None = None
    schedule: str = ""
    service: str = ""
    kind: str = ""
    label: str = ""
    reason: str = ""
    level: Level | None = None
    judgement: Judgement | None = None

    @property
    def reads(self) -> bool:
        """Whether it only looks."""
        return self.verb in READS


def order_of(text: str) -> Order:
    """What the text after `/watch` orders. A question needs no `ask` before it.

    Raises:
        ConfigError: it is not understood; says how to write it.

    >>> order_of("mute shop-* for 2h because database move").reason
    'database move'
    >>> order_of("why is checkout slow?").verb
    'ask'
    """
    words = plain_words(text)
    verb, rest = (words[0].casefold(), words[1:]) if words else ("help", [])
    if verb in QUESTION or (verb == "who" and rest and rest[0].casefold() in ("is", "has", "was", "are", "does")):
        return Order(verb="ask", text=" ".join(words))
    parse = _VERBS.get(verb)
    if parse is None:
        raise ConfigError(
            f"`/watch` knows no {one_line(verb, 40)!r}{did_you_mean(verb, USAGE)} `/watch help` lists all."
        )
    return parse(rest)


def plain_words(text: str) -> list[str]:
    """The words as they were typed: a mention is the member's id, a link its text."""
    plain = _LINK.sub(r"\1", _MENTION.sub(r"\1", text)).translate(_QUOTES)
    for entity, sign in _ENTITIES:
        plain = plain.replace(entity, sign)
    return plain.split()


def usage(verb: str) -> ConfigError:
    """How an order is written."""
    return ConfigError(f"Write it so: `/watch {USAGE[verb].partition(' — ')[0]}`")


def _bare(verb: str) -> Callable[[Sequence[str]], Order]:
    return lambda _: Order(verb=verb)


def _who(words: Sequence[str]) -> Order:
    return Order(verb="who", subject=" ".join(words))


def _ask(words: Sequence[str]) -> Order:
    return Order(verb="ask", text=" ".join(words))


def _override(words: Sequence[str]) -> Order:
    parts = _parted(words, ("from", "until", "to", "for", "in"))
    until = parts.get("until") or parts.get("to") or ""
    span = parts.get("for") or ""
    if not parts[""] or bool(until) == bool(span):
        raise usage("override")
    return Order(
        verb="override",
        subject=parts[""],
        start=parts.get("from", ""),
        until=until,
        span=span_of(span) if span else None,
        schedule=parts.get("in", ""),
    )


def _page(words: Sequence[str]) -> Order:
    if len(words) < 2:
        raise usage("page")
    return Order(verb="page", subject=words[0], text=" ".join(words[1:]))


def _mute(words: Sequence[str]) -> Order:
    parts = _parted(words, ("for", "because"), last="because")
    if not parts[""] or not parts.get("for") or not parts.get("because"):
        raise usage("mute")
    given: dict[str, str] = {}
    for word in parts[""].split():
        name, _, value = word.partition("=")
        if not value:
            name, value = "service", word
        elif name not in ("service", "kind"):
            name, value = "label", word
        if name in given:
            raise ConfigError(f"two matchers of one sort: {one_line(given[name], 60)} and {one_line(value, 60)}")
        given[name] = value
    return Order(
        verb="mute",
        span=span_of(parts["for"]),
        reason=parts["because"],
        service=given.get("service", ""),
        kind=given.get("kind", ""),
        label=given.get("label", ""),
    )


def _severity(words: Sequence[str]) -> Order:
    if len(words) < 2 or not INCIDENT.fullmatch(words[0]):
        raise usage("severity")
    level = level_named(words[1])
    parts = _parted(words[2:], ("because",), last="because")
    reason = parts.get("because", "")
    if level is None:
        raise ConfigError(f"severity {one_line(words[1], 20)}: must be one of {', '.join(LEVELS)}")
    if parts[""] or not reason:
        raise usage("severity")
    return Order(verb="severity", subject=words[0], level=level, reason=reason)


def _label(words: Sequence[str]) -> Order:
    if not words or not INCIDENT.fullmatch(words[0]):
        raise usage("label")
    parts = _parted(words[1:], ("cause", "mechanism", "note"), last="note")
    answer = parts[""].replace(" ", "").casefold()
    if answer and answer not in _ANSWERS:
        raise ConfigError(f"{one_line(parts[''], 40)!r}: must be yes, no or unsure. {usage('label').message}")
    mechanism = parts.get("mechanism", "")
    known: Mapping[str, Mechanism] = {name: name for name in MECHANISMS}
    if mechanism and mechanism not in known:
        raise ConfigError(f"mechanism {one_line(mechanism, 40)}: must be one of {', '.join(MECHANISMS)}")
    judgement = Judgement(
        warranted=_ANSWERS.get(answer),
        cause=parts.get("cause") or None,
        mechanism=known.get(mechanism),
        note=parts.get("note", ""),
    )
    says_something = answer or judgement != Judgement()
    return Order(verb="label", subject=words[0], judgement=judgement if says_something else None)


def _parted(words: Sequence[str], keywords: Sequence[str], last: str = "") -> dict[str, str]:
    """What stands behind each keyword, and before the first under ""; behind `last`, all is its text."""
    parts: dict[str, list[str]] = {"": []}
    current = ""
    for word in words:
        if word.casefold() in keywords and current != (last or None) and word.casefold() not in parts:
            current = word.casefold()
            parts[current] = []
        else:
            parts[current].append(word)
    return {name: " ".join(given) for name, given in parts.items()}


_VERBS: Final[Mapping[str, Callable[[Sequence[str]], Order]]] = {
    "status": _bare("status"),
    "who": _who,
    "ask": _ask,
    "override": _override,
    "page": _page,
    "mute": _mute,
    "silence": _mute,
    "severity": _severity,
    "label": _label,
    "help": _bare("help"),
}
