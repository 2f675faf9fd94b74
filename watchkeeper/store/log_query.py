"""The language of log searches: its text becomes a tree of terms, and mistakes point at a character.

    service:checkout severity>=warn "timed out" -healthz (http.status_code>=500 OR error.type:*Timeout)

A word or a quoted text is looked for in the message, in any case. `field:value` compares exactly; `*` stands for any
characters, also in quotes, and `\\` takes the meaning from the next character. Terms beside each other must all hold;
`OR` is weaker, `-` or `NOT` negates what follows, parentheses group. Any name that is no field below is an attribute.

>>> parse('severity>=warn -"cache miss"').of
(Term(field='severity', op='>=', pattern=('WARN',), at=0), Not(of=Term(field='', op=':', pattern=('cache miss',), at=16)))
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final, Literal

from watchkeeper.errors import QueryError
from watchkeeper.text import did_you_mean, one_line

Op = Literal[":", ">=", "<=", ">", "<"]
Pattern = tuple[str, ...]  # the texts between wildcards: one is an exact text, ("", "") is `*`
MESSAGE: Final = ""  # the field of a bare word

# What somebody may write for a field, and the field.
FIELDS: Final = {
    "service": "service",
    "severity": "severity",
    "level": "severity",
    "message": MESSAGE,
    "body": MESSAGE,
    "trace": "trace",
    "trace_id": "trace",
    "span": "span",
    "span_id": "span",
    "instance": "instance",
    "scope": "scope",
    "logger": "scope",
    "event": "event",
}
# Severities by rank, the mildest first, and what else they are called.
SEVERITIES: Final = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
_CALLED: Final = {
    "WARNING": "WARN",
    "ERR": "ERROR",
    "INFORMATION": "INFO",
    "NOTICE": "INFO",
    "CRITICAL": "FATAL",
    "CRIT": "FATAL",
    "EMERGENCY": "FATAL",
    "ALERT": "FATAL",
    "PANIC": "FATAL",
}
MOST_TERMS: Final = 40  # of one search: each costs the store a pass over its column
DEEPEST: Final = 10  # parentheses within parentheses
LONGEST: Final = 2000  # characters of a search

_FIELD: Final = re.compile(r"([A-Za-z_@](?:[\w.@/-]*\w)?)(>=|<=|>|<|:|=)")
_BREAKS: Final = frozenset(' \t\r\n()"')


@dataclass(frozen=True, slots=True)
class Term:
    """One comparison. `field` is one of `FIELDS`' values or an attribute's name; `at` is where it begins."""

    field: str
    op: Op
    pattern: Pattern
    at: int = 0

    @property
    def text(self) -> str:
        """What was written for the value, without its quotes."""
        return "*".join(self.pattern)


@dataclass(frozen=True, slots=True)
class Not:
    """Holds where `of` does not."""

    of: Node


@dataclass(frozen=True, slots=True)
class All:
    """Holds where all of `of` do; everything, where there is none."""

    of: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class Either:
    """Holds where one of `of` does."""

    of: tuple[Node, ...]


Node = Term | Not | All | Either


def parse(text: str) -> All:
    """A search as a tree; an empty one holds everywhere.

    Raises:
        QueryError: it is not written as the language wants; says at which character, and what to write.
    """
    if len(text) > LONGEST:
        raise QueryError(
            f"a search has at most {LONGEST:,} characters, and this one {len(text):,}; shorten it", LONGEST
        )
    reader = _Reader(text)
    tree = reader.either(0)
    if reader.at < len(text):
        raise QueryError("this ) closes nothing; remove it, or open one before it", reader.at)
    return tree if isinstance(tree, All) else All((tree,))


def rank(severity: str) -> int | None:
    """A severity's rank from 1 (TRACE) to 6 (FATAL); None for a word that is none."""
    word = severity.upper()
    word = _CALLED.get(word, word)
    return SEVERITIES.index(word) + 1 if word in SEVERITIES else None


def ranks() -> dict[str, int]:
    """Every word for a severity, with its rank."""
    return {word: rank(word) or 0 for word in (*SEVERITIES, *_CALLED)}


def quoted(text: str) -> str:
    r"""A text as the language writes it, so that it is found as it stands.

    >>> print(quoted('50 % of "a*b"'), quoted("checkout"))
    "50 % of \"a\*b\"" checkout
    """
    if re.fullmatch(r"[\w./@-]+", text) and not text.startswith("-") and text not in ("OR", "AND", "NOT"):
        return text
    return '"' + re.sub(r'(["\\*])', r"\\\1", text) + '"'


class _Reader:
    """Reads a search from left to right; `at` is the next character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.terms = 0

    def either(self, depth: int) -> Node:
        """Terms with OR between them, until a closing parenthesis or the end."""
        groups = [self._all(depth)]
        while self._keyword("OR"):
            began = self.at - 2
            if not groups[-1].of:
                raise QueryError("OR needs something before it", began)
            groups.append(self._all(depth))
            if not groups[-1].of:
                raise QueryError("OR needs something after it", began)
        if len(groups) == 1:
            return groups[0]
        return Either(tuple(group.of[0] if len(group.of) == 1 else group for group in groups))

    def _all(self, depth: int) -> All:
        """Terms that must all hold, until OR, a closing parenthesis or the end."""
        nodes: list[Node] = []
        while True:
            self._skip_blanks()
            if self.at >= len(self.text) or self.text[self.at] == ")" or self._keyword("OR", take=False):
                return All(tuple(nodes))
            if self._keyword("AND"):
                if not nodes:
                    raise QueryError("AND needs something before it", self.at - 3)
                continue
            nodes.append(self._negatable(depth))

    def _negatable(self, depth: int) -> Node:
        negated = False
        while True:
            began = self.at
            follows = self.text[began + 1 : began + 2]
            if self.text[began] == "-" and follows.strip() and follows != ")":
                self.at += 1
            elif self._keyword("NOT"):
                self._skip_blanks()
                if self.at >= len(self.text) or self.text[self.at] == ")":
                    raise QueryError("NOT needs something after it", began)
            else:
                item = self._item(depth)
                return Not(item) if negated else item
            negated = not negated

    def _item(self, depth: int) -> Node:
        began = self.at
        if self.text[began] == "(":
            if depth >= DEEPEST:
                raise QueryError(f"at most {DEEPEST} parentheses may stand within each other", began)
            self.at += 1
            inner = self.either(depth + 1)
            if self.at >= len(self.text):
                raise QueryError("this ( is never closed; write ) where the group ends", began)
            self.at += 1
            if inner == All():
                raise QueryError("there is nothing between these parentheses", began)
            return inner
        self.terms += 1
        if self.terms > MOST_TERMS:
            raise QueryError(f"a search has at most {MOST_TERMS} terms; leave this one and the rest out", began)
        found = _FIELD.match(self.text, began)
        # An address such as http://host is text.
        if found is None or self.text.startswith("//", found.end()):
            return Term(MESSAGE, ":", self._value(), began)
        name, sign = found[1], found[2]
        self.at = found.end()
        if self.at >= len(self.text) or self.text[self.at] in " \t\r\n()":
            raise QueryError(
                f"{name}{sign} needs a value right after it, such as {name}{sign}{_example(name)}", self.at
            )
        place = self.at
        return _checked(name, ":" if sign == "=" else sign, self._value(), began, place)  # type: ignore[arg-type]

    def _value(self) -> Pattern:
        """A quoted text or a word; both may hold wildcards."""
        began = self.at
        in_quotes = self.text[began] == '"'
        self.at += in_quotes
        parts = [""]
        while self.at < len(self.text):
            character = self.text[self.at]
            if character == "\\" and self.at + 1 < len(self.text):
                parts[-1] += self.text[self.at + 1]
                self.at += 2
                continue
            if in_quotes and character == '"':
                self.at += 1
                if parts == [""]:
                    raise QueryError("there is nothing between these quotes", began)
                return tuple(parts)
            if not in_quotes and character in _BREAKS:
                break
            if character == "*":
                parts.append("")
            else:
                parts[-1] += character
            self.at += 1
        if in_quotes:
            raise QueryError('this " is never closed; write another one where the text ends, or \\" for a quote', began)
        return tuple(parts)

    def _skip_blanks(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def _keyword(self, word: str, *, take: bool = True) -> bool:
        """Whether a keyword stands here; step over it."""
        end = self.at + len(word)
        if not self.text.startswith(word, self.at) or not (end >= len(self.text) or self.text[end] in _BREAKS):
            return False
        if take:
            self.at = end
        return True


def _checked(name: str, op: Op, pattern: Pattern, at: int, place: int) -> Term:
    """A term whose value fits its field; `place` is where the value begins."""
    field = FIELDS.get(name.lower(), name)
    if field == "severity":
        return _severity(op, pattern, at, place)
    if op == ":":
        return Term(field, op, pattern, at)
    if field != name or name in FIELDS:
        raise QueryError(f"{name} cannot be compared by {op}; write {name}:value", at + len(name))
    text = "*".join(pattern)
    if not _is_number(text):
        raise QueryError(
            f"{one_line(text, 40)} is no number, which {op} needs; put the whole in quotes to search for it as text",
            place,
        )
    return Term(field, op, pattern, at)


def _severity(op: Op, pattern: Pattern, at: int, place: int) -> Term:
    if len(pattern) > 1:
        if op != ":":
            raise QueryError(f"{op} needs a severity without *", place)
        return Term("severity", op, tuple(part.upper() for part in pattern), at)
    number = rank(pattern[0])
    if number is not None:
        return Term("severity", op, (SEVERITIES[number - 1],), at)
    if op == ":" and pattern[0].upper() == "UNSET":
        return Term("severity", op, ("UNSET",), at)
    known = [word.lower() for word in SEVERITIES]
    raise QueryError(f"{one_line(pattern[0], 40)} is no severity{did_you_mean(pattern[0].lower(), known)}", place)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _example(name: str) -> str:
    return {"severity": "warn", "service": "checkout", "trace": "4bf92f35…"}.get(FIELDS.get(name.lower(), ""), "value")
