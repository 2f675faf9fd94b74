"""What a schedule leaves open, and whom it has on call twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from typer.testing import CliRunner

from alerting.commands.oncall import app
from alerting.oncall.coverage import warnings
from alerting.oncall.schedule import Override
from watchkeeper.config import EscalationStep, LayerConfig, OnCallConfig, PersonConfig, ScheduleConfig
from watchkeeper.vocabulary import Window

PEOPLE = tuple(PersonConfig(id=name, name=name.title(), addresses={"slack": f"U{name}"}) for name in ("ana", "ben"))
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
WINDOW = Window(start=MONDAY, end=MONDAY + timedelta(days=14))
ALWAYS = LayerConfig(people=("ana",), start="2026-01-05T00:00")


def notes(*schedules: tuple[LayerConfig, ...], overrides: tuple[Override, ...] = ()) -> list[str]:
    """What is noted of the first schedule; each is a step of the escalation."""
    named = tuple(ScheduleConfig(id=f"s{number}", layers=layers) for number, layers in enumerate(schedules))
    steps = tuple(EscalationStep(after_s=300 * number, notify=each.id) for number, each in enumerate(named))
    return list(warnings(OnCallConfig(people=PEOPLE, schedules=named, escalation=steps), "s0", WINDOW, overrides))


def test_a_schedule_without_fault_has_no_note() -> None:
    """Two schedules with different people, and a layer that covers another in part."""
    office = LayerConfig(people=("ben",), start="2026-01-05T00:00", hours="09:00-17:00")
    night = LayerConfig(people=("ana",), start="2026-01-05T00:00", hours="09:00-17:00")
    assert notes((ALWAYS, office), (LayerConfig(people=("ben",), start="2026-01-05T00:00"), night)) == []


def test_a_gap_is_noted_with_how_often() -> None:
    """Nights of a layer that has only days."""
    office = LayerConfig(people=("ana",), start="2026-01-05T00:00", hours="08:00-20:00", days=("mon", "tue"))
    (note,) = notes((office,))
    assert note == (
        "nobody is on call from 2026-03-02 00:00 UTC (and 4 times more); then Ana is paged. Set a fallback."
    )


def test_a_layer_that_is_never_on_call_is_noted() -> None:
    """A later one without limits covers it."""
    (note,) = notes((LayerConfig(people=("ben",), start="2026-01-05T00:00", hours="08:00-20:00"), ALWAYS))
    assert note.startswith("layer 1 of 's0' is never on call")


def test_somebody_in_two_schedules_of_one_escalation_is_noted() -> None:
    """From when they first are."""
    turns = LayerConfig(people=("ben", "ana"), start="2026-03-02T00:00", turn_hours=24)
    (note,) = notes((ALWAYS,), (turns,))
    assert note == "ana is on call in 's0' and in 's1' from 2026-03-03 00:00 UTC: both steps page them"


def test_an_override_that_a_later_one_covers_is_noted() -> None:
    """The one made later wins; whoever made the first one should know."""

    def override(person: str, first: int, last: int) -> Override:
        return Override(
            schedule="s0", person=person, start=MONDAY + timedelta(hours=first), end=MONDAY + timedelta(hours=last)
        )

    (note,) = notes((ALWAYS,), overrides=(override("ben", 2, 8), override("ana", 6, 10)))
    assert note == "ana's override covers ben's from 2026-03-02 06:00 UTC: it was made later"


def test_the_command_prints_gaps_and_shadows(tmp_path: Path) -> None:
    """On the schedule that it lists."""
    file = tmp_path / "watchkeeper.yaml"
    file.write_text(
        f"""
data_dir: {tmp_path}/data
oncall:
  people: [{{id: ana, name: Ana, addresses: {{slack: UANA}}}}, {{id: zoe, name: Zoe, addresses: {{slack: UZOE}}}}]
  schedules:
    - id: primary
      layers: [{{people: [ana], hours: "08:00-20:00"}}]
      shadows: [{{people: [zoe]}}]
  escalation: [{{after_s: 0, notify: primary}}]
""",
        encoding="utf-8",
    )
    answer = CliRunner().invoke(app, ["schedule", "--config", str(file)], catch_exceptions=False)
    assert "note: nobody is on call from" in answer.stdout
    assert "shadows now, and is not paged: zoe" in answer.stdout
