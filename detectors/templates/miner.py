"""Log lines to templates, online, with one setting for every program.

Idea, after Drain (He et al., ICWS 2017) but deciding on evidence instead of a similarity threshold: tokens that are
certainly values are masked by their characters (`shape`); then a place in a line becomes a value when enough different
words were seen there while all the rest of the line stayed the same. Names with punctuation count for more than
plain words, which are as likely to be the message. A label after a label (`LOG: statement: ...`) that was followed by
texts of many lengths takes the rest of the line as one value.

Fails where a program writes prose that never repeats, and where the words of two different messages differ in one
place only and there are many of them. Costs about 4 µs a line once its words are known.

    >>> miner = TemplateMiner()
    >>> ids = miner.add_many(["user 17 logged in", "user 4 logged in", "cache is cold"])
    >>> bool(ids[0] == ids[1]), bool(ids[0] == ids[2])
    (True, False)
    >>> miner.template(int(ids[0]))
    'user <*> logged in'
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.templates.shape import VALUE, Shapes, collapsed, is_word

Words = tuple[str, ...]

ENOUGH: Final = 2.0  # evidence that a place holds a value
PLAIN: Final = 0.5  # evidence of one plain word: four of them
SHOUTED: Final = 0.75  # of one plain word in capitals within a sentence: three of them
NAMED: Final = 1.0  # of one word with punctuation or digits inside, or that was a value elsewhere: two of them
MASKED: Final = 1.5  # of a value that was masked already: it and one word
BARE: Final = 2.0  # times the evidence wanted where the rest of the line holds less than two words
SEVERITIES: Final = frozenset(
    [
        *("trace", "verbose", "debug", "info", "log", "notice", "warn", "warning", "error", "err", "critical", "crit"),
        *("fatal", "panic", "alert", "emerg", "severe"),
    ]
)
TAIL_TEXTS: Final = 5  # different texts after a second label
TAIL_LENGTHS: Final = 4  # of different lengths
MOST_TEMPLATES: Final = 20_000  # bounds memory; programs have some thousand kinds of lines at most
MOST_LINES: Final = 100_000  # shapes of lines that are remembered
OVERFLOW: Final = 0  # the id of what came after `MOST_TEMPLATES`


@dataclass(slots=True)
class _Place:
    """The words seen at one place of lines that are otherwise the same."""

    words: set[str] = field(default_factory=set)
    templates: set[int] = field(default_factory=set)
    opened: int | None = None


@dataclass(slots=True)
class _Tail:
    """The texts seen after one label."""

    texts: set[Words] = field(default_factory=set)
    templates: set[int] = field(default_factory=set)
    opened: int | None = None


class TemplateMiner:
    """Gives each line the id of its template; ids are small integers from 1 on, and 0 when there are too many.

    Ids are given at once. When later lines show that two templates are one, the older id stays: `canonical` maps ids
    that were given earlier. Memory is bounded by `MOST_TEMPLATES` and `MOST_LINES`; `overflowed` counts the lines
    that found no room.
    """

    def __init__(self) -> None:
        self._shapes = Shapes()
        self._lines: dict[Words, int] = {}
        self._ids: dict[Words, int] = {}
        self._words: list[Words] = [(VALUE,)]
        self._parent: list[int] = [0]
        self._places: dict[tuple[int, Words, Words], _Place] = {}
        self._tails: dict[Words, _Tail] = {}
        self._names: set[str] = set()  # plain words that turned out to be values
        self.overflowed = 0

    def add_many(self, lines: Iterable[str]) -> npt.NDArray[np.int64]:
        """Learn lines in order and return their template ids, (n_lines,)."""
        shape, known = self._shapes.of, self._lines
        ids = []
        for line in lines:
            words = shape(line)
            found = known.get(words)
            if found is None:
                found = self._learn(words)
            ids.append(found)
        return self.canonical(np.array(ids, np.int64))

    def canonical(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Ids that were given earlier, as they are now that more lines were seen, same shape."""
        return np.array([self._root(i) for i in range(len(self._parent))], np.int64)[ids]

    def canonical_id(self, template_id: int) -> int:
        """One id that was given earlier, as it is now."""
        return self._root(template_id)

    def template(self, template_id: int) -> str:
        """A template's text, values as `<*>`."""
        return " ".join(self._words[self._root(template_id)])

    def templates(self) -> dict[int, str]:
        """All templates that are their own, by id."""
        return {i: self.template(i) for i in range(1, len(self._parent)) if self._parent[i] == i}

    def _root(self, template_id: int) -> int:
        while self._parent[template_id] != template_id:
            self._parent[template_id] = self._parent[self._parent[template_id]]
            template_id = self._parent[template_id]
        return template_id

    def _learn(self, words: Words) -> int:
        found = self._match(collapsed(words))
        if len(self._lines) >= MOST_LINES:
            self._lines.clear()
        if found != OVERFLOW:
            self._lines[words] = found
        return found

    def _match(self, words: Words) -> int:
        known = self._ids.get(words)
        if known is not None:
            return self._root(known)
        label = _text_after(words)
        if label:
            tail = self._tails.get(words[:label])
            if tail is not None and tail.opened is not None:
                return self._root(tail.opened)
        for place in range(len(words)):
            seen = self._places.get(_around(words, place))
            if seen is not None and seen.opened is not None:
                self._ids[words] = seen.opened
                return self._root(seen.opened)
        if len(self._parent) > MOST_TEMPLATES:
            self.overflowed += 1
            return OVERFLOW
        return self._add(words)

    def _add(self, words: Words) -> int:
        """A new template; it may be what shows that several are one."""
        new = len(self._parent)
        self._parent.append(new)
        self._words.append(words)
        self._ids[words] = new
        self._note(words, new)
        return self._root(new)

    def _note(self, words: Words, template: int) -> None:
        label = _text_after(words)
        if label:
            self._note_tail(words, label, template)
        for i, word in enumerate(words):
            if word == VALUE or _names_the_rest(words, i):
                continue
            place = self._places.setdefault(_around(words, i), _Place())
            if place.opened is not None:
                self._join(template, place.opened)
                return
            place.words.add(word)
            place.templates.add(template)
            if place.opened is None and len(place.words) > 1 and self._varies(place.words, words, i):
                merged = self._merge(place.templates, (*words[:i], VALUE, *words[i + 1 :]))
                place.opened = merged
                if len(self._names) < MOST_TEMPLATES:
                    self._names |= place.words
                place.words = set()
                place.templates = set()
                return  # the merged template was noted in its own right

    def _varies(self, seen: set[str], words: Words, place: int) -> bool:
        """Whether the words seen at one place are values of one template rather than words of several."""
        rest = [word for i, word in enumerate(words) if i != place and is_word(word)]
        sentence = sum(word.islower() for word in rest) > 1
        evidence = 0.0
        for word in seen:
            core = word.strip("()[]{}<>'\"`,;:.!?")
            if VALUE in word:
                evidence += MASKED
            elif word in self._names or not (core.isalpha() and (core.islower() or core.istitle() or core.isupper())):
                evidence += NAMED
            else:
                evidence += SHOUTED if sentence and core.isupper() else PLAIN
        return evidence >= (ENOUGH if len(rest) > 1 else ENOUGH * BARE)

    def _note_tail(self, words: Words, label: int, template: int) -> None:
        tail = self._tails.setdefault(words[:label], _Tail())
        if tail.opened is not None:
            self._join(template, tail.opened)
            return
        tail.texts.add(words[label:])
        tail.templates.add(template)
        if len(tail.texts) >= TAIL_TEXTS and len({len(text) for text in tail.texts}) >= TAIL_LENGTHS:
            tail.opened = self._merge(tail.templates, (*words[:label], VALUE))
            tail.texts, tail.templates = set(), set()

    def _join(self, one: int, other: int) -> None:
        """Make two templates one, under the older id, with the text of `other`."""
        roots = sorted({self._root(one), self._root(other)})
        self._words[roots[0]] = self._words[self._root(other)]
        self._parent[roots[-1]] = roots[0]

    def _merge(self, templates: set[int], words: Words) -> int:
        """Make several templates one, under the oldest id, with the text `words`."""
        words = collapsed(words)
        roots = {self._root(template) for template in templates}
        known = self._ids.get(words)
        if known is not None:
            roots.add(self._root(known))
        oldest = min(roots)
        for root in roots:
            self._parent[root] = oldest
        self._words[oldest] = words
        if known is None:
            self._ids[words] = oldest
            self._note(words, oldest)
        return self._root(oldest)


def _around(words: Words, place: int) -> tuple[int, Words, Words]:
    return place, words[:place], words[place + 1 :]


def _names_the_rest(words: Words, place: int) -> bool:
    """Whether a word is a component before a colon that opens the line, or a severity: never a template's value."""
    word = words[place]
    if word.strip("[]()<>:").lower() in SEVERITIES:
        return True
    opens = not any(is_word(before) and not _is_label(before) for before in words[:place])
    return word[-1] == ":" and VALUE not in word and opens


def _is_label(word: str) -> bool:
    return word[-1] == ":" and word[:-1].replace("-", "").replace("_", "").isalpha()


def _text_after(words: Words) -> int:
    """Where the text after a label begins that does not open a message; 0 if there is none.

    That is a second label (`LOG: statement:`), or a first one in capitals that is no severity (`STATEMENT:`).
    """
    labels = 0
    for i, word in enumerate(words[:-1]):
        if _is_label(word):
            labels += 1
            if labels > 1 or (word.isupper() and word[:-1].lower() not in SEVERITIES):
                return i + 1
    return 0
