"""Who is informed of an incident without being paged: decided in the transaction of what happened.

A row is for one recipient and one event, so that nobody reads of it twice. It holds no address and no text: both are
found when it is sent. Whoever read that an incident began reads of its end, whatever severity it has by then.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, select

from alerting.incidents.machine import Event, Incident
from alerting.incidents.silences import cover, in_force
from alerting.oncall.chain import why_it_fits
from alerting.status_page import mails
from watchkeeper.config import Config, OnCallConfig
from watchkeeper.config_oncall import StakeholderNews, StakeholderRule
from watchkeeper.state.chunks import chunks
from watchkeeper.state.schema import status_mails
from watchkeeper.vocabulary import Level, content_key

Medium = Literal["person", "email", "slack"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """A person of the rota, an e-mail address, or a channel in Slack; `name` is the person's id, or the address."""

    medium: Medium
    name: str

    @property
    def id(self) -> str:
        """What stands for it in the state database, where no address belongs."""
        return f"{self.medium}-{content_key(self.name.casefold())}"


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """Something that happened to an incident, which is as it is after it."""

    incident: Incident
    what: StakeholderNews
    before: Level | None = None

    def as_text(self, what: StakeholderNews) -> str:
        """As it is kept for a recipient to whom it may be another thing: a level's change is how some begin."""
        return json.dumps({"what": what, "level": self.incident.level, "before": self.before})


def of_event(before: Incident, after: Incident, event: Event) -> News | None:
    """What an event is to stakeholders; None for most."""
    match event.type:
        case "resolved" | "merged":  # of a merged one, the other's news go on
            return News(incident=after, what="resolved")
        case "update_due":
            return News(incident=after, what="update due")
        case "silence_ended" | "absorbed":
            return News(incident=after, what="opened")
    if after.level != before.level and after.is_open:
        return News(incident=after, what="level changed", before=before.level)
    return None


def announce(connection: Connection, oncall: OnCallConfig, news: Sequence[News], at: datetime) -> None:
    """Inform whoever the rules name, in the transaction of what happened. A silenced incident is no news."""
    if not oncall.stakeholders:
        return
    news = [each for each in news if not each.incident.is_canary]
    silences = in_force(connection, at) if news else ()
    told = _told(connection, [each.incident.id for each in news if each.incident.version > 1])
    rows = []
    for each in news:
        incident = each.incident
        known = told.get(incident.id, frozenset())
        is_quiet = each.what != "resolved" and cover(incident, silences) is not None
        for recipient, what in () if is_quiet else _informed(oncall, each, known):
            key = f"{recipient.id}:{incident.id}:{incident.version}"
            rows.append(mails.news_row(key, recipient.id, incident.id, each.as_text(what), at))
    mails.put_news(connection, rows)


def _informed(oncall: OnCallConfig, news: News, told: frozenset[str]) -> Iterator[tuple[Recipient, StakeholderNews]]:
    """Each recipient once, and what the news is to them."""
    fits: dict[Recipient, list[StakeholderRule]] = {}
    about: dict[Recipient, list[StakeholderRule]] = {}
    for rule in oncall.stakeholders:
        if not _is_about(oncall, rule, news.incident):
            continue
        for recipient in recipients_of(oncall, rule):
            about.setdefault(recipient, []).append(rule)
            if news.incident.level in rule.severities:
                fits.setdefault(recipient, []).append(rule)
    for recipient, rules in about.items():
        what = news.what
        if recipient.id in told:
            # They know of it: whatever its severity is now, they learn how it goes on.
            counting = fits.get(recipient, []) if what == "update due" else rules
            wanted = {each for rule in counting for each in rule.news}
            if what in wanted and what != "opened":
                yield recipient, what
            continue
        wanted = {each for rule in fits.get(recipient, ()) for each in rule.news}
        if what == "level changed" and "opened" in wanted:
            yield recipient, "opened"  # to them it begins with this severity
        elif what in wanted and not (what == "resolved" and "opened" in wanted):
            yield recipient, what


def _is_about(oncall: OnCallConfig, rule: StakeholderRule, incident: Incident) -> bool:
    labels = tuple(finding.alert.labels for finding in incident.findings if finding.alert)
    return any(why_it_fits(oncall, rule, service, labels) is not None for service in sorted(incident.services))


def recipients_of(oncall: OnCallConfig, rule: StakeholderRule) -> tuple[Recipient, ...]:
    """Whom a rule informs. An address that is a person's is that person: two rules inform them once."""
    owners = {address.casefold(): person.id for person in oncall.people for address in person.addresses.values()}
    named = [Recipient(medium="person", name=name) for name in rule.people]
    for address in rule.emails:
        owner = owners.get(address.casefold())
        named.append(Recipient(medium="person" if owner else "email", name=owner or address))
    named += [Recipient(medium="slack", name=channel) for channel in rule.slack_channels]
    return tuple(dict.fromkeys(named))


def known_recipients(config: Config) -> Mapping[str, tuple[Recipient, str]]:
    """Everybody whom the rules in force name, by id, with the address to use now; empty for none."""
    oncall, mail = config.oncall, config.mail_channel or ""
    found: dict[str, tuple[Recipient, str]] = {}
    for rule in oncall.stakeholders:
        for one in recipients_of(oncall, rule):
            person = oncall.person(one.name) if one.medium == "person" else None
            found[one.id] = one, (person.address(mail) if person else "" if one.medium == "person" else one.name)
    return found


def _told(connection: Connection, incident_ids: Sequence[str]) -> Mapping[str, frozenset[str]]:
    """Who was informed of each incident before."""
    table = status_mails
    found: dict[str, set[str]] = {}
    for ids in chunks(incident_ids):
        query = select(table.c.update_id, table.c.subscriber_id).where(table.c.update_id.in_(ids), table.c.news != "")
        for incident_id, recipient in connection.execute(query):
            found.setdefault(incident_id, set()).add(recipient)
    return {incident_id: frozenset(recipients) for incident_id, recipients in found.items()}
