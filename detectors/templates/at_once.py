"""Names that vary together: of some hosts, each with some users, no two lines need share all but one word."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Final

from detectors.templates.english import FUNCTION_WORDS, NAMED_THINGS, is_state
from detectors.templates.evidence import FULL, weight
from detectors.templates.statement import Statement, Words, is_plain

MOST_AT_ONCE: Final = 3  # names that may vary together
ENOUGH_LINES: Final = 3  # statements that differ in the same names and nothing else
MOST_COMPARED: Final = 16  # statements that are compared for it

Slots = tuple[str | None, ...]  # a statement's literals; None where names vary
Fitting = list[tuple[Words, int]]  # literals, and their template


class NamesAtOnce:
    """Statements by what is left of them without their names, and which of the names were found to vary."""

    def __init__(self) -> None:
        self._compared: dict[Words, Fitting] = {}
        self._found: dict[Words, list[tuple[Slots, int]]] = {}

    def template(self, pattern: Words, literals: Words) -> int | None:
        """The template of lines in which exactly these names vary."""
        for slots, template in self._found.get(pattern, ()):
            if _fits(slots, literals):
                return template
        return None

    def note(self, seen: Statement, pattern: Words, template: int) -> tuple[list[int], Fitting]:
        """Note a statement; the places at which it and others differ, and the others, if they are enough."""
        if pattern.count("") < 2 or weight([word for word in pattern if word]) < FULL:
            return [], []
        compared = self._compared.setdefault(pattern, [])
        for other, _ in compared:
            places = [i for i, word in enumerate(seen.literals) if other[i] != word]
            if 1 < len(places) <= MOST_AT_ONCE:
                slots = tuple(None if i in places else word for i, word in enumerate(seen.literals))
                fitting = [(literals, member) for literals, member in compared if _fits(slots, literals)]
                if len(fitting) + 1 >= ENOUGH_LINES:
                    self._found.setdefault(pattern, []).append((slots, template))
                    return places, fitting
        if len(compared) < MOST_COMPARED:
            compared.append((seen.literals, template))
        return [], []


def without_names(seen: Statement, names: AbstractSet[str]) -> Words:
    """The literals, empty where one could be a name: by its characters, by the word before, or as a value elsewhere."""
    pattern, before = [], ""
    for word, fixed in zip(seen.literals, seen.fixed, strict=True):
        named = word in names or not is_plain(word) or before.lower() in NAMED_THINGS
        kept = fixed or not named or word in FUNCTION_WORDS or is_state(word)
        pattern.append(word if kept else "")
        before = word
    return tuple(pattern)


def _fits(slots: Slots, literals: Words) -> bool:
    return all(word in (name, None) for word, name in zip(slots, literals, strict=True))
