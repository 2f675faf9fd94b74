"""Foreign text: names, messages and notes that somebody else wrote, and how each place that shows them keeps it inert.

Whatever a name holds, it does nothing where it is shown but stand there, and it never takes more room than its place
has. One function a sink; each is applied where the text leaves, not where it comes in.
"""

from __future__ import annotations

import unicodedata
from typing import Final

LONGEST_TEXT: Final = 300


def one_line(text: object, longest: int = LONGEST_TEXT) -> str:
    """Foreign text as one printable line of at most `longest` characters: no control, no format character, never empty.

    >>> one_line("a\\x00b\\nc")
    'a b c'
    >>> one_line("   ")
    '(blank)'
    """
    raw = str(text)[: 4 * longest]
    # Cc: control, Cf: format (direction marks, zero width), Cs: half a surrogate pair, Zl and Zp: line separators.
    plain = "".join(" " if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") else c for c in raw)
    plain = " ".join(plain.split())
    if not plain:
        return "(blank)"
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"
