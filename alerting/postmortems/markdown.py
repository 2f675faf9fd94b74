"""Foreign text in Markdown: no link, no heading, no picture and no HTML that somebody else wrote."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, urlsplit

from watchkeeper.text import LONGEST_PROSE, one_line, prose

_MARKDOWN: Final = re.compile(r"([\\`*\[\]<>|~$])")
_INTRAWORD: Final = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
_BLOCK: Final = re.compile(r"^([#+\-=>]|\d+[.)])")


def markdown_text(text: object, longest: int = LONGEST_PROSE) -> str:
    """Foreign text within Markdown, also in a table's cell: no link, no heading, no picture, no HTML, no second line.

    >>> markdown_text("# [x](javascript:y) | _z_ a_b")
    '\\\\# \\\\[x\\\\](javascript:y) \\\\| \\\\_z\\\\_ a_b'
    """
    plain = prose(text, longest).replace("&", "&amp;")
    plain = _INTRAWORD.sub(r"\\_", _MARKDOWN.sub(r"\\\1", plain))
    plain = plain.replace("://", r"\://").replace("www.", r"www\.")
    return _BLOCK.sub(lambda start: start[0][:-1] + "\\" + start[0][-1], plain)


def web_address(url: str) -> str:
    """An address that a link may lead to, as it can stand anywhere; empty for anything but http and https."""
    plain = url.strip()
    try:
        parts = urlsplit(plain)
    except ValueError:
        return ""
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or len(plain) > 2000
        or " " in plain
        or one_line(plain, 2000) != plain
    ):
        return ""
    return quote(plain, safe=":/?#@!$&'*+,;=%~-._")
