"""`watchkeeper oncall import` of a JSON export: people, schedules, escalations and overrides of another system."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import yaml
from pydantic import ValidationError

from alerting.oncall.applying import bring_into_force, plan_edits
from alerting.oncall.exported import Export
from alerting.oncall.exported_grafana import GrafanaOnCall, read_grafana
from alerting.oncall.exported_pagerduty import PagerDuty, read_pagerduty
from alerting.oncall.ownership import Kind
from alerting.oncall.schedule import Override, record_override
from alerting.oncall.versions import newest_id
from watchkeeper.config import Config, PersonConfig, PolicyConfig, ScheduleConfig
from watchkeeper.errors import ConfigError
from watchkeeper.state.database import Database
from watchkeeper.text import one_line, seen_name
from watchkeeper.vocabulary import Actor

OF_GRAFANA: Final = ("on_call_shifts", "escalation_chains")


def is_json(data: bytes) -> bool:
    """Whether a file is a JSON export, and no calendar."""
    return data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{"


def read_export(data: bytes, config: Config, mapped: Mapping[str, str], now: datetime, timezone: str | None) -> Export:
    """What an export holds, in our terms.

    Raises:
        ConfigError: it is no export of a known system; the message names what is wrong.
    """
    export = Export(oncall=config.oncall, mapped=mapped, channels=config.channels)
    try:
        tree = json.loads(data.decode("utf-8-sig"))
        if any(name in tree for name in OF_GRAFANA):
            read_grafana(GrafanaOnCall.model_validate(tree), export, now, timezone)
        else:
            read_pagerduty(PagerDuty.model_validate(tree), export, now, timezone)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"the export cannot be read: {where}: {one_line(first['msg'], 200)}") from error
    except (ValueError, RecursionError, OverflowError) as error:
        raise ConfigError(f"the export cannot be read: {one_line(error, 200)}") from error
    if not export.lines:
        raise ConfigError(
            "the file has no schedules and no escalations of PagerDuty's or Grafana OnCall's API; docs/on-call.md "
            "shows how to export them"
        )
    return export


def print_export(export: Export) -> None:
    """What is taken, as YAML; on stderr a line for each part of the export, and the overrides."""
    tree = {
        kind: [one.model_dump(mode="json", exclude_defaults=True) for one in values]
        for kind, values in made(export).items()
        if values
    }
    print(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True), end="")
    for line in export.lines:
        print(line, file=sys.stderr)
    print_overrides(export.overrides)


def print_overrides(overrides: Iterable[Override]) -> None:
    """On stderr, the command that makes each override."""
    for each in overrides:
        times = f"--from {each.start:%Y-%m-%dT%H:%M} --to {each.end:%Y-%m-%dT%H:%M}"
        command = f"watchkeeper oncall override {seen_name(each.person)} --schedule {seen_name(each.schedule)} {times}"
        print(f"override: {command}", file=sys.stderr)


def apply_export(export: Export, config: Config, db: Database, actor: Actor, now: datetime) -> None:
    """Bring what is taken into force as one version, then its overrides. The same export again changes nothing.

    Raises:
        Conflict: the file owns something of the same name, or another version came first.
    """
    edits: list[tuple[Kind, str, Any]] = []
    for kind, values in made(export).items():
        # Each new policy goes before those that are there.
        ordered = reversed(values) if kind == "policies" else values
        edits += [(kind, one.id, one.model_dump(mode="json", exclude={"id"})) for one in ordered]
    plan = plan_edits(db, config, edits, actor)
    bring_into_force(db, plan, now, actor)
    for each in export.overrides:
        record_override(db, plan.oncall, each, now, actor)
    print(f"Version {newest_id(db)} is in force; {len(export.overrides)} overrides were made.", file=sys.stderr)


def made(export: Export) -> Mapping[Kind, Sequence[PersonConfig | ScheduleConfig | PolicyConfig]]:
    """What the export has of each kind."""
    return {
        "people": list(export.people.values()),
        "schedules": list(export.schedules.values()),
        "policies": list(export.policies.values()),
    }
