"""Who looks at the page: colour scheme and time zone, as the browser reports them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from dashboard.components.wording import zone_named
from dashboard.palette import Palette, palette


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """Theme, zone, whether the screen is a phone's, and the one `now` that a whole page is drawn with."""

    now: datetime
    zone: ZoneInfo
    palette: Palette
    narrow: bool = False

    def local(self, at: datetime) -> str:
        """A moment as plotly wants it for an axis in the reader's zone: no offset, wall-clock time."""
        return at.astimezone(self.zone).strftime("%Y-%m-%d %H:%M:%S")

    @property
    def zone_label(self) -> str:
        """The zone's short name now, such as `CET`; its IANA name where it has none."""
        short = self.now.astimezone(self.zone).tzname() or ""
        return short if short.isalpha() else self.zone.key


def viewer(stored: Mapping[str, Any], now: datetime) -> Viewer:
    """Read what the browser stored: `{"scheme": "dark", "zone": "Europe/Berlin"}`."""
    return Viewer(
        now=now,
        zone=zone_named(str(stored.get("zone", "UTC"))),
        palette=palette(str(stored.get("scheme", "light"))),
        narrow=bool(stored.get("narrow")),
    )
