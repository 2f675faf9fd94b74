"""Which of the system's own names a question means: exact, in another spelling, as a plural, a part, or with a typo.

Pure. A name in quotes is taken as it stands; words that questions are made of are names only if nothing else is.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final, Literal

Kind = Literal["service", "incident", "person", "schedule", "objective"]

LONGEST_SPAN: Final = 5  # words of a question that may together be one name
SHORTEST_PART: Final = 3  # letters of a part or the beginning of a name
SHORTEST_TYPO: Final = 4
CLOSE: Final = 0.78  # of difflib's ratio: one wrong letter in five
AS_CLOSE: Final = 0.04  # two names this near to each other are both meant
MOST_WORDS: Final = 40  # of a question that are looked through
EXACT: Final = 2  # ranks up to here are another spelling of the same name, and need no word about it
_QUOTED: Final = re.compile(r"""(?<!\w)["`“‘']([^"`”’']{1,255})["`”’'](?!\w)""")
_ENDINGS: Final = ("services", "service", "servers", "server", "svc", "api", "app")
# What questions are made of.
_COMMON: Final = """
    a about affected after again all an and any anybody anything are as at bad be been before being
    better between break breaks broke broken budget budgets by call called caller callers calling calls
    can cause caused change changed changes changing come could day days degraded depend dependencies
    dependency dependents depending depends deploy deployed deploys did do does doing down downstream
    during duty end ended error errors ever every everything fail failed failing fails failure failures
    fault fire fires firing fix fixed for from go going gone happen happened happening happens has have
    having healthy help high hour hours how i if in inc incident incidents into is it its last latency
    left like long look many me minute minutes much my need needs new no not now objective objectives of
    off ok okay on oncall open or our out outage over page paged pages past please rate release released
    releases right safe schedule service services set she should show since slo slos slow slower so some
    somebody someone spent state status still stop stopped system take than that the their them there
    they this time times timing to today tomorrow traffic trouble up upstream us use used uses using
    version wait was we week weeks went were what when where which who whom whose why will with wrong
    yesterday you your
"""
COMMON: Final = frozenset(_COMMON.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """A name of the system's own."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What some words of a question mean. Several `names`: it may be any of them.

    `rank` 0 is the exact name, 1 another spelling, 2 a plural or ending, 3 a part or beginning, 4 a typo. `rest` is the
    question without these words.
    """

    names: tuple[Name, ...]
    words: str
    rank: int
    rest: str
    is_common: bool = False

    @property
    def is_certain(self) -> bool:
        return self.rank <= EXACT and len(self.names) == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    name: Name
    plain: str
    folded: str
    stem: str
    parts: tuple[str, ...]


class Names:
    """The names to look for."""

    def __init__(self, names: Sequence[Name]) -> None:
        self._known = [_known(name) for name in dict.fromkeys(names)]

    def of(self, kind: Kind) -> tuple[str, ...]:
        """Those of one kind, in the order in which they were given."""
        return tuple(known.name.text for known in self._known if known.name.kind == kind)

    def find(self, question: str) -> Match | None:
        """The best match in a question: the better spelled first, then the one of more words, then the first.

        >>> names = Names([Name(kind="service", text=text) for text in ("shopping-cart", "checkout", "orders-db")])
        >>> [(m.names[0].text, m.rank) for m in map(names.find, ("why are shopping carts slow", "chekout?")) if m]
        [('shopping-cart', 2), ('checkout', 4)]
        """
        quoted = [match for match in _QUOTED.finditer(question) if match[1].strip()]
        for match in quoted:
            if found := self._matching(match[1], everything=True):
                rest = question[: match.start()] + " " + question[match.end() :]
                return Match(names=found[1], words=match[1], rank=found[0], rest=rest)
        words = question.split()[:MOST_WORDS]
        best: tuple[tuple[bool, int, int, int], Match] | None = None
        for length in range(min(LONGEST_SPAN, len(words)), 0, -1):
            for first in range(len(words) - length + 1):
                span = words[first : first + length]
                common = all(_bare(word) in COMMON for word in span)
                found = self._matching(_trimmed(" ".join(span)), everything=not common and length <= 3)
                if found is None or (length > 1 and found[0] > EXACT and _begins_or_ends_common(span)):
                    continue
                order = (common, found[0], -length, first)
                if best is None or order < best[0]:
                    rest = " ".join(words[:first] + words[first + length :])
                    shown = " ".join(span)
                    best = order, Match(names=found[1], words=shown, rank=found[0], rest=rest, is_common=common)
        return best[1] if best else None

    def near(self, text: str, kind: Kind, most: int = 3) -> tuple[str, ...]:
        """The names of a kind that are nearest to a text, best first."""
        folded = fold(text)
        near = [(SequenceMatcher(None, folded, known.folded).ratio(), known.name.text) for known in self._of(kind)]
        return tuple(name for ratio, name in sorted(near, key=lambda one: (-one[0], one[1]))[:most] if ratio > 0.5)

    def _of(self, kind: Kind) -> list[_Known]:
        return [known for known in self._known if known.name.kind == kind]

    def _matching(self, text: str, *, everything: bool) -> tuple[int, tuple[Name, ...]] | None:
        """The names that a text means, by the best rank; only other spellings of names without `everything`."""
        plain, folded = text.casefold(), fold(text)
        stem = _stem(folded)
        if exact := [known.name for known in self._known if known.plain == plain]:
            return 0, tuple(exact[:1])
        if not folded:
            return None
        if same := [known.name for known in self._known if known.folded == folded]:
            return 1, tuple(same)
        if not everything:
            return None
        if len(stem) >= SHORTEST_PART and (same := [known.name for known in self._known if known.stem == stem]):
            return 2, tuple(same)
        if len(folded) >= SHORTEST_PART:
            if part := [known.name for known in self._known if stem in known.parts or folded in known.parts]:
                return 3, tuple(part)
            if begun := [known.name for known in self._known if known.folded.startswith(folded)]:
                return 3, tuple(begun)
        return self._typo(stem) if len(stem) >= SHORTEST_TYPO else None

    def _typo(self, stem: str) -> tuple[int, tuple[Name, ...]] | None:
        near = []
        for known in self._known:
            matcher = SequenceMatcher(None, known.stem, stem, autojunk=False)
            if matcher.real_quick_ratio() >= CLOSE and matcher.quick_ratio() >= CLOSE:
                near.append((matcher.ratio(), known.name))
        best = max((ratio for ratio, _ in near), default=0.0)
        if best < CLOSE:
            return None
        ordered = sorted(near, key=lambda one: -one[0])
        return 4, tuple(name for ratio, name in ordered if ratio >= best - AS_CLOSE)


def fold(text: str) -> str:
    """Letters and digits alone, in small letters: two spellings of one name are the same."""
    return "".join(sign for sign in unicodedata.normalize("NFKC", text[:300]).casefold() if sign.isalnum())


def _known(name: Name) -> _Known:
    folded = fold(name.text)
    pieces = re.split(r"[\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.text[:300]).casefold())
    parts = tuple(_stem(part) for part in pieces if len(part) >= SHORTEST_PART and part not in _ENDINGS)
    return _Known(name=name, plain=name.text.casefold(), folded=folded, stem=_stem(folded), parts=parts)


def _stem(folded: str) -> str:
    """Without what a name may have or not: a plural's s, and words such as service."""
    for ending in _ENDINGS:
        if folded.endswith(ending) and len(folded) - len(ending) >= SHORTEST_PART:
            folded = folded.removesuffix(ending)
            break
    return folded[:-1] if folded.endswith("s") and len(folded) > SHORTEST_PART else folded


def _trimmed(text: str) -> str:
    """Without what stands around a name in a sentence; what is nothing else stays."""
    trimmed = re.sub(r"['’]s$", "", text.strip("?!.,;:()[]<>"))
    return trimmed or text


def _bare(word: str) -> str:
    return _trimmed(word).casefold()


def _begins_or_ends_common(span: Sequence[str]) -> bool:
    return _bare(span[0]) in COMMON or _bare(span[-1]) in COMMON
