"""What the English of log lines says about a word that may be a value: closed classes only, no program's names."""

from __future__ import annotations

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Words of grammar are the message wherever they stand.
FUNCTION_WORDS: Final = _words(
    """
    a an the this that these those of to in into on onto at by for from with without within via over under between
    through during after before until since as is are was were be been being has have had do does did will would can
    could cannot may might must shall should not no and or nor but if then else than because while when where which
    who it its their there here all any some more most very too still yet already again only also just
    """
)
# What log lines call by a name that follows: `user ana`, `for device disk`.
NAMED_THINGS: Final = _words(
    """
    user username login account group role host hostname node device dev interface iface database db table schema
    queue topic domain zone container pod volume plugin module package unit job task process program command script
    thread player file directory partition named called name
    """
)
# What has a state or a kind for its value, whatever word that is.
ATTRIBUTES: Final = frozenset({"status", "state", "mode", "level", "type", "phase", "stage", "reason", "result"})
_STATES: Final = _words(
    """
    up down on off ok good bad ready idle busy lost dead alive empty full open unknown missing available unavailable
    active inactive offline online healthy unhealthy normal abnormal success successful successfully failure fail
    complete incomplete valid invalid present absent begin end start stop pause resume done over low high
    """
)


def is_state(word: str) -> bool:
    """Whether a plain word names a state or an act (`idle`, `started`, `running`), which seldom is a thing's name."""
    lower = word.lower()
    return lower in _STATES or (len(lower) > 4 and lower.endswith(("ed", "ing")))
