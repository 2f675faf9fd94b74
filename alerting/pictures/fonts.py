"""Which fonts a picture is written with, and what of a foreign text they can show. Used where pictures are drawn."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

# The drawing library brings the first. The others, of which Debian has packages, hold Chinese, Japanese and Korean.
FAMILIES: Final = (
    "DejaVu Sans",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Droid Sans Fallback",
    "IPAGothic",
    "NanumGothic",
    "Unifont",
)
LEFT_OUT: Final = "…"


def installed() -> Sequence[str]:
    """Those of `FAMILIES` that this machine has, in their order: a glyph comes from the first that has it."""
    from matplotlib.font_manager import fontManager

    known = set(fontManager.get_font_names())
    return [family for family in FAMILIES if family in known]


def legible(text: str, families: Sequence[str], weight: str = "normal") -> str:
    """A text without what no font can show, which a reader would see as boxes: each run of it becomes `LEFT_OUT`.

    The message above a picture has the whole text.
    """
    from matplotlib.font_manager import FontProperties, fontManager, get_font

    files = [fontManager.findfont(FontProperties(family=family, weight=weight)) for family in families]
    shown = {chr(code) for file in files for code in get_font(file).get_charmap()} | {" "}
    lacking = "".join(set(text) - shown)
    return re.sub(f"[{re.escape(lacking)}{LEFT_OUT}]+", LEFT_OUT, text) if lacking else text
