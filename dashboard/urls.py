"""Everything that a reader chose stands in the address: range, filters and selection.

    /services?range=30m&service=cart
    /services?from=2026-11-25T02:40:00Z&to=2026-11-25T03:10:00Z&service=cart

`range` follows the present; `from` and `to` stay where they are, so that is what a shared link carries. A page may have
choices of its own beside the ones that all pages share:

    /traces?service=cart&status=failed&min=250ms
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode

from watchkeeper.vocabulary import Window

RANGES: dict[str, int] = {
    "5m": 300,
    "15m": 900,
    "30m": 1800,
    "1h": 3600,
    "3h": 10_800,
    "12h": 43_200,
    "24h": 86_400,
    "7d": 604_800,
}
DEFAULT_RANGE = "30m"
LONGEST = timedelta(days=31)
BUCKETS = 120
NOW_S = 120.0  # of a window, what counts as now
# Choices of a page's own: their names, how many, and how long one may be.
_NAME: Final = re.compile(r"[a-z][a-z0-9_.-]{0,40}")
MOST_CHOICES: Final = 24
LONGEST_CHOICE: Final = 1000
_STEPS = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the address asks for. `start` and `end` are both set, or neither is and `range` follows now.

    `choices` are those that one page alone knows, by name.
    """

    path: str = "/"
    range: str = DEFAULT_RANGE
    start: datetime | None = None
    end: datetime | None = None
    service: str | None = None
    state: str = ""
    severity: str = ""
    words: str = ""
    problem: str = ""
    choices: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def choice(self, name: str, default: str = "") -> str:
        """What the address has for a choice of the page's own."""
        return self.choices.get(name, default)

    @property
    def is_live(self) -> bool:
        """Whether the page follows the present."""
        return self.start is None or self.end is None

    def window(self, now: datetime) -> Window:
        """The span of time on show. When live it ends at the last whole five seconds, so that viewers share answers."""
        if self.start is not None and self.end is not None:
            return Window(start=self.start, end=self.end)
        return Window.last(RANGES[self.range], until=floor_5s(now))

    def step_s(self, now: datetime) -> int:
        """Seconds a bucket, so that about 120 buckets fill the window."""
        return step_for(self.window(now))

    def link(self, path: str | None = None, **changes: str | None) -> str:
        """The address of this view with another path or other choices; None or "" takes a choice out.

        `service`, `state`, `severity`, `words` and `range` go along to another page; a page's own choices stay behind.
        """
        shared = {name: value for name, value in changes.items() if name in _SHARED}
        own = {} if path not in (None, self.path) else dict(self.choices)
        own |= {name: value or "" for name, value in changes.items() if name not in _SHARED}
        view = replace(
            self,
            path=path if path is not None else self.path,
            choices={name: value for name, value in own.items() if value},
            **shared,  # type: ignore[arg-type]
        )
        if "range" in changes:
            view = replace(view, start=None, end=None)
        return view.address()

    def between(self, start: datetime, end: datetime) -> View:
        """The same view of another span of time, fixed."""
        return replace(self, start=start, end=end)

    def frozen(self, now: datetime) -> str:
        """The address to share: the same span of time whenever somebody opens it."""
        window = self.window(now)
        return replace(self, start=window.start, end=window.end).address()

    def address(self) -> str:
        """Path and query; what is as usual stays out."""
        query: dict[str, str] = {}
        if self.start is not None and self.end is not None:
            query |= {"from": _stamp(self.start), "to": _stamp(self.end)}
        elif self.range != DEFAULT_RANGE:
            query["range"] = self.range
        if self.service:
            query["service"] = self.service
        if self.state:
            query["state"] = self.state
        if self.severity:
            query["severity"] = self.severity
        if self.words:
            query["q"] = self.words
        query |= self.choices
        return self.path + (f"?{urlencode(query, safe=':', errors='replace', quote_via=quote)}" if query else "")


_SHARED: Final = frozenset(each.name for each in fields(View)) - {"path", "choices", "problem", "start", "end"}
_READ_ABOVE: Final = frozenset({"range", "from", "to", "service", "state", "severity", "q"})


def parse(path: str | None, search: str | None) -> View:
    """Read an address. What cannot be read is left at its default, and `problem` names it."""
    choices = dict(parse_qsl((search or "").removeprefix("?")))
    problems: list[str] = []
    span = choices.get("range", DEFAULT_RANGE)
    if span not in RANGES:
        problems.append(f"range={span} is not one of {', '.join(RANGES)}")
        span = DEFAULT_RANGE
    start = end = None
    if "from" in choices or "to" in choices:
        start, end = _moment(choices.get("from", "")), _moment(choices.get("to", ""))
        if start is None or end is None or not timedelta(0) < end - start <= LONGEST:
            problems.append(
                "from and to must be two times such as 2026-11-25T02:40:00Z, "
                f"in order, at most {LONGEST.days} days apart"
            )
            start = end = None
    own = _own_choices(choices, problems)
    return View(
        path=path or "/",
        range=span,
        start=start,
        end=end,
        service=choices.get("service") or None,
        state=choices.get("state", ""),
        severity=choices.get("severity", ""),
        words=choices.get("q", "")[:200],
        problem="; ".join(problems),
        choices=own,
    )


def _own_choices(given: Mapping[str, str], problems: list[str]) -> Mapping[str, str]:
    """The choices that are a page's own; what is too long or too many is left out, and `problems` says so."""
    own = {name: value for name, value in given.items() if name not in _READ_ABOVE and _NAME.fullmatch(name) and value}
    if len(own) > MOST_CHOICES:
        problems.append(f"the address has {len(own)} choices; the first {MOST_CHOICES} are used")
        own = dict(list(own.items())[:MOST_CHOICES])
    for name in [name for name, value in own.items() if len(value) > LONGEST_CHOICE]:
        problems.append(f"{name} is longer than {LONGEST_CHOICE} characters and was left out")
        del own[name]
    return MappingProxyType(own)


def floor_5s(now: datetime) -> datetime:
    """The last whole five seconds: the store's buckets are that long."""
    return datetime.fromtimestamp(int(now.timestamp()) // 5 * 5, UTC)


def lately(window: Window, seconds: float = NOW_S) -> Window:
    """The end of a window, for what flows now: not the mean over the whole range."""
    return Window.last(min(window.seconds, seconds), until=window.end)


def step_for(window: Window, most: int = BUCKETS) -> int:
    """Seconds a bucket, from a short list of round numbers, so that at most so many buckets fill the window."""
    return next((step for step in _STEPS if window.seconds / step <= most), _STEPS[-1])


def incident_path(incident_id: str) -> str:
    return f"/incidents/{quote(incident_id, safe='', errors='replace')}"


def service_path(name: str) -> str:
    return f"/services/{quote(name, safe='', errors='replace')}"


def postmortem_path(incident_id: str) -> str:
    return f"/postmortems/{quote(incident_id, safe='', errors='replace')}"


def experiment_path(experiment_id: str) -> str:
    return f"/chaos/{quote(experiment_id, safe='', errors='replace')}"


def objective_path(name: str) -> str:
    return f"/slos/{quote(name, safe='', errors='replace')}"


def board_path(name: str) -> str:
    return f"/boards/{quote(name, safe='', errors='replace')}"


def trace_path(trace_id: str) -> str:
    return f"/traces/{quote(trace_id, safe='', errors='replace')}"


def _stamp(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _moment(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
        at = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    # The store's clock begins with Unix's, and ends in 2106.
    return at if 1970 < at.year < 2106 else None
