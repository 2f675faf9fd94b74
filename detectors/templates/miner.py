"""Log lines to templates, online, with one setting for every program.

Idea, after Drain (He et al., ICWS 2017) but deciding on evidence instead of a similarity threshold: tokens that are
certainly values are masked by their characters (`shape`); what is left of a line are its statement's literal words
(`statement`), and lines of the same literal words are of one template. Then a literal becomes a value when enough
different words were seen in its place while all the rest stayed the same (`evidence`), or when two or three names
vary at once (`at_once`). What was a value in one message is one in others. A label after a label (`LOG: statement:
...`) that was followed by texts of many lengths takes the rest of the line as one value.

No template is all value, unless its lines hold no letter. Fails where a program writes prose that never repeats, and
where the words of two different messages differ in one place only and there are many of them. Costs about 4 µs a line
once its words are known.

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

from detectors.templates.at_once import NamesAtOnce, without_names
from detectors.templates.english import FUNCTION_WORDS, is_state
from detectors.templates.evidence import FULL, Around, varies, weight
from detectors.templates.shape import VALUE, Shapes, only_numbers_masked
from detectors.templates.statement import MARKS, Statement, Words, statement, text_after, without_asides

ASIDE: Final = 3.0  # words of a line whose aside at the end may be left out
SHARED: Final = 3  # words and keys that two records must share to be one with optional fields
MOST_RECORDS: Final = 16  # sets of keys that are compared for the same words
MOST_DATA: Final = 2  # words of a line that may be a message although each seems a value
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
    masked: bool = False  # whether a masked value was seen there, too
    opened: int | None = None

    def varies(self, names: set[str], around: Around) -> bool:
        """Whether the words are values."""
        return varies(self.words, self.masked, names, around)


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
        self._gaps: dict[Words, frozenset[int]] = {}
        self._words: list[Words] = [(VALUE,)]
        self._parent: list[int] = [0]
        self._places: dict[tuple[Words, Words], _Place] = {}
        self._records: dict[Words, list[tuple[frozenset[str], int]]] = {}
        self._at_once = NamesAtOnce()
        self._asides: dict[Words, int] = {}  # what has an aside, without it: the first template with one
        self._tails: dict[Words, _Tail] = {}
        self._names: set[str] = set()  # words that turned out to be values
        self._holders: dict[str, list[Statement]] = {}  # words, and the statements in which they were seen
        self._unsettled: list[Statement] = []  # statements with a word that was found to be a value since
        self.overflowed = 0

    def add_many(self, lines: Iterable[str]) -> npt.NDArray[np.int64]:
        """Learn lines in order and return their template ids, (n_lines,)."""
        shape, known = self._shapes.of, self._lines
        ids = []
        for line in lines:
            words = shape(line)
            found = known.get(words)
            if found is None:
                found = self._learn(words, line)
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

    def _learn(self, words: Words, line: str) -> int:
        if len(words) <= MOST_DATA and not any(map(str.isalpha, "".join(words))):
            return self._match(
                statement(only_numbers_masked(line))
            )  # not remembered: its letters are masked in `words`
        seen = statement(words)
        found = self._match(seen)
        if self._unsettled:
            self._settle()
            found = self._root(found)
        if len(self._lines) >= MOST_LINES:
            self._lines.clear()
        if found != OVERFLOW:
            self._lines[words] = found
        return found

    def _match(self, seen: Statement) -> int:
        literals = seen.literals
        known = self._ids.get(literals)
        if known is not None:
            self._widen(self._root(known), seen)
            return self._root(known)
        label = text_after(seen.words)
        if label:
            tail = self._tails.get(seen.words[:label])
            if tail is not None and tail.opened is not None:
                return self._root(tail.opened)
        for i in range(len(literals)):
            if _may_vary(seen, i):
                place = self._places.get((literals[:i], literals[i + 1 :]))
                if place is not None and place.opened is not None:
                    self._note_names({literals[i]})
                    return self._root(place.opened)
        pattern, nameless = without_names(seen, self._names), self._without_names(seen)
        opened = self._at_once.template(pattern, literals)
        if opened is None and nameless is not None:
            opened = self._ids.get(nameless.literals)
        if opened is not None:
            return self._root(opened)
        if len(self._parent) > MOST_TEMPLATES:
            self.overflowed += 1
            return OVERFLOW
        template = self._add(seen, label, pattern)
        if nameless is not None:
            self._merge({template}, nameless)
        return self._root(template)

    def _widen(self, template: int, seen: Statement) -> None:
        """A known statement's line: what differs from the template's text is a value, and may be one elsewhere."""
        text = self._words[template]
        if text != seen.words and len(text) == len(seen.words):
            pairs = zip(text, seen.words, strict=True)
            self._words[template] = tuple(
                old if old == new or old.strip(MARKS) in seen.literals else VALUE for old, new in pairs
            )
        more = seen.gaps - self._gaps.get(seen.literals, seen.gaps)
        if more:
            self._gaps[seen.literals] |= more
            self._note_gaps(seen, more, template)

    def _add(self, seen: Statement, label: int, pattern: Words) -> int:
        """A new template; it may be what shows that several are one."""
        new = len(self._parent)
        self._parent.append(new)
        self._words.append(seen.words)
        self._ids[seen.literals] = new
        self._gaps[seen.literals] = seen.gaps
        if label:
            self._note_tail(seen.words, label, new)
        self._note_record(seen, new)
        self._note(seen, new)
        self._note_at_once(seen, pattern, new)
        self._note_asides(seen, new)
        for i, word in enumerate(seen.literals):
            if _may_vary(seen, i) and word not in self._names:
                self._holders.setdefault(word, []).append(seen)
        return self._root(new)

    def _settle(self) -> None:
        """Look again at statements of which a word was found to be a value in another."""
        while self._unsettled:
            seen = self._unsettled.pop()
            template, literals = self._root(self._ids[seen.literals]), seen.literals
            for i in range(len(literals)):
                around = literals[:i], literals[i + 1 :]
                place = self._places.get(around) if _may_vary(seen, i) else None
                if place is None:
                    continue
                if place.opened is not None:
                    self._join(template, place.opened)
                    continue
                self._note_masked(place, seen, i)
                if place.varies(self._names, Around(*around, seen.header)):
                    self._open(place, _masked_at(seen, [i]))
            pattern, nameless = without_names(seen, self._names), self._without_names(seen)
            opened = self._at_once.template(pattern, literals)
            if opened is not None:
                self._join(template, opened)
            elif nameless is not None:
                self._merge({template}, nameless)
            else:
                self._note_at_once(seen, pattern, template)

    def _note(self, seen: Statement, template: int) -> None:
        """Note each literal beside what else was seen in its place."""
        literals = seen.literals
        for i, word in enumerate(literals):
            if not _may_vary(seen, i):
                continue
            around = literals[:i], literals[i + 1 :]
            place = self._places.setdefault(around, _Place())
            if place.opened is not None:
                self._join(template, place.opened)
                return
            place.words.add(word)
            place.templates.add(template)
            self._note_masked(place, seen, i)
            if place.varies(self._names, Around(*around, seen.header)):
                self._open(place, _masked_at(seen, [i]))
                return  # the merged template was noted in its own right
        self._note_gaps(seen, seen.gaps, template)

    def _note_masked(self, place: _Place, seen: Statement, i: int) -> None:
        """Note whether other lines, otherwise the same, have a masked value where this one has a word."""
        without = seen.literals[:i] + seen.literals[i + 1 :]
        beside = seen.gaps & {i, i + 1}  # the other's value may be what stands beside this word
        if i in self._gaps.get(without, ()) and (not beside or i < seen.header or seen.literals[i] in self._names):
            place.masked = True
            place.templates.add(self._ids[without])

    def _note_gaps(self, seen: Statement, gaps: frozenset[int], template: int) -> None:
        """Note that values were masked where other lines, otherwise the same, have a word."""
        for gap in gaps:
            around = seen.literals[:gap], seen.literals[gap:]
            place = self._places.get(around)
            if place is None:
                continue
            if place.opened is not None:
                self._join(template, place.opened)
                continue
            beside = {gap, gap + 1}
            if gap > seen.header and any(
                self._gaps.get((*around[0], word, *around[1]), beside) & beside for word in place.words
            ):
                continue
            place.masked = True
            place.templates.add(template)
            if place.varies(self._names, Around(*around, seen.header)):
                self._open(place, seen)

    def _open(self, place: _Place, masked: Statement) -> None:
        """From now on, whatever word stands in this place is a value of the template `masked`."""
        place.opened = self._merge(place.templates, masked)
        self._note_names(place.words)
        place.words, place.templates = set(), set()

    def _note_names(self, words: set[str]) -> None:
        """Words that turned out to be values may be values elsewhere, too."""
        for word in words - self._names:
            if not is_state(word) and len(self._names) < MOST_TEMPLATES:
                self._names.add(word)
                self._unsettled += self._holders.pop(word, [])

    def _note_record(self, seen: Statement, template: int) -> None:
        """Make one what differs in optional keys only."""
        if not seen.keys:
            return
        words = tuple(word for word in seen.literals if word not in seen.keys)
        records = self._records.setdefault(words, [])
        for keys, other in records:
            subset = keys <= seen.keys or seen.keys <= keys
            if subset and len(words) + len(keys & seen.keys) >= SHARED:
                self._join(other, template)
        if len(records) < MOST_RECORDS:
            records.append((seen.keys, template))

    def _note_asides(self, seen: Statement, template: int) -> None:
        """Make one what differs in an aside at its end, if all the rest is long and no other aside was seen there."""
        longer = self._asides.get(seen.literals)
        if longer is not None:
            self._join(template, longer)
        for shorter in without_asides(seen):
            if weight(shorter[seen.header :]) < ASIDE or self._asides.setdefault(shorter, template) != template:
                continue
            if shorter in self._ids:
                self._join(self._ids[shorter], template)

    def _without_names(self, seen: Statement) -> Statement | None:
        """The statement with masked values where it has names that were values elsewhere; None if it has none.

        In a message of few other words only the names in its header are masked.
        """
        literals = seen.literals
        places = [i for i, word in enumerate(literals) if word in self._names and _may_vary(seen, i)]
        rest = [word for i, word in enumerate(literals) if i >= seen.header and i not in places]
        if weight(rest) < FULL:
            places = [i for i in places if i < seen.header]
        return _masked_at(seen, places) if places else None

    def _note_at_once(self, seen: Statement, pattern: Words, template: int) -> None:
        """Make one what differs in two or three names at once."""
        places, fitting = self._at_once.note(seen, pattern, template)
        if places:
            self._merge({template, *(member for _, member in fitting)}, _masked_at(seen, places))
            self._note_names({literals[i] for literals, _ in fitting for i in places})

    def _note_tail(self, words: Words, label: int, template: int) -> None:
        tail = self._tails.setdefault(words[:label], _Tail())
        if tail.opened is not None:
            self._join(template, tail.opened)
            return
        tail.texts.add(words[label:])
        tail.templates.add(template)
        if len(tail.texts) >= TAIL_TEXTS and len({len(text) for text in tail.texts}) >= TAIL_LENGTHS:
            tail.opened = self._merge(tail.templates, statement((*words[:label], VALUE)))
            tail.texts, tail.templates = set(), set()

    def _join(self, one: int, other: int) -> None:
        """Make two templates one, under the older id, with the text of `other`."""
        roots = sorted({self._root(one), self._root(other)})
        self._words[roots[0]] = self._words[self._root(other)]
        self._parent[roots[-1]] = roots[0]

    def _merge(self, templates: set[int], masked: Statement) -> int:
        """Make several templates one, under the oldest id, with the text of `masked`."""
        roots = {self._root(template) for template in templates}
        known = self._ids.get(masked.literals)
        if known is not None:
            roots.add(self._root(known))
        oldest = min(roots)
        for root in roots:
            self._parent[root] = oldest
        self._words[oldest] = masked.words
        if known is None:
            self._ids[masked.literals] = oldest
            self._gaps[masked.literals] = masked.gaps
            self._note(masked, oldest)
            self._note_asides(masked, oldest)
        return self._root(oldest)


def _may_vary(seen: Statement, literal: int) -> bool:
    """Whether a literal may be a value: some other word is left of the line, and grammar does not forbid it."""
    return not seen.fixed[literal] and len(seen.literals) > 1 and seen.literals[literal] not in FUNCTION_WORDS


def _masked_at(seen: Statement, literals: list[int]) -> Statement:
    """The statement with some of its literals as values."""
    words = list(seen.words)
    for i in literals:
        word = words[seen.places[i]]
        words[seen.places[i]] = VALUE if VALUE in word else word.replace(word.strip(MARKS), VALUE)
    return statement(tuple(words))
