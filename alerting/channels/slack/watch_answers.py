"""What `/watch` answers: the order is carried out, and what came of it is said in Slack's markup.

The orders are the commands of the terminal and the API. Each carries a key, so that a repeat of Slack's does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from alerting.ask.answer import Answer
from alerting.ask.words import holder
from alerting.channels.slack import blocks as slack_blocks
from alerting.channels.slack.answers import answer_text
from alerting.channels.slack.markup import slack_text
from alerting.channels.slack.watch_words import USAGE, Order
from alerting.incidents import silences
from alerting.incidents.commands import Incidents
from alerting.incidents.machine import Incident
from alerting.oncall.chain import chain_for, whom
from alerting.oncall.escalation import known_person
from alerting.oncall.schedule import (
    Override,
    cover_at,
    person,
    record_override,
    schedule_of,
    stored_overrides,
)
from alerting.oncall.spoken_times import moment_of
from watchkeeper.clock import Clock
from watchkeeper.config import Config, OnCallConfig, PersonConfig, ScheduleConfig
from watchkeeper.durations import duration
from watchkeeper.errors import ConfigError, NotFound
from watchkeeper.state.database import Database
from watchkeeper.text import did_you_mean, seen_name
from watchkeeper.vocabulary import Actor, content_key

LISTED: Final = 15  # incidents or steps that one answer names
LONGEST: Final = 2900  # characters of an answer


class WatchAnswers:
    """Carries out orders of `/watch`. Threads may share one."""

    def __init__(
        self, config: Config, db: Database, incidents: Incidents, clock: Clock, ask: Callable[[str], Answer]
    ) -> None:
        """`ask` answers a question from the system's own records."""
        self._config = config
        self._db = db
        self._incidents = incidents
        self._clock = clock
        self._ask = ask

    @property
    def _oncall(self) -> OnCallConfig:
        """The rota in force."""
        return self._config.oncall

    def look(self, order: Order) -> str:
        """Carry out an order that only reads."""
        looks: Mapping[str, Callable[[Order], str]] = {
            "status": lambda _: self._status(),
            "who": lambda given: self._who(given.subject),
            "ask": lambda given: answer_text(self._ask(given.text), self._config.web_url),
            "help": lambda _: help_text(),
        }
        return looks[order.verb](order)

    def act(self, order: Order, actor: Actor, key: str) -> str:
        """Carry out an order that changes something; `key` is the idempotency key.

        Raises:
            WatchkeeperError: it is not possible; the message says why, and what to do.
        """
        acts: Mapping[str, Callable[[Order, Actor, str], str]] = {
            "override": self._override,
            "page": self._page,
            "mute": self._mute,
            "severity": self._severity,
            "label": self._label,
        }
        return acts[order.verb](order, actor, key)

    def incident(self, incident_id: str) -> Incident:
        """The incident that an order names."""
        return self._incidents.get(incident_id)

    # Looking

    def _status(self) -> str:
        incidents = self._incidents.list("open", LISTED + 1)
        url = f"{self._config.web_url}/incidents"
        if not incidents:
            return f"No open incident. <{url}|All incidents>"
        pages = sum(one.severity == "page" for one in incidents[:LISTED])
        count = f"{len(incidents)}" if len(incidents) <= LISTED else f"more than {LISTED}"
        names = {one.id: one.name for one in self._oncall.people}
        lines = [f"*{count} open incident{'s'[: len(incidents) != 1]}*, of them {pages} page{'s'[: pages != 1]}"]
        lines += [
            f"{slack_blocks.mark(one)} {one.level} <{url}/{one.id}|{one.id}> {slack_text(one.title, 140)}"
            f" · since {slack_blocks.slack_time(one.onset)} · {slack_text(holder(one, names), 120)}"
            for one in incidents[:LISTED]
        ]
        if len(incidents) > LISTED:
            lines.append(f"and more: <{url}?state=open|all open incidents>")
        return "\n".join(lines)

    def _who(self, service: str) -> str:
        now, overrides = self._clock.now(), stored_overrides(self._db)
        if service:
            chain = chain_for(self._oncall, service)
            lines = [f"*An incident of {slack_text(seen_name(service), 150)} pages:*"]
            for step in chain.steps[:LISTED]:
                when = f"after {duration(step.after_s)} without an answer" if step.after_s else "at once"
                lines += [
                    f"• *{slack_text(called.name, 100)}* {when} ({slack_text(called.why, 300)})"
                    for called in whom(self._oncall, step, now, overrides)
                ]
            return "\n".join(lines)
        lines = []
        for schedule in self._oncall.schedules[:LISTED]:
            cover = cover_at(self._oncall, schedule, now, overrides)
            holder = person(self._oncall, cover.person).name if cover.person else "nobody"
            until = f", until {slack_blocks.slack_day(cover.until)}" if (cover.until - now).days < 60 else ""
            how = {"override": "by an override", "rotation": "by rotation", "fallback": "its fallback"}
            why = how.get(cover.source, "nobody is scheduled, and there is no fallback")
            name = slack_text(schedule.id, 64)
            lines.append(f"• *{slack_text(holder, 100)}* is on call in {name} ({why}{until})")
        return "\n".join(lines) or "No schedule is configured: add one under `oncall.schedules`."

    # Acting

    def _override(self, order: Order, actor: Actor, key: str) -> str:
        now, zone = self._clock.now(), self._zone_of(actor)
        who, schedule = self._person(order.subject), self._schedule(order.schedule)
        start = moment_of(order.start, now, zone) if order.start else now
        end = start + order.span if order.span else moment_of(order.until, max(start, now), zone)
        if end <= start:
            raise ConfigError(f"it must end after it starts: {_time(start)} to {_time(end)}")
        made = Override(
            schedule=schedule.id,
            person=who.id,
            start=start,
            end=end,
            author=actor.name,
            key=content_key("override", key),
        )
        override_id, new = record_override(self._db, self._oncall, made, now, actor)
        span = f"from {slack_blocks.slack_day(max(start, now))} until {slack_blocks.slack_day(end)}"
        again = "" if new else " That was in force already."
        take_back = f"`watchkeeper oncall remove-override {override_id}` takes it back."
        return f"*{slack_text(who.name, 100)}* is on call in {slack_text(schedule.id, 64)} {span}.{again} {take_back}"

    def _page(self, order: Order, actor: Actor, key: str) -> str:
        who = self._person(order.subject)
        outcome = self._incidents.call(who.id, order.text, actor, key)
        link = f"<{self._config.web_url}/incidents/{outcome.incident.id}|{outcome.incident.id}>"
        if not outcome.changed:
            return f"Already done: {link} pages {slack_text(who.name, 100)}."
        return f"{link} is open and pages *{slack_text(who.name, 100)}*: {slack_text(outcome.incident.title, 500)}"

    def _mute(self, order: Order, actor: Actor, key: str) -> str:
        now = self._clock.now()
        if order.span is None:
            raise ConfigError("a silence needs an end: `for 2h`")
        silence = silences.new_silence(
            service=order.service,
            kind=order.kind,
            label=order.label,
            reason=order.reason,
            start=now,
            end=now + order.span,
            owner=actor,
            key=key,
        )
        silences.add_silence(self._db, silence, actor, now)
        text = (
            f"No pages for {slack_text(silence.described, 300)} until {slack_blocks.slack_day(silence.end)}: "
            f"{slack_text(silence.reason, 500)}. What still fires then pages. "
            f"`watchkeeper silence end {silence.id}` ends it."
        )
        burns = silences.hidden_burns(silence, self._incidents.list("open", 500))
        notes = [f"\nNote: it keeps the burn of a budget from paging: {slack_text(burn, 300)}" for burn in burns[:3]]
        return text + "".join(notes)

    def _severity(self, order: Order, actor: Actor, key: str) -> str:
        if order.level is None:
            raise ConfigError("name a severity")
        outcome = self._incidents.set_severity(order.subject, actor, order.level, order.reason, key)
        return f"{outcome.incident.id}: {slack_text(outcome.message, 1000)}"

    def _label(self, order: Order, actor: Actor, key: str) -> str:
        if order.judgement is None:
            raise ConfigError("give an answer: yes, no or unsure")
        outcome = self._incidents.judge(order.subject, actor, key, order.judgement)
        return f"{outcome.incident.id}: {slack_text(outcome.message, 1000)}"

    def _person(self, given: str) -> PersonConfig:
        found = self._oncall.named(given.strip().removeprefix("@"))
        if found is None:
            names = [name for one in self._oncall.people for name in (one.id, one.name)]
            raise NotFound(f"nobody in oncall.people is called {given!r}{did_you_mean(given, names)}")
        return found

    def _schedule(self, given: str) -> ScheduleConfig:
        if not self._oncall.schedules:
            raise ConfigError("oncall.schedules is empty; add a schedule")
        return schedule_of(self._oncall, given) if given else self._oncall.schedules[0]

    def _zone_of(self, actor: Actor) -> ZoneInfo:
        """The zone in which whoever writes a time means it: their own."""
        known = known_person(self._oncall, actor)
        return ZoneInfo(known.timezone) if known else ZoneInfo("UTC")


def help_text() -> str:
    """Every order, in a line each."""
    lines = [f"• `/watch {line.partition(' — ')[0]}` {line.partition(' — ')[2]}" for line in USAGE.values()]
    return "\n".join(["*What `/watch` does.* Only you see the answers. Times are in your zone.", *lines])


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
