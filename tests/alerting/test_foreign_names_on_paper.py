"""Names and notes from outside in the postmortem, the calendar and the terminal: they only stand there."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from icalendar import Calendar
from markdown_it import MarkdownIt

from alerting.incidents.commands import Incidents
from alerting.oncall.ical import to_ical
from alerting.postmortems import postmortem
from tests.alerting.channels.slack.test_foreign_names_in_slack import hostile
from tests.hostile import EVERY, HOSTILE
from watchkeeper.cli import main as front
from watchkeeper.clock import SystemClock
from watchkeeper.config import LayerConfig, OnCallConfig, PersonConfig, ScheduleConfig, load
from watchkeeper.names import storable
from watchkeeper.state.changes import record_change
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor, ChangeEvent, Label, Window

NOW = datetime(2026, 3, 1, 3, tzinfo=UTC)


def unseen(text: str) -> set[str]:
    return {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")} - {"\n"}


def change(name: str) -> ChangeEvent:
    """A change in which everything is named so, and whose address is, too."""
    return ChangeEvent(
        id="c1", at=NOW, kind="deploy", service=f"{name}x", title=f"{name}x", version=name, author=name, url=name
    )


@pytest.mark.parametrize("which", sorted(EVERY))
def test_a_postmortem_only_shows_foreign_names(which: str) -> None:
    """Rendered, it has its own headings, tables and boxes, no link, picture, code or HTML of anybody else's."""
    name = EVERY[which]
    incident = hostile(name)
    label = Label(
        id="l", incident_id="inc-1", source="human", author=name + ".", at=NOW, warranted=True, cause=name, note=name
    )
    calm = hostile("cart")
    calm_label = Label(
        id="l", incident_id="inc-1", source="human", author="Ana", at=NOW, warranted=True, cause="cart", note="note"
    )
    shape = _shape(_render(calm, calm_label, "cart"))
    page = _render(incident, label, name)
    assert unseen(page) == set()
    assert max(map(len, page.splitlines())) < 15_000
    assert _shape(page) == shape


def _render(incident: object, label: Label, name: str) -> str:
    from dataclasses import replace

    record = postmortem.Record(detector="red", warranted=1, judged=2)
    return postmortem.render(replace(incident, labels=(label,)), [change(name)], [record])  # type: ignore[type-var, arg-type]


def _shape(page: str) -> list[str]:
    markdown = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    kinds = []
    for token in markdown.parse(page):
        kinds.append(token.type)
        kinds += [child.type for child in token.children or () if not child.type.startswith("text")]
    return kinds


def test_a_link_of_a_change_leads_to_the_web_or_nowhere() -> None:
    """What is an address is linked; what only looks like one is not."""
    from dataclasses import replace

    good = replace(change("cart"), url="https://ci.example/run/1")
    bad = replace(change("cart"), url="javascript:alert(1)")
    page = postmortem.render(hostile("cart"), [good, bad], [])
    assert page.count("](") == 1
    assert "](https://ci.example/run/1)" in page


@pytest.mark.parametrize("which", sorted(HOSTILE))
def test_a_calendar_only_shows_foreign_names(which: str) -> None:
    """One shift is one event with its few lines, whatever the person or the schedule is called."""
    name = HOSTILE[which]
    person = PersonConfig.model_construct(id="p", name=name, addresses={}, timezone="UTC")
    oncall = OnCallConfig.model_construct(
        people=(person,),
        schedules=(ScheduleConfig.model_construct(id=name, layers=(LayerConfig(people=("p",)),), fallback=None),),
        escalation=(),
    )
    text = to_ical(oncall, name, Window(start=NOW, end=NOW + timedelta(hours=3)), now=NOW)
    calendar = Calendar.from_ical(text)
    events = [part for part in calendar.walk() if part.name == "VEVENT"]
    assert len(events) == 1
    assert {part.name for part in calendar.walk()} == {"VCALENDAR", "VEVENT"}
    assert set(events[0]) == {"UID", "SUMMARY", "DTSTART", "DTEND", "DTSTAMP"}
    assert unseen(str(events[0]["SUMMARY"])) == set()
    assert all(len(line) <= 75 for line in text.split(b"\r\n"))
    assert unseen(text.decode()) <= {"\r"}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Give a command through the front door: what it prints."""
    (tmp_path / "watchkeeper.yaml").write_text("data_dir: data\n")
    monkeypatch.setenv("WATCHKEEPER_CONFIG", str(tmp_path / "watchkeeper.yaml"))

    def command(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["watchkeeper", *words])
        capsys.readouterr()
        code: object = 0
        try:
            front.main()
        except SystemExit as left:
            code = left.code
        assert not code
        return capsys.readouterr().out

    return command


def test_a_terminal_only_shows_foreign_names(run: Callable[..., str], tmp_path: Path) -> None:
    """No control character reaches it, no name makes a line of its own, and JSON can be read back."""
    config = load(tmp_path / "watchkeeper.yaml")
    db = Database.open(config)
    incidents = Incidents(db, SystemClock(), config.oncall)
    for which, name in HOSTILE.items():
        incident = hostile(name)
        (incident_id,) = incidents.observe([incident.findings[0]], now=SystemClock().now())
        assert incident.diagnosis is not None
        incidents.diagnosed(incident_id, incident.diagnosis, incident.proposal, "d")
        incidents.page(incident_id)
        incidents.note(incident_id, Actor(name=name, via="cli"), f"note{name}", "n")
        shown = run("incident", "show", incident_id)
        assert unseen(shown) == set(), which
        calm = shown.count("\n")
        assert calm < 60, which
        assert max(map(len, shown.splitlines())) < 6000, which
        read = json.loads(run("incident", "show", incident_id, "--json"))
        assert read["service"] == storable(name)
        incidents.resolve(incident_id, Actor(name=name, via="cli"), "r")
        run("postmortem", "show", incident_id)
    record_change(db, change("cart"))
    db.close()
    listed = run("incident", "list")
    assert unseen(listed) == set()
    assert len(listed.splitlines()) == len(HOSTILE) + 1
    assert "[red]" in listed


def test_a_csv_of_templates_holds_no_formula(run: Callable[..., str], tmp_path: Path) -> None:
    """Lines that begin like a formula become cells that don't."""
    log = tmp_path / "some.log"
    log.write_text("".join(f"{line}\n" for line in HOSTILE.values() if "\n" not in line and len(line) < 999) * 3)
    out = tmp_path / "out.csv"
    run("templates", str(log), "--out", str(out))
    import csv

    with out.open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if re.match(r"\s*[=+@-]", cell)]
    assert any("HYPERLINK" in cell for cell in cells)
