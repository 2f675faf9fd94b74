"""What stakeholders read: the names of components, the severity, times, and what the public may read. Pure.

No id, service, finding or name of a person stands in it, as on the public page.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from alerting.incidents.levels import WHAT_EACH_IS
from alerting.incidents.machine import Incident
from alerting.status_page.letters import Letter
from alerting.status_page.updates import StatusUpdate, affected, neutral_text
from watchkeeper.config import StatusPageConfig
from watchkeeper.config_oncall import StakeholderNews
from watchkeeper.durations import duration
from watchkeeper.text import page_text
from watchkeeper.vocabulary import LEVELS

LISTED: Final = 30  # problems that a message lists
WHY: Final = "You get this because the team informs you of incidents like this one. Nobody waits for an answer."
_SUBJECTS: Final[Mapping[StakeholderNews, str]] = {
    "opened": "investigating",
    "level changed": "severity changed",
    "update due": "not resolved yet",
    "resolved": "resolved",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One piece of news, as it was kept, with its incident now; `public` is what the public read last of it."""

    news: str
    incident: Incident
    at: datetime
    public: StatusUpdate | None = None


def letter_of(told: Sequence[Told], page: StatusPageConfig) -> Letter:
    """A message with one piece of news, or with several gathered."""
    url = page.subscriptions.page_url
    links = [("Status page", url)] if url else []
    if len(told) == 1:
        subject, paragraphs = _single(told[0], page)
    else:
        subject, paragraphs = _gathered(told, page)
    return Letter(subject=f"[{page.title}] {subject}", paragraphs=(*paragraphs, WHY), links=links)


def _single(one: Told, page: StatusPageConfig) -> tuple[str, tuple[str, ...]]:
    kept, incident = json.loads(one.news), one.incident
    what: StakeholderNews = kept["what"]
    level, names = kept["level"], _names(incident, page)
    about = ", ".join(names)
    return f"{level}: {about}, {_SUBJECTS[what]}", tuple(
        filter(
            None,
            (
                _sentence(one, what, level, kept["before"], names),
                dict(WHAT_EACH_IS)[level] + "." if what in ("opened", "level changed") else "",
                _public(one.public) if what != "resolved" else "",
                f"Since {_moment(incident.onset)}. This is from {_moment(one.at)}.",
            ),
        )
    )


def _sentence(one: Told, what: StakeholderNews, level: str, before: str | None, names: Sequence[str]) -> str:
    about = " and ".join(names)
    match what:
        case "opened":
            return neutral_text("investigating", names)
        case "level changed":
            return f"The problem with {about} is {level} now" + (f"; before, it was {before}." if before else ".")
        case "update due":
            if one.incident.system_state == "recovered":
                return neutral_text("monitoring", names)
            return f"The problem with {about} goes on, for {duration(one.at - one.incident.onset)} now."
        case "resolved":
            if one.incident.merged_into:
                return f"The problem with {about} is part of a larger one. News of that one follow."
            return f"{neutral_text('resolved', names)} It lasted {duration(_end(one) - one.incident.onset)}."


def _end(one: Told) -> datetime:
    return one.incident.recovered_at or one.incident.resolved_at or one.at


def _public(update: StatusUpdate | None) -> str:
    if update is None:
        return ""
    return f"Published at {_moment(update.approved_at or update.at)}: {page_text(update.text)}"


def _gathered(told: Sequence[Told], page: StatusPageConfig) -> tuple[str, tuple[str, ...]]:
    """How each problem stands, the most severe first: one line each, however much happened to it."""
    incidents = {one.incident.id: one.incident for one in told}.values()
    ordered = sorted(incidents, key=lambda one: (not one.is_open, LEVELS.index(one.level or "SEV4"), one.onset))
    going_on = sum(one.is_open for one in ordered)
    lines = [f"{one.level}: {', '.join(_names(one, page))}: {_state(one)}" for one in ordered[:LISTED]]
    if len(ordered) > LISTED:
        lines.append(f"and {len(ordered) - LISTED} more")
    problems = f"{len(ordered)} problem{'s'[: len(ordered) != 1]}"
    return f"{problems}, {going_on} not resolved yet", (
        f"Much happened within a few minutes: {problems}, {going_on} of them not resolved yet.",
        "\n".join(lines),
    )


def _state(incident: Incident) -> str:
    if incident.merged_into:
        return "part of another one"
    since = f"since {_moment(incident.onset)}"
    if not incident.is_open:
        return f"resolved ({since})"
    return f"{'no longer seen, we are watching' if incident.system_state == 'recovered' else 'investigating'} ({since})"


def _names(incident: Incident, page: StatusPageConfig) -> tuple[str, ...]:
    names = {component.id: component.name for component in page.components}
    return tuple(names[one] for one in affected(incident, page)) or ("a part of the system",)


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
