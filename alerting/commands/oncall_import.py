"""`watchkeeper oncall import`: a schedule out of a calendar, or people, schedules and escalations out of JSON."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
import yaml

from alerting.commands.oncall_import_json import apply_export, is_json, print_export, print_overrides, read_export
from alerting.commands.oncall_opened import opened
from alerting.oncall.applying import bring_into_force, plan_edit
from alerting.oncall.calendar_file import read_calendar
from alerting.oncall.imported import recognise
from alerting.oncall.schedule import record_override
from alerting.oncall.versions import newest_id
from watchkeeper.clock import SystemClock
from watchkeeper.command_options import ConfigPath, actor_of, hint_at_unused_file
from watchkeeper.config import OnCallConfig
from watchkeeper.errors import ConfigError
from watchkeeper.vocabulary import Window


def import_(
    file: Annotated[Path, typer.Argument(help="A calendar (.ics), or JSON of PagerDuty's or Grafana OnCall's API.")],
    schedule: Annotated[
        str | None, typer.Option("--schedule", help="Of a calendar: the id of the schedule to make.")
    ] = None,
    config: ConfigPath = None,
    mapped: Annotated[
        list[str] | None,
        typer.Option("--map", help="'TEXT=ID': whom a text in the titles means; may be repeated. Names need none."),
    ] = None,
    timezone: Annotated[str | None, typer.Option("--timezone", help="Default: the calendar's, else UTC.")] = None,
    days: Annotated[int, typer.Option("--days", min=7, max=366, help="How far back and ahead to look.")] = 84,
    apply: Annotated[bool, typer.Option("--apply", help="Bring it into force, beside what the file owns.")] = False,
) -> None:
    """Print what another system exported as YAML, and on stderr what was taken, in part or not, and why.

    In a calendar, the rotation is recognised.
    """
    hint_at_unused_file(config)
    tree, db = opened(config)
    now, span = SystemClock().now(), timedelta(days=days)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror or error}") from error
    if is_json(data):
        export = read_export(data, tree, _names(tree.oncall, mapped or []), now, timezone)
        print_export(export)
        if apply:
            apply_export(export, tree, db, actor_of(), now)
        return
    if schedule is None:
        raise ConfigError("--schedule is missing: a calendar becomes a schedule of that id")
    found = read_calendar(data, _names(tree.oncall, mapped or []), Window(start=now - span, end=now + span))
    for line in found.left_out:
        print(f"left out: {line}", file=sys.stderr)
    ahead = Window(start=now, end=max([now + timedelta(minutes=1), *(shift.end for shift in found.shifts)]))
    imported = recognise(tree.oncall, schedule, timezone or found.timezone or "UTC", found.shifts, ahead)
    text = imported.schedule.model_dump(mode="json", exclude_defaults=True)
    print(yaml.safe_dump({"schedules": [text]}, sort_keys=False, allow_unicode=True), end="")
    print(f"note: {imported.agreement:.1%} of the calendar's time is in the rotation", file=sys.stderr)
    for line in imported.unmatched:
        print(f"does not fit: {line}", file=sys.stderr)
    print_overrides(imported.overrides)
    if not apply:
        return
    actor = actor_of()
    value = imported.schedule.model_dump(mode="json", exclude={"id"})
    plan = plan_edit(db, tree, "schedules", schedule, value, actor)
    bring_into_force(db, plan, now, actor)
    for each in imported.overrides:
        record_override(db, plan.oncall, each, now, actor)
    made = f"{len(imported.overrides)} overrides were made"
    print(f"Version {newest_id(db)} is in force; {made}. No escalation names {schedule!r} yet.", file=sys.stderr)


def _names(oncall: OnCallConfig, mapped: list[str]) -> dict[str, str]:
    """What titles may hold, and whom it means."""
    names = {text: person.id for person in oncall.people for text in (person.name, *person.addresses.values())}
    for each in mapped:
        text, separator, person = each.rpartition("=")
        if not separator or not text.strip():
            raise ConfigError(f"--map {each!r}: write it like 'Ana Souza=ana'")
        if oncall.person(person) is None:
            known = ", ".join(one.id for one in oncall.people)
            raise ConfigError(f"--map {each!r}: nobody in oncall.people has the id {person!r}; there are: {known}")
        names[text] = person
    return names
