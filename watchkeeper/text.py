"""Foreign text: names, messages and notes that somebody else wrote, and how each place that shows them keeps it inert.

Whatever a name holds, it does nothing where it is shown but stand there, and it never takes more room than its place
has. There is one function for each sink, applied where the text leaves; `one_line`, `seen_name` and `prose` are what
all of them build on.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Final
from urllib.parse import quote, urlsplit

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


def _is_unseen(character: str) -> bool:
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
        plain = " ".join("".join(" " if _is_unseen(c) else c for c in raw).split())
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
    if not _is_unseen(character) and (character == " " or not character.isspace()):
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


# Slack

_SLACK: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "*": "∗", "~": "∼", "`": "\u02cb"}
_EMOJI: Final = re.compile(r":([\w+'-]*[a-z][\w+'-]*):", re.ASCII | re.IGNORECASE)
# Slack makes italics of what stands between underscores that touch a blank or a sign; within a name they do nothing.
_ITALIC: Final = re.compile(r"(?<![^\W_])_|_(?![^\W_])")


def slack_text(text: object, longest: int = LONGEST_PROSE) -> str:
    """Foreign text within Slack's markup: it mentions nobody, links nowhere and formats nothing.

    Slack has no way to escape its signs for bold, struck and code, nor its emoji; they become signs that look alike.

    >>> slack_text("<!channel> *now* :tada: cart_service")
    '&lt;!channel&gt; ∗now∗ :tada∶ cart_service'
    """
    plain = _ITALIC.sub("ˍ", _EMOJI.sub(r":\1∶", prose(text, longest)))
    escaped = [_SLACK.get(character, character) for character in plain]
    if escaped[0] == "&gt;":
        escaped[0] = "›"  # at the start of a line it would be a quotation
    return _fitting(escaped, longest)


def slack_plain(text: object, longest: int) -> str:
    """Foreign text in a field that has no markup, such as a header, a button or a choice."""
    return one_line(text, longest).replace("<", "‹").replace(">", "›")


def _fitting(parts: list[str], longest: int) -> str:
    """As many parts as fit, none of them cut."""
    used = 0
    for count, part in enumerate(parts):
        used += len(part)
        if used > longest:
            while used > longest - 1:
                used -= len(parts[count])
                count -= 1  # noqa: PLW2901 - walks back to what leaves room for the ellipsis
            return "".join(parts[: count + 1]) + "…"
    return "".join(parts)


# Markdown

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


# Other sinks


def plot_text(text: object, longest: int = LONGEST_PROSE) -> str:
    """Foreign text in a plot's labels, which read some HTML and %-signs with braces."""
    plain = one_line(text, longest).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return plain.replace("%{", "% {").replace("$", "＄")


def csv_cell(text: str) -> str:
    """Foreign text in a cell that a spreadsheet may open: never a formula.

    >>> csv_cell("=1+1"), csv_cell("a=b")
    ("'=1+1", 'a=b')
    """
    clean = "".join(" " if _is_unseen(character) else character for character in text)
    return f"'{clean}" if clean.lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠")) else clean


def page_text(text: str, longest: int = 4000) -> str:
    """Foreign text in a page, whose markup whoever draws it escapes: what is unseen is written as its code.

    >>> page_text("a\\u202eb\\r\\nc")
    'a\\\\u202eb\\nc'
    """
    if text.isascii() and text.isprintable() and len(text) <= longest:
        return text
    cut = text if len(text) <= longest else text[: longest - 1] + "…"
    return "".join(_coded(c) if _is_unseen(c) and c not in "\n\t" else c for c in cut.replace("\r\n", "\n"))
