"""An object of the rota as a form and as YAML, and what saving it would change."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dash.development.base_component import Component

from alerting.oncall.applying import bring_into_force, plan_edit
from alerting.oncall.object_text import as_text, at_lines, read_text
from alerting.oncall.ownership import Kind, objects
from alerting.oncall.preview import changed_objects, moved, new_warnings
from dashboard.components.rota_fields import NEW, fields, fits, value_of, with_rows
from watchkeeper.config import Config, EscalationStep, LayerConfig, OnCallConfig, PersonConfig, ScheduleConfig
from watchkeeper.errors import ConfigError, KeysError
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor, Window

ANA = Actor(name="Ana", via="dashboard")
NOW = datetime(2026, 3, 11, 12, tzinfo=UTC)
WINDOW = Window(start=NOW, end=NOW + timedelta(days=14))
PERSON = {
    "name": "Eve Li",
    "addresses": {"slack": "UEVE"},
    "notification_rules": [{"channel": "slack", "after_s": 90}],
    "timezone": "Asia/Tokyo",
}
LAYER = {"people": ["ben", "ana"], "start": "2026-03-02T09:00", "turn_hours": 84.0, "holidays": ["2026-12-24"]}
SCHEDULE = {"timezone": "Europe/Berlin", "layers": [LAYER, {"people": ["ana"], "days": ["sat", "sun"]}]}
POLICY = {
    "services": ["pay-*"],
    "labels": {"severity": "critical"},
    "severities": ["SEV1"],
    "steps": [
        {"after_s": 0, "notify": ["primary"]},
        {"after_s": 300, "notify": ["ana", "ben"], "round_robin": True},
    ],
    "repeat": 2,
    "timeout_s": 600,
    "fallback": ["ben"],
}
OBJECTS: list[tuple[Kind, Any]] = [
    ("people", PERSON),
    ("schedules", SCHEDULE),
    ("policies", POLICY),
    ("teams", ["pay-*", "bank"]),
]


def config() -> Config:
    names = ("ana", "ben")
    return Config(
        oncall=OnCallConfig(
            people=tuple(PersonConfig(id=name, name=name.title(), addresses={"slack": f"U{name}"}) for name in names),
            schedules=(ScheduleConfig(id="primary", layers=(LayerConfig(people=("ana",)),)),),
            escalation=(EscalationStep(after_s=0, notify=("primary",)),),
        )
    )


def typed(part: Any) -> Iterator[tuple[str, Any]]:
    """What stands in the fields of a form, as the browser would send it."""
    if isinstance(part, (list, tuple)):
        for child in part:
            yield from typed(child)
    elif isinstance(part, Component):
        name = getattr(part, "id", None)
        if isinstance(name, dict) and "rota" in name:
            yield name["rota"], getattr(part, "value", None)
        yield from typed(getattr(part, "children", None))


@pytest.mark.parametrize(("kind", "value"), OBJECTS)
def test_a_form_gives_back_what_it_was_drawn_from(db: Database, kind: Kind, value: Any) -> None:
    """Nothing that an object holds is lost by looking at it."""
    tree = config()
    kept = objects(plan_edit(db, tree, kind, "new", value, ANA).oncall, kind)["new"]
    assert fits(kind, kept)
    given = value_of(kind, dict(typed(fields(kind, kept, tree, is_new=False))))
    assert objects(plan_edit(db, tree, kind, "new", given, ANA).oncall, kind)["new"] == kept


@pytest.mark.parametrize(
    "layer",
    [{"people": ["ana"], "timezone": "UTC"}, {"people": ["ana"], "end": "2030-01-01T00:00"}],
)
def test_what_has_no_field_is_no_form(db: Database, layer: Any) -> None:
    """It is edited as YAML: saving a form would lose it."""
    plan = plan_edit(db, config(), "schedules", "new", {"layers": [layer]}, ANA)
    assert not fits("schedules", objects(plan.oncall, "schedules")["new"])


def test_rows_are_added_moved_and_removed() -> None:
    added = with_rows("policies", POLICY, "add", 2)
    assert [step["after_s"] for step in added["steps"]] == [0, 300, 300.0]
    assert with_rows("policies", POLICY, "earlier", 1)["steps"] == POLICY["steps"][::-1]  # type: ignore[index]
    assert with_rows("policies", POLICY, "remove", 0)["steps"] == POLICY["steps"][1:]  # type: ignore[index]
    for change, at in (("earlier", 0), ("remove", 9), ("drop", 0)):
        assert with_rows("policies", POLICY, change, at) == POLICY


def test_a_span_that_cannot_be_read_names_its_row() -> None:
    """`5` of what?"""
    form = dict(typed(fields("policies", NEW["policies"], config(), is_new=False))) | {"steps.0.after": "5"}
    with pytest.raises(ConfigError, match=r"step 1: '5' is no span of time; write it like 30m"):
        value_of("policies", form)


def test_a_mistake_in_yaml_is_named_with_its_line(db: Database) -> None:
    """By the same rules as the file; what is no YAML at all, too."""
    text = "timezone: UTC\nlayers:\n  - people: [ana]\n  - people: [ana, nobody]\n    turn_hours: 0\n"
    document, tree = read_text("schedules", text), config()
    with pytest.raises(KeysError) as caught:
        plan_edit(db, tree, "schedules", "night", document.data, ANA)
    told = at_lines(document, tree.oncall, "schedules", "night", caught.value).message
    assert told.startswith("line 5: layers.2.turn_hours: ")
    document = read_text("schedules", text.replace("0\n", "12\n"))
    with pytest.raises(KeysError) as caught:
        plan_edit(db, tree, "schedules", "night", document.data, ANA)
    told = at_lines(document, tree.oncall, "schedules", "night", caught.value).message
    assert told.startswith("line 4: layers.2.people.2: names 'nobody'")
    for wrong, what in (
        ("layers: [", "line 1: is not YAML"),
        ("- a", "line 1: a schedule is"),
        ("a: 1\na: 2", "line 2"),
    ):
        with pytest.raises(ConfigError, match=what):
            read_text("schedules", wrong)
    assert read_text("people", as_text(PERSON)).data == PERSON


def test_the_preview_names_who_is_on_call_instead(db: Database) -> None:
    """Each span, joined; a schedule that is new begins with nobody."""
    tree = config()
    bring_into_force(db, plan_edit(db, tree, "schedules", "night", {"layers": [{"people": ["ana"]}]}, ANA), NOW, ANA)
    after = plan_edit(
        db,
        tree,
        "schedules",
        "night",
        {"layers": [{"people": ["ana", "ben"], "start": "2026-03-11T12:00", "turn_hours": 120}]},
        ANA,
    )
    assert after.before is not None
    spans = moved(after.before.oncall, after.oncall, WINDOW, ())
    hours = [((s.start - NOW).days, (s.end - NOW).days, s.schedule, s.before, s.after) for s in spans]
    assert hours == [(5, 10, "night", "ana", "ben")]
    assert next((s.before, s.after) for s in moved(tree.oncall, after.oncall, WINDOW, ())) == (None, "ana")
    ((what, lines),) = changed_objects(after.before.oncall, after.oncall)
    assert what == "schedule night"
    assert "+   - ben" in lines


def test_the_preview_warns_of_a_gap_that_was_not_there(db: Database) -> None:
    gappy = {"layers": [{"people": ["ana"], "days": ["mon"]}]}
    after = plan_edit(db, config(), "schedules", "night", gappy, ANA).oncall
    assert any("nobody is on call" in text for text in new_warnings(config().oncall, after, WINDOW, ()))
    assert new_warnings(after, after, WINDOW, ()) == ()
