"""The colours of both themes, in one place: the style sheet's variables mirror these.

The state colours follow Okabe and Ito's set for colour-blind readers (https://jfly.uni-koeln.de/color/),
darkened or lightened until text in them has a contrast of at least 4.5 to 1 on its surface. Colour never
stands alone: every state also has its own shape and its own word (see `health`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Scheme = Literal["light", "dark"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """What a figure needs to fit the page around it. Every field is a CSS colour."""

    scheme: Scheme
    surface: str
    text: str
    muted: str
    line: str
    rate: str
    errors: str
    latency: str
    latency_soft: str
    accent: str
    ok: str
    degraded: str
    failing: str
    silent: str
    unknown: str
    people: tuple[str, ...]


LIGHT = Palette(
    scheme="light",
    surface="#ffffff",
    text="#17212b",
    muted="#55636f",
    line="#e2e7ec",
    rate="#3f6f8f",
    errors="#b8420a",
    latency="#5b4fb3",
    latency_soft="#b3aedd",
    accent="#0b6b74",
    ok="#0a7a5a",
    degraded="#8f5f00",
    failing="#b8420a",
    silent="#8a3575",
    unknown="#55636f",
    people=("#0b6b74", "#5b4fb3", "#8f5f00", "#8a3575", "#3f6f8f", "#0a7a5a"),
)
DARK = Palette(
    scheme="dark",
    surface="#161d23",
    text="#e4eaef",
    muted="#96a5b1",
    line="#2a343d",
    rate="#7fb2d3",
    errors="#ff9361",
    latency="#ada3f5",
    latency_soft="#5a5391",
    accent="#58c4cb",
    ok="#4fc79c",
    degraded="#f0b84a",
    failing="#ff9361",
    silent="#e59ad2",
    unknown="#96a5b1",
    people=("#58c4cb", "#ada3f5", "#f0b84a", "#e59ad2", "#7fb2d3", "#4fc79c"),
)


def palette(scheme: str) -> Palette:
    """The colours of a scheme; anything unknown reads as light."""
    return DARK if scheme == "dark" else LIGHT


def translucent(colour: str, alpha: float) -> str:
    """A colour through which others show: at 0 it is not there, at 1 it covers them.

    >>> translucent("#ff9361", 0.9)
    'rgba(255,147,97,0.9)'
    """
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"
