"""Schedules and escalations out of PagerDuty's and Grafana OnCall's JSON: the same people at the same times."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from alerting.commands.oncall import app
from alerting.commands.oncall_import_json import read_export
from alerting.oncall.exported import Export
from alerting.oncall.schedule import final_schedule, stored_overrides
from alerting.oncall.versions import newest, versions
from watchkeeper.config import Config, EscalationStep, LayerConfig, OnCallConfig, PersonConfig, ScheduleConfig
from watchkeeper.errors import ConfigError
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Window

# Berlin's clocks go forward within the four weeks.
NOW = datetime(2026, 3, 16, 12, tzinfo=UTC)
AHEAD = Window(start=NOW, end=NOW + timedelta(days=28))
ZONE = ZoneInfo("Europe/Berlin")
ONCALL = OnCallConfig(
    people=(PersonConfig(id="ana", name="Ana Souza", addresses={"email": "ana@example.com"}),),
    schedules=(ScheduleConfig(id="other", layers=(LayerConfig(people=("ana",)),)),),
    escalation=(EscalationStep(after_s=0, notify="other"),),
)
USERS = [
    {"id": "PANA", "name": "Ana S.", "email": "ana@example.com"},
    {"id": "PBEN", "name": "Ben Okoro", "email": "ben@example.com"},
    {"id": "PEVE", "name": "Eve", "email": "eve@example.com"},
]
IDS = {"PANA": "ana", "PBEN": "ben-okoro", "PEVE": "eve"}
DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


CONFIG = Config(oncall=ONCALL, channels={"slack": {}, "email": {}})


def read(tree: object) -> Export:
    return read_export(json.dumps(tree).encode(), CONFIG, {}, NOW, None)


def who(export: Export) -> Callable[[datetime], str | None]:
    """Who has the only schedule of an export at an instant, by our final schedule."""
    (schedule,) = export.schedules.values()
    oncall = ONCALL.model_copy(update={"people": (*ONCALL.people, *export.people.values()), "schedules": (schedule,)})
    shifts = final_schedule(oncall, schedule.id, AHEAD, export.overrides)
    begins = [shift.start for shift in shifts]

    def at(instant: datetime) -> str | None:
        shift = shifts[bisect_right(begins, instant) - 1]
        return shift.person.id if shift.person and shift.start <= instant < shift.end else None

    return at


def agree(export: Export, model: Callable[[datetime], str | None], step: timedelta = timedelta(minutes=30)) -> None:
    """Ask both at every step of the four weeks."""
    ours, at, seen = who(export), NOW, set()
    while at < AHEAD.end:
        wanted = model(at)
        assert ours(at) == (IDS[wanted] if wanted else None), at
        seen.add(wanted)
        at += step
    assert seen - {None}


def layer(*users: str, start: str = "2026-01-05T08:00:00Z", turn_s: int = 7 * 86_400, **more: Any) -> dict[str, Any]:
    members = [{"user": {"id": user, "type": "user_reference", "summary": user}} for user in users]
    made = {"name": "L", "start": start, "end": None, "rotation_virtual_start": start, "users": members}
    return made | {"rotation_turn_length_seconds": turn_s, "restrictions": [], **more}


def pagerduty(*layers: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An export; the last layer is the lowest, as the API has it."""
    made = {"id": "PSCH", "name": "Payments: primary", "time_zone": "Europe/Berlin", "schedule_layers": list(layers)}
    return {"users": USERS, "schedules": [made | more]}


def pagerduty_model(tree: dict[str, Any]) -> Callable[[datetime], str | None]:
    """PagerDuty's rules, read again and written down slowly: nothing of ours is asked."""
    (schedule,) = tree["schedules"]

    def inside(restriction: dict[str, Any], local: datetime) -> bool:
        hour, minute, _ = map(int, restriction["start_time_of_day"].split(":"))
        for back in range(9):
            begins = (local - timedelta(days=back)).replace(hour=hour, minute=minute, second=0)
            weekly = restriction["type"] == "weekly_restriction"
            if weekly and begins.isoweekday() != restriction["start_day_of_week"]:
                continue
            if begins <= local < begins + timedelta(seconds=restriction["duration_seconds"]):
                return True
        return False

    def at(instant: datetime) -> str | None:
        for each in schedule.get("overrides", ()):
            if datetime.fromisoformat(each["start"]) <= instant < datetime.fromisoformat(each["end"]):
                return str(each["user"]["id"])
        local = instant.astimezone(ZONE).replace(tzinfo=None)
        for one in schedule["schedule_layers"]:
            if instant < datetime.fromisoformat(one["start"]):
                continue
            if one["end"] and instant >= datetime.fromisoformat(one["end"]):
                continue
            if one["restrictions"] and not any(inside(each, local) for each in one["restrictions"]):
                continue
            first = datetime.fromisoformat(one["rotation_virtual_start"]).astimezone(ZONE).replace(tzinfo=None)
            turn = (local - first) // timedelta(seconds=one["rotation_turn_length_seconds"])
            return str(one["users"][turn % len(one["users"])]["user"]["id"])
        return None

    return at


def restriction(day: int, hour: int, hours: int) -> dict[str, Any]:
    """By day of the week, 1 to 7; every day with 0."""
    made = {"start_time_of_day": f"{hour:02}:30:00", "duration_seconds": hours * 3600}
    if day:
        return made | {"type": "weekly_restriction", "start_day_of_week": day}
    return made | {"type": "daily_restriction"}


restrictions = st.lists(
    st.one_of(
        st.builds(restriction, st.just(0), st.integers(0, 23), st.integers(1, 23)),
        st.builds(restriction, st.integers(1, 7), st.integers(0, 23), st.integers(1, 120)),
    ),
    max_size=3,
)
layers = st.builds(
    lambda users, turn_h, hour, limits: layer(
        *users, start=f"2026-01-07T{hour:02}:00:00+01:00", turn_s=turn_h * 3600, restrictions=limits
    ),
    st.lists(st.sampled_from(list(IDS)), min_size=1, max_size=4),
    st.sampled_from((8, 12, 24, 36, 168, 336)),
    st.sampled_from((0, 8, 9, 17, 22)),
    restrictions,
)


@settings(max_examples=30, deadline=None)
@given(st.lists(layers, min_size=1, max_size=3))
def test_the_final_schedule_is_pagerdutys(drawn: list[dict[str, Any]]) -> None:
    """Layers, turns of any length and restrictions: for four weeks, the people whom a slow model of its rules has."""
    lowest = layer("PEVE", start="2026-01-01T00:00:00Z")
    tree = pagerduty(*drawn, lowest)
    agree(read(tree), pagerduty_model(tree))


def test_layers_that_begin_or_end_within_the_weeks_and_overrides_are_kept() -> None:
    """A layer that begins later begins with the turn that is its own then."""
    later = layer("PANA", "PBEN", start="2026-03-30T07:00:00Z", rotation_virtual_start="2026-01-05T08:00:00Z")
    override = {"start": "2026-03-20T10:00:00Z", "end": "2026-03-21T10:00:00Z", "user": {"id": "PBEN"}}
    past = {"start": "2026-03-01T10:00:00Z", "end": "2026-03-02T10:00:00Z", "user": {"id": "PBEN"}}
    over = layer("PBEN", end="2026-03-01T00:00:00Z")
    tree = pagerduty(over, later, layer("PEVE", end="2026-04-10T08:00:00Z"), overrides=[past, override])
    export = read(tree)
    agree(export, pagerduty_model(tree))
    assert len(export.overrides) == 1
    assert any(line.how == "not taken" and "ended at 2026-03-01" in line.why for line in export.lines)


SHIFT = {"type": "rolling_users", "time_zone": None, "level": 1, "interval": 1, "week_start": "MO", "until": None}


def shift(number: int, **more: Any) -> dict[str, Any]:
    return {**SHIFT, "id": f"O{number}", "name": f"shift {number}", "schedule": "SCH", **more}


def grafana(*shifts: dict[str, Any], **more: Any) -> dict[str, Any]:
    schedule = {"id": "SCH", "name": "Payments", "type": "web", "time_zone": "Europe/Berlin", "shifts": []}
    users = [{"id": user["id"], "username": user["name"], "email": user["email"]} for user in USERS]
    return {"users": {"results": users}, "schedules": {"results": [schedule]}, "on_call_shifts": list(shifts), **more}


def grafana_model(tree: dict[str, Any]) -> Callable[[datetime], str | None]:
    """Every occurrence of every shift is listed; the highest level of those that last at an instant counts."""
    spans: list[tuple[int, datetime, datetime, str]] = []
    for one in tree["on_call_shifts"]:
        groups = one.get("rolling_users") or [one["users"]]
        start, lasts = datetime.fromisoformat(one["start"]), timedelta(seconds=one["duration"])
        step = {"hourly": timedelta(hours=1), "daily": timedelta(days=1), "weekly": timedelta(days=7)}[one["frequency"]]
        level, turn, first = one["level"], 0, start
        if one.get("by_day"):
            first -= timedelta(days=(start.weekday() - DAYS.index(one["week_start"])) % 7)
        while first < AHEAD.end.replace(tzinfo=None) + timedelta(days=8):
            days = range(7) if one.get("by_day") else range(1)
            for day in days:
                begins = first + timedelta(days=day)
                if begins >= start and (not one.get("by_day") or DAYS[begins.weekday()] in one["by_day"]):
                    user = groups[(turn + one.get("start_rotation_from_user_index", 0)) % len(groups)][0]
                    spans.append((level, begins, begins + lasts, user))
            first, turn = first + step * one["interval"], turn + 1

    def at(instant: datetime) -> str | None:
        local = instant.astimezone(ZONE).replace(tzinfo=None)
        lasting = [(level, user) for level, start, end, user in spans if start <= local < end]
        return max(lasting)[1] if lasting else None

    return at


@pytest.mark.parametrize(
    "shifts",
    [
        [{"frequency": "weekly", "start": "2026-01-05T09:00:00", "duration": 604_800}],
        [{"frequency": "daily", "start": "2026-01-05T20:00:00", "duration": 43_200}],
        [{"frequency": "hourly", "interval": 12, "start": "2026-01-05T08:00:00", "duration": 43_200}],
        [{"frequency": "daily", "interval": 3, "start": "2026-01-05T08:00:00", "duration": 259_200}],
        [{"frequency": "weekly", "start": "2026-01-09T18:00:00", "duration": 226_800}],
        [
            {"frequency": "weekly", "start": "2026-01-05T00:00:00", "duration": 604_800},
            {"frequency": "weekly", "start": "2026-01-07T09:00:00", "duration": 28_800, "level": 2,
             "by_day": ["MO", "TU", "WE", "TH", "FR"], "week_start": "SU", "start_rotation_from_user_index": 1},
        ],
    ],
)  # fmt: skip
def test_the_final_schedule_is_grafanas(shifts: list[dict[str, Any]]) -> None:
    """Frequencies, intervals, days, levels and the first user, for four weeks."""
    rolling = [["PANA"], ["PBEN"], ["PEVE"]]
    tree = grafana(*(shift(number, rolling_users=rolling, **each) for number, each in enumerate(shifts)))
    export = read(tree)
    agree(export, grafana_model(tree), timedelta(minutes=15))
    assert [line.how for line in export.lines] == ["taken"]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"frequency": "monthly"}, "no turns of one length"),
        ({"frequency": "weekly", "by_month": [1]}, "months"),
        ({"frequency": "weekly", "interval": 2, "by_day": ["MO"]}, "leaves out weeks"),
        ({"frequency": "daily", "by_day": ["MO"]}, "moves the turns"),
        ({"frequency": "daily", "interval": 2}, "leaves out time"),
        ({"frequency": "weekly", "until": "2026-02-01T00:00:00"}, "it ended"),
        ({"frequency": "weekly", "rolling_users": []}, "nobody is in it"),
        ({"frequency": "weekly", "time_zone": "Mars/Base"}, "no IANA time zone"),
        ({"type": "other"}, "are not known"),
    ],
)
def test_what_has_no_counterpart_is_not_taken_and_the_reason_is_said(given: dict[str, Any], why: str) -> None:
    """The rest of the schedule is taken, in part."""
    whole = shift(1, rolling_users=[["PANA"]], frequency="weekly", start="2026-01-05T09:00:00", duration=604_800)
    values = {"rolling_users": [["PANA"], ["PBEN"]], "start": "2026-01-05T09:00:00", "duration": 28_800}
    export = read(grafana(whole, shift(2, **(values | given))))
    lines = [(line.how, line.why) for line in export.lines]
    assert lines[0][0] == "not taken"
    assert why in lines[0][1]
    assert lines[-1][0] == "taken in part"


def test_escalations_are_taken_with_what_they_name() -> None:
    """PagerDuty's by its services, with repeats; Grafana's with waits, turns and what it has no counterpart for."""
    rules = [
        {"escalation_delay_in_minutes": 10, "targets": [{"id": "PSCH", "type": "schedule_reference"}]},
        {"escalation_delay_in_minutes": 20, "targets": [{"id": "PBEN", "type": "user_reference"}]},
    ]
    policy = {"id": "PPOL", "name": "Money", "num_loops": 2, "escalation_rules": rules}
    tree = pagerduty(layer("PANA")) | {"escalation_policies": [policy]}
    services = [{"name": "payments", "escalation_policy": {"id": "PPOL"}}]
    (made,) = read(tree | {"services": services}).policies.values()
    assert [(step.after_s, step.notify) for step in made.steps] == [(0, ("payments-primary",)), (600, ("ben-okoro",))]
    assert (made.services, made.repeat, made.timeout_s) == (("payments",), 2, 1200)
    (unnamed,) = read(tree).policies.values()
    assert unnamed.labels == {"escalation_policy": "Money"}
    steps = [
        {"type": "notify_persons", "persons_to_notify": ["PANA"]},
        {"type": "wait", "duration": 300},
        {"type": "notify_person_next_each_time", "persons_to_notify_next_each_time": ["PBEN", "PEVE"]},
        {"type": "trigger_webhook"},
        {"type": "wait", "duration": 900},
        {"type": "repeat_escalation"},
    ]
    listed = [step | {"escalation_chain_id": "C", "position": number} for number, step in enumerate(steps)]
    export = read(grafana(escalation_chains=[{"id": "C", "name": "Money"}], escalation_policies={"results": listed}))
    (chain,) = export.policies.values()
    found = [(step.after_s, step.notify, step.round_robin) for step in chain.steps]
    assert found == [(0, ("ana",), False), (300, ("ben-okoro", "eve"), True)]
    assert (chain.repeat, chain.timeout_s) == (5, 900)
    assert any("trigger_webhook" in line.why for line in export.lines)


@pytest.mark.parametrize(
    "text",
    [
        "{", "{}", '{"schedules": 3}', '{"users": [{"id": 1}]}', "{" * 5000, '{"on_call_shifts": [{"id": "x"}]}',
        '{"schedules": [{"id": "a", "schedule_layers": [{"start": "2026-01-01"}]}]}', '{"a": "\ud800"}',
    ],
)  # fmt: skip
def test_what_is_no_export_is_an_error_that_says_so(text: str) -> None:
    with pytest.raises(ConfigError, match=r"export|the file has no schedules"):
        read_export(text.encode("utf-8", "surrogatepass"), CONFIG, {}, NOW, None)


def test_the_command_brings_it_into_force_as_one_version_and_once(db: Database, state_url: str, tmp_path: Path) -> None:
    """People, schedule, escalation and override; the same file again changes nothing."""
    now = datetime.now(UTC)
    override = {"start": f"{now:%Y-%m-%dT%H:%M}:00Z", "end": f"{now + timedelta(days=1):%Y-%m-%dT%H:%M}:00Z"}
    rules = [{"escalation_delay_in_minutes": 10, "targets": [{"id": "PSCH", "type": "schedule_reference"}]}]
    tree = pagerduty(layer("PANA", "PBEN"), overrides=[override | {"user": {"id": "PBEN"}}])
    tree |= {"escalation_policies": [{"id": "PPOL", "name": "Money", "escalation_rules": rules}]}
    file, config = tmp_path / "export.json", tmp_path / "watchkeeper.yaml"
    file.write_text(json.dumps(tree))
    config.write_text(
        f"state: {{url: '{state_url}'}}\nchannels: {{slack: {{}}, email: {{}}}}\n"
        "oncall:\n  people:\n    - {id: ana, name: Ana, addresses: {slack: UANA}}\n"
        "  schedules:\n    - {id: other, layers: [{people: [ana]}]}\n  escalation: [{after_s: 0, notify: other}]\n"
    )
    arguments = ["import", str(file), "--map", "Ana S.=ana", "--map", "PANA=ana", "--config", str(config)]
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0, shown.output
    assert newest(db) is None
    for _ in range(2):
        applied = CliRunner().invoke(app, [*arguments, "--apply"])
        assert applied.exit_code == 0, applied.output
    version = newest(db)
    assert version is not None
    assert len(versions(db)) == 1
    assert [one.id for one in version.oncall.people] == ["ana", "ben-okoro"]
    assert [one.id for one in version.oncall.policies] == ["money"]
    assert [(one.schedule, one.person) for one in stored_overrides(db)] == [("payments-primary", "ben-okoro")]
    config.write_text(config.read_text().replace(", email: {}", ""))
    tree["users"] = [{"id": "PBEN", "name": "Kim", "email": "kim@example.com"}]
    file.write_text(json.dumps(tree))
    refused = CliRunner().invoke(app, [*arguments, "--apply"])
    assert "person Kim: no address of theirs is one of a configured channel" in refused.output
    assert "'kim' has no address" in str(refused.exception)
    assert newest(db) == version
