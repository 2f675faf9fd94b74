"""Foreign text in Slack's messages: it mentions nobody, links nowhere and formats nothing."""

from __future__ import annotations

import re
from typing import Final

from watchkeeper.text import LONGEST_PROSE, one_line, prose

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
