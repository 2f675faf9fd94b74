"""What the public page shows of the last 90 days: components, incidents and days, from approved updates alone. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from alerting.status_page.updates import IMPACTS, Impact, StatusUpdate
from watchkeeper.config import StatusPageConfig

DAYS: Final = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicUpdate:
    """One update as the public reads it; `at` is when it was approved."""

    at: datetime
    state: str
    impact: Impact
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicIncident:
    """The updates of one incident, newest first, with the names of its components. It has no id."""

    components: tuple[str, ...]
    updates: tuple[PublicUpdate, ...]

    @property
    def is_open(self) -> bool:
        return self.updates[0].state != "resolved"

    @property
    def impact(self) -> Impact:
        """What it means for users now."""
        return self.updates[0].impact if self.is_open else "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicComponent:
    """A component, its state now, and its worst state of each of the last 90 days, oldest first."""

    name: str
    now: Impact
    days: tuple[tuple[date, Impact], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicPage:
    """Everything that the page shows."""

    title: str
    at: datetime
    components: tuple[PublicComponent, ...]
    incidents: tuple[PublicIncident, ...]


def since(now: datetime) -> datetime:
    """From when on the page shows updates."""
    return (now - timedelta(days=DAYS - 1)).replace(hour=0, minute=0, second=0, microsecond=0)


def public_page(page: StatusPageConfig, updates: Sequence[StatusUpdate], now: datetime) -> PublicPage:
    """The page at a time. What is not approved, or not for the public, is left out whoever passes it."""
    by_incident: dict[str, list[StatusUpdate]] = {}
    for one in sorted((one for one in updates if one.is_public), key=_approved):
        by_incident.setdefault(one.incident_id, []).append(one)
    incidents = sorted(by_incident.values(), key=lambda group: _approved(group[-1]), reverse=True)
    names = {component.id: component.name for component in page.components}
    return PublicPage(
        title=page.title,
        at=now,
        components=tuple(_component(component.id, component.name, incidents, now) for component in page.components),
        incidents=tuple(_incident(group, names) for group in incidents),
    )


def _approved(one: StatusUpdate) -> tuple[datetime, str]:
    return one.approved_at or one.at, one.id


def _incident(group: Sequence[StatusUpdate], names: Mapping[str, str]) -> PublicIncident:
    components = dict.fromkeys(names[id_] for one in group for id_ in one.components if id_ in names)
    return PublicIncident(
        components=tuple(components),
        updates=tuple(
            PublicUpdate(at=_approved(one)[0], state=one.state, impact=one.impact, text=one.text)
            for one in reversed(group)
        ),
    )


def _component(
    component_id: str, name: str, incidents: Sequence[Sequence[StatusUpdate]], now: datetime
) -> PublicComponent:
    spans = [span for group in incidents for span in _spans(component_id, group, now)]
    current: Impact = _worst([impact for _, end, impact in spans if end is None])
    first = since(now).astimezone(UTC).date()
    days = []
    for day in (first + timedelta(days=number) for number in range(DAYS)):
        impacts = [
            impact
            for start, end, impact in spans
            if start.astimezone(UTC).date() <= day <= (end or now).astimezone(UTC).date()
        ]
        days.append((day, _worst(impacts)))
    return PublicComponent(name=name, now=current, days=tuple(days))


def _spans(
    component_id: str, group: Sequence[StatusUpdate], now: datetime
) -> list[tuple[datetime, datetime | None, Impact]]:
    """When an incident harmed a component, by its updates: (start, end or None for "still", impact)."""
    spans: list[tuple[datetime, datetime | None, Impact]] = []
    for number, one in enumerate(group):
        following = group[number + 1] if number + 1 < len(group) else None
        if one.state != "resolved" and one.impact != "none" and component_id in one.components:
            spans.append((_approved(one)[0], _approved(following)[0] if following else None, one.impact))
    return [span for span in spans if span[0] <= now]


def _worst(impacts: Sequence[Impact]) -> Impact:
    return max(impacts, key=IMPACTS.index, default="none")
