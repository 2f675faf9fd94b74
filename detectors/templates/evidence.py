"""How much speaks for values, and not for words of several messages, in one place of lines that are otherwise the same.

Each different word seen there adds evidence, by what kind of word it is; the rest of the line, the context, decides how
much is wanted. Names with punctuation count for more than plain words and identifiers of code, which are as likely to
be the message; states and participles count least. Without a word of context nothing is ever a value.
"""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from detectors.templates.english import ATTRIBUTES, FUNCTION_WORDS, NAMED_THINGS, is_state
from detectors.templates.shape import VALUE
from detectors.templates.statement import Words, is_code, is_plain

ENOUGH: Final = 2.0  # evidence that a place holds a value
PLAIN: Final = 0.5  # evidence of one plain word: four of them
STATE: Final = 0.25  # of one plain word that names a state or an act: `started`, `idle`
ATTRIBUTE: Final = 0.8  # of one plain word, whatever it is, after `status` and the like
SHOUTED: Final = 0.75  # of one plain word in capitals within a sentence: three of them
IN_CONTEXT: Final = 0.75  # of one plain word in a long line, all the rest of which stayed the same
NAMED: Final = 1.0  # of one word with punctuation inside, after `user` and the like, or that was a value elsewhere
MASKED: Final = 1.5  # of a value that was masked already: it and one word
BARE: Final = 2.0  # times the evidence wanted where the context is not full
FULL: Final = 1.5  # words of context
HALF: Final = 0.5  # of a word, what a name from code or a word of grammar counts as context
LONG: Final = 8.0  # words of a long context
LED: Final = 2.0  # words of context, so that `user` before the place counts


@dataclass(frozen=True, slots=True)
class Around:
    """The literals before and after a place, and how many of all are the line's header."""

    before: Words
    after: Words
    header: int

    @property
    def in_header(self) -> bool:
        """Whether the place is in the header: a component's name, a thread, a host."""
        return len(self.before) < self.header

    def context(self) -> Words:
        """The message's other literals."""
        if self.in_header:
            return self.after[self.header - len(self.before) - 1 :]
        return self.before[self.header :] + self.after


def varies(words: AbstractSet[str], masked: bool, names: AbstractSet[str], around: Around) -> bool:
    """Whether the words seen in a place, and perhaps masked values there, are values of one template.

    Args:
        words: the different words seen.
        masked: whether a masked value was seen there, too.
        names: plain words that were values elsewhere.
        around: the rest of the line.
    """
    if len(words) + masked < 2:
        return False
    rest = around.context()
    context = weight(rest)
    if context < HALF:
        return False
    found = MASKED if masked else 0.0
    for word in words:
        if word == VALUE:
            found += MASKED
        elif word in names or not (is_plain(word) or word.endswith(")") or is_code(word)):
            found += NAMED
        elif not around.in_header or not is_plain(word):
            found += _of_word(word, around, rest, context)
        elif masked:  # a component, unless others are masked there
            found += PLAIN
    full = context >= FULL or (around.in_header and words <= names)
    return found >= (ENOUGH if full else ENOUGH * BARE)


def weight(literals: Collection[str]) -> float:
    """How many words of context literals count for."""
    total = 0.0
    for word in literals:
        if word[-1] not in "=:)" and word != VALUE:
            total += 1.0 if is_plain(word) and word.lower() not in FUNCTION_WORDS else HALF
    return total


def _of_word(word: str, around: Around, rest: Words, context: float) -> float:
    before = around.before[-1].lower() if around.before else ""
    if before in ATTRIBUTES:
        return ATTRIBUTE
    if is_state(word) or (word.istitle() and len(around.before) == around.header):  # a sentence begins with a capital
        return STATE
    if context >= LED and before in NAMED_THINGS:
        return NAMED
    if word.isupper():
        return SHOUTED if sum(map(str.islower, rest)) > 1 else STATE
    return IN_CONTEXT if context >= LONG else PLAIN
