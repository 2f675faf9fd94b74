"""Text from outside as every database and file can hold it: names of a bounded length, no character that breaks.

PostgreSQL takes no NUL and enforces a column's length, SQLite does neither, and UTF-8 has no form for half a surrogate
pair. What is kept is made to fit here, in the same way for all of them.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

LONGEST_NAME: Final = 255
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_SUFFIX: Final = 13  # "…" and 12 hex digits


def storable(text: str) -> str:
    """Text with a replacement character for each NUL and each half of a surrogate pair.

    >>> storable("a\\x00b")
    'a\N{REPLACEMENT CHARACTER}b'
    """
    return _UNSTORABLE.sub(_REPLACEMENT, text)


def bounded(text: str, longest: int = LONGEST_NAME) -> str:
    """A storable name of at most `longest` characters. One that is cut ends with a hash, so that two names stay two.

    >>> len(bounded("a" * 300)), bounded("a" * 300) == bounded("a" * 301), bounded("cart")
    (255, False, 'cart')
    """
    clean = storable(text)
    if len(clean) <= longest:
        return clean
    digest = hashlib.sha256(clean.encode()).hexdigest()
    return digest[:longest] if longest <= _SUFFIX else f"{clean[: longest - _SUFFIX]}…{digest[: _SUFFIX - 1]}"


def shortened(text: str, longest: int) -> str:
    """Storable prose of at most `longest` characters; what is cut is shown as an ellipsis."""
    clean = storable(text[: longest + 1])
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"
