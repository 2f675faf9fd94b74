"""Foreign text: names, messages and notes that somebody else wrote, and how each place that shows them keeps it inert.

Whatever a name holds, it does nothing where it is shown but stand there, and it never takes more room than its place
has. Each sink (Slack, Markdown, a plot) has a function of its own in the package that writes to it, applied where the
text leaves; `one_line`, `seen_name` and `prose` are what all of them build on.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

LONGEST_TEXT: Final = 300
LONGEST_NAME: Final = 80
LONGEST_PROSE: Final = 500
LONGEST_WORD: Final = 200  # a longer one breaks a layout; addresses are mostly shorter
BLANK: Final = "(blank)"
# Cc: control, Cf: format (direction marks, zero width), Cs: half a surrogate pair, Zl and Zp: line separators.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Letters that look like nothing at all.
_HOLLOW: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_LONG_WORD: Final = re.compile(rf"\S{{{LONGEST_WORD + 1},}}")
_MOST_READ: Final = 20_000  # of a text, in characters: what lies behind is never shown anyway


def is_unseen(character: str) -> bool:
    """Whether a character shows nothing of itself, such as a control, a direction mark or half a surrogate pair."""
    return character in _HOLLOW or unicodedata.category(character) in _UNSEEN


def one_line(text: object, longest: int = LONGEST_TEXT) -> str:
    """Foreign text as one printable line of at most `longest` characters: no control, no format character, never empty.

    >>> one_line("a\\x00b\\nc")
    'a b c'
    >>> one_line("   ")
    '(blank)'
    """
    raw = str(text)[: 4 * longest]
    if raw.isascii() and raw.isprintable():
        plain = " ".join(raw.split())
    else:
        plain = " ".join("".join(" " if is_unseen(c) else c for c in raw).split())
    if not plain:
        return BLANK
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"


def seen_name(text: str, longest: int = LONGEST_NAME) -> str:
    """A name as it can be seen, so that two that differ look different: what is unseen is written as its code.

    A name that is too long ends with a few digits of its hash.

    >>> seen_name("cart"), seen_name(" "), seen_name("pay\\u200bments"), seen_name("a\\n")
    ('cart', '(blank)', 'pay\\\\u200bments', 'a\\\\x0a')
    """
    if text.isascii() and text.isprintable() and text == " ".join(text.split()) and 0 < len(text) <= longest:
        return text
    if not text.strip():
        return BLANK if text in ("", " ") else f"(blank, {_digest(text)})"
    seen = "".join(_coded(character) for character in text[: longest + 1])
    # Blanks at an end, or several together, are lost in most places.
    seen = re.sub(r"^ +| +$|(?<= ) +", lambda blanks: "\\x20" * len(blanks[0]), seen)
    if len(text) <= longest and len(seen) <= 2 * longest:
        return seen
    return f"{seen[: longest - 7]}…{_digest(text)}"


def _coded(character: str) -> str:
    if not is_unseen(character) and (character == " " or not character.isspace()):
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65_536 else f"\\U{code:08x}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]


def prose(text: object, longest: int = LONGEST_PROSE) -> str:
    """A sentence or a note as one printable line, with its longest words shortened in the middle."""
    return one_line(_LONG_WORD.sub(_shortened, str(text)[:_MOST_READ]), longest)


def _shortened(word: re.Match[str]) -> str:
    return f"{word[0][: LONGEST_WORD - 60]}…{word[0][-40:]}"


def page_text(text: str, longest: int = 4000) -> str:
    """Foreign text in a page, whose markup whoever draws it escapes: what is unseen is written as its code.

    >>> page_text("a\\u202eb\\r\\nc")
    'a\\\\u202eb\\nc'
    """
    if text.isascii() and text.isprintable() and len(text) <= longest:
        return text
    cut = text if len(text) <= longest else text[: longest - 1] + "…"
    return "".join(_coded(c) if is_unseen(c) and c not in "\n\t" else c for c in cut.replace("\r\n", "\n"))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The names that are near a wrong one, as the end of a sentence; all where none is.

    >>> did_you_mean("chekout", ["checkout", "search"])
    '; did you mean checkout?'
    >>> did_you_mean("x", ["checkout", "search"])
    '; there are: checkout, search'
    """
    names = list(known)
    near = get_close_matches(name, names, n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(near)}?" if near else f"; there are: {', '.join(names) or 'none'}"
