"""Foreign text in a plot."""

from __future__ import annotations

from watchkeeper.text import LONGEST_PROSE, one_line


def plot_text(text: object, longest: int = LONGEST_PROSE) -> str:
    """Foreign text in a plot's labels, which read some HTML and %-signs with braces."""
    plain = one_line(text, longest).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return plain.replace("%{", "% {").replace("$", "＄")
