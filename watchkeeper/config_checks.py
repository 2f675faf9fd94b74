"""What a configuration must hold in itself: names that differ, references that lead somewhere, ports for one.

Each check returns its mistakes with the key that is wrong, so that the reader can name the line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

if TYPE_CHECKING:
    from watchkeeper.config import Config
    from watchkeeper.config_oncall import EscalationStep, OnCallConfig, ScheduleConfig
    from watchkeeper.config_sections import PersonConfig

Key = tuple[int | str, ...]
Mistake = tuple[Key, str]
ANYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared with, never bound
PLACEHOLDER = re.compile(r"\$\{\w+[^}]*\}")
OF_OTHER_PACKAGES = (("sources",), ("channels",))
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def refuse(title: str, mistakes: Iterable[Mistake]) -> None:
    """Raise them, each at its own key, where a model is validated; nothing where there is none."""
    details = [
        InitErrorDetails(type=PydanticCustomError("reference", "{what}", {"what": what}), loc=where, input={})
        for where, what in mistakes
    ]
    if details:
        raise ValidationError.from_exception_data(title, details)


def placeholders(data: object, key: Key = ()) -> Iterator[Mistake]:
    """Each `${NAME}` that would stay as it is written; what other packages' parts are given is theirs to read."""
    if isinstance(data, str):
        for name in PLACEHOLDER.findall(data):
            yield key, f"{name} is not replaced in this file; write the value, or use the key that ends in _env"
    elif isinstance(data, dict):
        for name, value in data.items():
            given_on = (*key, name) in OF_OTHER_PACKAGES or (key[:1] == ("targets",) and name == "settings")
            if not given_on:
                yield from placeholders(value, (*key, name))
    elif isinstance(data, list):
        for number, value in enumerate(data):
            yield from placeholders(value, (*key, number))


def repeated(items: Sequence[str], key: Key, field: str | None, what: str) -> Iterator[Mistake]:
    """Each item that is written a second time."""
    first: dict[str, int] = {}
    for number, item in enumerate(items):
        if item in first:
            where = (*key, number) if field is None else (*key, number, field)
            yield where, f"{item!r} is {what} of item {first[item]} already; keep one, or rename it"
        first.setdefault(item, number)


def oncall_mistakes(oncall: OnCallConfig) -> list[Mistake]:
    """People whose names differ, schedules that have somebody, and an escalation that begins."""
    people = {person.id for person in oncall.people}
    schedules = {schedule.id for schedule in oncall.schedules}
    wrong = [*_people(oncall.people), *_rules(oncall.people)]
    wrong += repeated([schedule.id for schedule in oncall.schedules], ("schedules",), "id", "the id")
    for number, schedule in enumerate(oncall.schedules):
        where = ("schedules", number)
        if schedule.id in people:
            wrong.append(((*where, "id"), f"{schedule.id!r} is a person's id, too: steps could not distinguish them"))
        for place, name in _named(schedule):
            if name not in people:
                words = f"names {name!r}, who is not among people; there are: {', '.join(sorted(people))}"
                if "schedules" not in oncall.model_fields_set:
                    wrong.append((("schedules",), f"the default schedule {schedule.id!r} {words}; write `schedules:`"))
                    break
                wrong.append(((*where, *place), words))
    return wrong + _escalation(oncall, people | schedules)


def _named(schedule: ScheduleConfig) -> Iterator[tuple[Key, str]]:
    """Everybody whom a schedule names, and at which key."""
    for kind, layers in (("layers", schedule.layers), ("shadows", schedule.shadows)):
        for number, layer in enumerate(layers):
            for place, name in enumerate(layer.people):
                yield (kind, number, "people", place), name
    if schedule.fallback is not None:
        yield ("fallback",), schedule.fallback


def _people(people: Sequence[PersonConfig]) -> Iterator[Mistake]:
    """Whoever acts is known by id, name or address, in any case: nobody may answer to somebody else's."""
    owner: dict[str, tuple[int, str]] = {}
    for number, person in enumerate(people):
        known_by: list[tuple[Key, str]] = [(("id",), person.id), (("name",), person.name)]
        known_by += [(("addresses", channel), address) for channel, address in person.addresses.items()]
        for key, value in known_by:
            first = owner.get(value.casefold())
            if first and first[0] != number:
                whose = f"{value!r} is the {first[1]} of {people[first[0]].id!r} (item {first[0]}) already"
                yield ("people", number, *key), f"{whose}: one's answers would count as the other's; change one"
            field = f"{key[1]} address" if len(key) > 1 else str(key[0])
            owner.setdefault(value.casefold(), (number, field))


def _rules(people: Sequence[PersonConfig]) -> Iterator[Mistake]:
    """Each notification rule is for a channel that has the person's address, and they are in order."""
    for number, person in enumerate(people):
        before = 0.0
        for place, rule in enumerate(person.notification_rules):
            key: Key = ("people", number, "notification_rules", place)
            if rule.channel not in person.addresses:
                known = ", ".join(person.addresses) or "none"
                yield (*key, "channel"), f"{person.id!r} has no address for {rule.channel!r}; there are: {known}"
            if rule.after_s < before:
                yield (*key, "after_s"), f"comes before the rule above it ({before:g} s); order them by time"
            if rule in person.notification_rules[:place]:
                yield key, "is there already; remove it, or choose another time"
            before = max(before, rule.after_s)


def _escalation(oncall: OnCallConfig, known: set[str]) -> list[Mistake]:
    hint = "" if "escalation" in oncall.model_fields_set else " (this is the default escalation: write `escalation:`)"
    wrong = [*_steps(oncall.escalation, ("escalation",), known, hint)]
    policies = oncall.policies
    wrong += repeated([policy.id for policy in policies], ("policies",), "id", "the id")
    for number, policy in enumerate(policies):
        where: Key = ("policies", number)
        wrong += _steps(policy.steps, (*where, "steps"), known)
        wrong += [((*where, "fallback"), _unknown(name, known)) for name in policy.fallback if name not in known]
        wrong += _teams(oncall, policy.teams, where)
        fits_all = not (policy.services or policy.teams or policy.labels or policy.severities)
        if number + 1 < len(policies) and fits_all:
            words = f"fits every incident, so {policies[number + 1].id!r} and what follows is never used; put it last"
            wrong.append((where, words))
    for number, rule in enumerate(oncall.severities.rules):
        wrong += _teams(oncall, rule.teams, ("severities", "rules", number))
    return [*wrong, *_stakeholders(oncall), *_exceptions(oncall)]


def _exceptions(oncall: OnCallConfig) -> Iterator[Mistake]:
    """Silences and overrides that differ; overrides of schedules and people who exist."""
    yield from repeated([one.id for one in oncall.silences], ("silences",), "id", "the id")
    yield from repeated([one.id for one in oncall.overrides], ("overrides",), "id", "the id")
    schedules = sorted(schedule.id for schedule in oncall.schedules)
    people = sorted(person.id for person in oncall.people)
    for number, one in enumerate(oncall.overrides):
        where: Key = ("overrides", number)
        if one.schedule not in schedules:
            yield (*where, "schedule"), f"{one.schedule!r} is no schedule; there are: {', '.join(schedules)}"
        if one.person not in people:
            yield (*where, "person"), f"{one.person!r} is not among people; there are: {', '.join(people)}"


def _stakeholders(oncall: OnCallConfig) -> Iterator[Mistake]:
    """Rules that differ, and name teams and people who exist."""
    people = sorted(person.id for person in oncall.people)
    yield from repeated([rule.id for rule in oncall.stakeholders], ("stakeholders",), "id", "the id")
    for number, rule in enumerate(oncall.stakeholders):
        where: Key = ("stakeholders", number)
        yield from _teams(oncall, rule.teams, where)
        for place, name in enumerate(rule.people):
            if name not in people:
                yield (*where, "people", place), f"{name!r} is not among people; there are: {', '.join(people)}"


def _teams(oncall: OnCallConfig, named: Sequence[str], where: Key) -> Iterator[Mistake]:
    """Teams that are configured."""
    for place, team in enumerate(named):
        if team not in oncall.teams:
            teams = ", ".join(sorted(oncall.teams)) or "none"
            yield (*where, "teams", place), f"{team!r} is not among `oncall.teams`; there are: {teams}"


def _steps(steps: Sequence[EscalationStep], where: Key, known: set[str], hint: str = "") -> Iterator[Mistake]:
    """Steps that name who exists, in the order of time."""
    before = 0.0
    for number, step in enumerate(steps):
        for place, name in enumerate(step.notify):
            key = ("notify", place) if len(step.notify) > 1 else ("notify",)
            if name not in known:
                yield (*where, number, *key), _unknown(name, known) + hint
        if step.after_s < before:
            yield (*where, number, "after_s"), f"comes before the step above it ({before:g} s); order them by time"
        before = max(before, step.after_s)


def _unknown(name: str, known: set[str]) -> str:
    return f"{name!r} is no schedule and no person; there are: {', '.join(sorted(known))}"


def file_mistakes(config: Config) -> list[Mistake]:
    """What concerns several sections, or the items of a list."""
    wrong: list[Mistake] = []
    if not config.oncall.escalation:
        wrong.append((("oncall", "escalation"), "must not be empty: nobody but the first person would ever be paged"))
    wrong += _addresses(config)
    jobs = config.ingest.scrape
    wrong += repeated([job.job for job in jobs], ("ingest", "scrape"), "job", "the name")
    for number, job in enumerate(jobs):
        wrong += repeated(job.targets, ("ingest", "scrape", number, "targets"), None, "the target")
    wrong += repeated([token.name for token in config.tokens], ("tokens",), "name", "the name")
    known = [person.id for person in config.oncall.people]
    for number, token in enumerate(config.tokens):
        if token.person is not None and token.person not in known:
            there = f"is not among oncall.people; there are: {', '.join(known)}"
            wrong.append((("tokens", number, "person"), f"{token.person!r} {there}"))
    wrong += repeated([token.sha256 for token in config.tokens], ("tokens",), "sha256", "the sha256")
    wrong += repeated([each.name for each in config.heartbeats], ("heartbeats",), "name", "the name")
    named: dict[Key, str | None] = {
        ("canary", "channel"): config.canary.channel,
        ("canary", "fallback"): config.canary.fallback,
        ("status_page", "subscriptions", "channel"): config.status_page.subscriptions.channel,
    }
    there = f"is not among `channels:`; there are: {', '.join(sorted(config.channels))}"
    wrong += [(key, f"{name!r} {there}") for key, name in named.items() if name not in (None, *config.channels)]
    if config.canary.channel and not config.canary.address:
        words = "is needed with canary.channel: an address there that no human reads"
        wrong.append((("canary", "address"), words))
    wrong += repeated([str(path) for path in config.slo], ("slo",), None, "the path")
    wrong += [*_approvers(config), *_informed(config)]
    if config.ingest.max_request_mib > config.ingest.max_backlog_mib:
        words = f"is more than max_backlog_mib ({config.ingest.max_backlog_mib}): such a request could never be taken"
        wrong.append((("ingest", "max_request_mib"), words))
    return [*wrong, *_ports(config)]


def _informed(config: Config) -> Iterator[Mistake]:
    """Stakeholders can be reached: by the e-mail channel, and in Slack."""
    mail = config.mail_channel
    for number, rule in enumerate(config.oncall.stakeholders):
        where: Key = ("oncall", "stakeholders", number)
        if mail is None and (rule.people or rule.emails):
            key = "people" if rule.people else "emails"
            yield (*where, key), "are informed by e-mail, and `channels:` has no channel of kind email; add one"
            continue
        for place, name in enumerate(rule.people):
            person = config.oncall.person(name)
            if person and mail and not person.address(mail):
                yield (*where, "people", place), f"{name!r} has no address for {mail!r}; add it to their `addresses`"
        if rule.slack_channels and "slack" not in config.channels:
            yield (*where, "slack_channels"), "need the channel `slack`, which is not among `channels:`; add it"


def _approvers(config: Config) -> Iterator[Mistake]:
    """Experiments are approved by people who exist."""
    people = [person.id for person in config.oncall.people]
    for number, experiment in enumerate(config.chaos.experiments):
        for place, person in enumerate(experiment.approval.by if experiment.approval else ()):
            if person not in people:
                key: Key = ("chaos", "experiments", number, "approval", "by", place)
                yield key, f"nobody among oncall.people has the id {person!r}; there are: {', '.join(people)}"


def _addresses(config: Config) -> Iterator[Mistake]:
    """Everybody has an address, and each address is on a channel that is in use."""
    channels = ", ".join(sorted(config.channels))
    for number, person in enumerate(config.oncall.people):
        key: Key = ("oncall", "people", number, "addresses")
        for channel in person.addresses:
            if channel not in config.channels:
                yield (*key, channel), f"names {channel!r}, which is not among `channels:`; there are: {channels}"
        if not person.addresses:
            advice = f"add one for a channel ({channels}): addresses: {{slack: U012AB3CD}}"
            yield key, f"{person.id!r} has no address; {advice}"


def _ports(config: Config) -> Iterator[Mistake]:
    """Two listeners can't share a port on one address; port 0 is any free one."""
    listeners: list[tuple[tuple[str, ...], str, int]] = [
        (("ingest", "otlp_http_port"), config.ingest.host, config.ingest.otlp_http_port),
        (("ingest", "otlp_grpc_port"), config.ingest.host, config.ingest.otlp_grpc_port),
        (("web", "port"), config.web.host, config.web.port),
    ]
    if config.store.url is None:
        listeners.append((("store", "port"), config.store.host, config.store.port))
    if config.slack.stand_in.enabled:
        stand_in = config.slack.stand_in
        listeners.append((("slack", "stand_in", "port"), stand_in.host, stand_in.port))
    for number, (key, host, port) in enumerate(listeners):
        for other, other_host, other_port in listeners[:number]:
            if port and port == other_port and _overlap(host, other_host):
                yield key, f"{port} is {'.'.join(other)} already; choose another"
                break


def _overlap(one: str, other: str) -> bool:
    if one == other or one in ANYWHERE or other in ANYWHERE:
        return True
    return "localhost" in (one, other) and one in LOOPBACK and other in LOOPBACK
