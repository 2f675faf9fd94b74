"""Scheduled experiments: due by the calendar, approved by people, run once whatever is killed, never lost silently."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from alerting.incidents.commands import Incidents
from chaos.running import Notes, own_note
from chaos.schedules.announcing import Announcer, Place
from chaos.schedules.claims import taken
from chaos.schedules.launching import Launcher
from chaos.schedules.requests import Announcement
from chaos.schedules.rows import Approval, DueRuns
from chaos.schedules.schedule import closed, due_times, next_time, schedules
from chaos.schedules.scheduler import TAKEN_UP_WITHIN, Claimed, Scheduler
from tests.front_door import front_door
from tests.waiting import until
from watchkeeper.clock import FrozenClock
from watchkeeper.config import Config, OnCallConfig, ScheduleRule, load
from watchkeeper.errors import ChaosError, ConfigError
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database
from watchkeeper.state.stops import lift_stop, stop_everything
from watchkeeper.vocabulary import Actor, Finding

MONDAY = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
PEOPLE = [{"id": name, "name": name.title(), "addresses": {"slack": f"U0{name.upper()}"}} for name in ("ana", "ben")]


def at(*moment: int) -> datetime:
    return datetime(*moment, tzinfo=UTC)  # type: ignore[misc, arg-type]


@dataclass
class World:
    """A scheduler over a real database, with what it launched and whom it asked."""

    config: Config
    db: Database
    problems: Problems = field(default_factory=lambda: Problems(None))
    launched: list[Claimed] = field(default_factory=list)
    posted: dict[str, Announcement] = field(default_factory=dict)  # what stands where
    cleared: list[str] = field(default_factory=list)
    notes: Notes | None = None

    def turn(self, now: datetime) -> None:
        """One round of a scheduler that has just been started: it keeps nothing in memory."""
        Scheduler(
            self.config, self.db, self.problems,
            launch=self.launched.append,
            announcer=self.announcer(),
            clear_up=lambda: self.cleared.append("now"),
            notes=self.notes,
        ).turn(now)  # fmt: skip

    def announcer(self) -> Announcer:
        return Announcer(
            DueRuns(self.db), self.show, self.problems, names={"ana": "Ana", "ben": "Ben"}, radius=lambda _: "payments"
        )

    def show(self, shown: Announcement, place: Place, maybe_there: bool) -> Place:
        """A channel in which each message is one entry: a new one where it is given no place."""
        ts = place.ts or f"{len(self.posted)}"
        self.posted[ts] = shown
        return Place(conversation="C", ts=ts)

    def states(self) -> list[tuple[str, str]]:
        return [(run.state, run.detail) for run in reversed(DueRuns(self.db).history())]

    def reported(self) -> str:
        return " ".join(problem.reason for problem in self.problems.current())


def experiment(folder: Path, **more: Any) -> Path:
    """An experiment that leaves a mark, and takes it away again."""
    path = folder / "mark.json"
    action = {
        "type": "action",
        "name": "mark",
        "provider": {"type": "process", "path": "touch", "arguments": [str(folder / "mark")]},
    }
    content = {"title": "A mark", "description": "Leaves a mark.", "method": [action], "rollbacks": [], **more}
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def world(tmp_path: Path) -> Callable[..., World]:
    def make(**rule: Any) -> World:
        entry = {"id": "mark", "file": str(experiment(tmp_path)), "cron": "0 10 * * *", **rule}
        tree = {
            "data_dir": str(tmp_path / "data"), "chaos": {"experiments": [entry]},
            "oncall": {"people": PEOPLE, "schedules": [{"id": "primary", "layers": [{"people": ["ana"]}]}],
                       "escalation": [{"after_s": 0, "notify": "primary"}]},
        }  # fmt: skip
        path = tmp_path / "watchkeeper.yaml"
        path.write_text(yaml.safe_dump(tree))
        config = load(path)
        return World(config, Database.open(config), notes=Notes(tmp_path))

    return make


@pytest.mark.parametrize(
    ("cron", "zone", "expected"),
    [
        ("0 10 * * 1", "UTC", [at(2026, 11, 30, 10), at(2026, 12, 7, 10)]),  # Monday, as cron counts
        ("0 10 * * 0", "UTC", [at(2026, 12, 6, 10), at(2026, 12, 13, 10)]),
        ("0 10 * * 7", "UTC", [at(2026, 12, 6, 10), at(2026, 12, 13, 10)]),
        ("30 9 1 * *", "Asia/Kolkata", [at(2026, 12, 1, 4)]),
        ("0 10 * * sat-sun", "Europe/Berlin", [at(2026, 12, day, 9) for day in (5, 6, 12, 13)]),
    ],
)
def test_times_are_those_of_cron_in_the_zone(cron: str, zone: str, expected: list[datetime]) -> None:
    """Day names and numbers as cron has them; local time, in UTC."""
    assert list(due_times(ScheduleRule(cron=cron, timezone=zone), MONDAY, at(2026, 12, 14))) == expected


def test_a_clock_change_neither_doubles_nor_loses_a_time() -> None:
    """02:30 does not exist in spring and comes twice in autumn in Berlin: one run a day all the same, at most."""
    rule = ScheduleRule(cron="30 2 * * *", timezone="Europe/Berlin")
    for first in (at(2027, 3, 26), at(2026, 10, 23)):
        days = [time.date() for time in due_times(rule, first, first + timedelta(days=5))]
        assert len(days) == len(set(days)) == 5


def test_hours_days_and_blackouts_close_in_the_zone_of_the_schedule() -> None:
    """What UTC says does not matter."""
    rule = ScheduleRule(
        cron="0 * * * *", timezone="Asia/Tokyo", hours="09:00-17:00", days=("mon", "tue"),
        blackout=("2026-12-01..2026-12-01",),
    )  # fmt: skip
    assert closed(rule, at(2026, 11, 30, 0)) == ""  # 09:00 on Monday in Tokyo
    assert "outside 09:00-17:00" in closed(rule, at(2026, 11, 30, 8))  # 17:00
    assert "blackout" in closed(rule, at(2026, 11, 30, 15))  # Tuesday there
    assert "nothing begins on wed" in closed(rule, at(2026, 12, 2, 1))
    assert next_time(rule, at(2026, 11, 30, 8)) == at(2026, 12, 7, 0)


@given(
    zone=st.sampled_from(("UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/Havana", "Asia/Kolkata")),
    minute=st.integers(0, 59),
    hours=st.sampled_from(("00:00-24:00", "09:00-17:00", "02:30-02:40", "00:00-01:00", "23:00-24:00")),
    days=st.sets(st.sampled_from(("mon", "tue", "sat", "sun")), min_size=1),
    blackout=st.sampled_from(((), ("2026-10-24..2026-10-27",), ("2027-03-13..2027-03-15",))),
    after=st.sampled_from((at(2026, 10, 23), at(2026, 10, 31, 9), at(2027, 3, 12), at(2027, 3, 26), at(2027, 4, 3, 1)))
    .flatmap(lambda day: st.integers(0, 3000).map(lambda minutes: day + timedelta(minutes=minutes))),
)  # fmt: skip
def test_the_next_time_is_the_first_that_is_open(
    zone: str, minute: int, hours: str, days: set[str], blackout: tuple[str, ...], after: datetime
) -> None:
    """Also about clock changes; what is closed is leapt over and not asked time by time."""
    rule = ScheduleRule.model_validate(
        {"cron": f"{minute} */3 * * *", "timezone": zone, "hours": hours, "days": sorted(days), "blackout": blackout}
    )
    until = after + timedelta(days=10)
    expected = next((time for time in due_times(rule, after, until) if not closed(rule, time)), None)
    found = next_time(rule, after)
    assert found == expected if expected else found is None or found > until


def test_a_year_without_an_open_time_is_no_work_for_a_day() -> None:
    """Every minute is due, and none is open."""
    rule = ScheduleRule(cron="* * * * *", blackout=("2026-12-01..2027-12-31",))
    assert next_time(rule, at(2026, 12, 1)) is None


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"cron": "0 10 * *"}, "five fields"),
        ({"cron": "0 10 * * 8"}, "no day of the week"),
        ({"cron": "61 10 * * *"}, "chaos.experiments.0.cron"),
        ({"hours": "9-17"}, "write hours like 09:00-17:00"),
        ({"blackout": ["24.12.2026"]}, "write a day like 2026-12-24"),
        ({"timezone": "Berlin"}, "Europe/Berlin"),
        ({"approval": {"by": ["ana"], "count": 2}}, "asks for 2 approvals by 1 people"),
        ({"approval": {"by": ["zoe"]}}, "nobody among oncall.people has the id 'zoe'"),
    ],
)
def test_a_wrong_schedule_is_refused_with_its_line(
    rule: dict[str, Any], words: str, world: Callable[..., World]
) -> None:
    """When the file is read, not when the time has come."""
    with pytest.raises(ConfigError, match=r"watchkeeper.yaml:\d+: chaos.experiments.0") as refused:
        world(**rule)
    assert words in refused.value.message


def test_a_due_time_is_run_once_by_however_many_roles(world: Callable[..., World]) -> None:
    """Nothing that was due before the schedule was known; then each time once, also with a second watch role."""
    here = world()
    here.turn(MONDAY)
    here.turn(MONDAY + timedelta(minutes=59))
    assert here.launched == []
    for seconds in (0, 1, 2):
        here.turn(at(2026, 11, 30, 10) + timedelta(seconds=seconds))
    assert [claimed.due_at for claimed in here.launched] == [at(2026, 11, 30, 10)]
    assert here.states() == [("claimed", "")]


def test_times_without_a_watch_role_are_missed_and_said(world: Callable[..., World]) -> None:
    """Three days without a role: the newest is late but may run, the others are missed, not forgotten."""
    here = world(late_minutes=60)
    here.turn(MONDAY)
    here.turn(at(2026, 12, 2, 10, 30))
    assert [state for state, _ in here.states()] == ["missed", "missed", "claimed"]
    assert "2 due times were missed" in here.reported()
    here.turn(at(2026, 12, 5, 11, 30))
    assert [state for state, _ in here.states()][3:] == ["missed", "missed", "missed"]
    assert "it was too late to begin" in here.reported()


def test_a_claim_that_nobody_took_up_is_void_and_run_again(world: Callable[..., World]) -> None:
    """kill -9 between the claim and the start: run once all the same, and the late process does nothing."""
    here = world()
    here.turn(MONDAY)
    due = at(2026, 11, 30, 10)
    for moment in (
        due,
        due + TAKEN_UP_WITHIN,
        due + TAKEN_UP_WITHIN + timedelta(seconds=1),
        due + timedelta(minutes=2),
    ):
        here.turn(moment)
    first, second = here.launched
    assert first.due_at == second.due_at
    assert first.claim != second.claim
    with pytest.raises(ChaosError, match="taken back"), taken(here.db, token(first), "late"):
        pytest.fail("the void claim was taken")
    with taken(here.db, token(second), "own") as ending:
        ending.detail = "completed"
    assert here.states() == [("done", "completed")]
    with pytest.raises(ChaosError, match="taken back"), taken(here.db, token(second), "again"):
        pytest.fail("a claim was taken twice")


def test_a_run_whose_process_is_gone_was_cut_short(world: Callable[..., World]) -> None:
    """It is said, and what it left behind is cleared up; while the process is there, nothing is."""
    here = world()
    here.turn(MONDAY)
    due = at(2026, 11, 30, 10)
    here.turn(due)
    runs = DueRuns(here.db)
    (claimed,) = runs.open()
    runs.began(claimed, "run", socket.gethostname(), due)
    assert here.notes is not None
    facts = {"title": "A mark", "source": "mark.json", "radius": "", "content": {"rollbacks": [{}]}}
    note = own_note("run", **facts)
    here.notes.write(note)
    later = due + TAKEN_UP_WITHIN + timedelta(seconds=1)
    here.turn(later)
    assert here.states() == [("running", "")]
    with subprocess.Popen(["sleep", "60"]) as process:
        process.kill()
    here.notes.write(
        type(note)(**{**facts, "id": "run", "pid": process.pid, "born": "another", "began": 1.0, "phase": "method"})
    )
    here.turn(later)
    assert here.states() == [("cut short", "its process was killed")]
    assert here.cleared == ["now"]
    assert "cut short" in here.reported()


def test_a_machine_that_never_comes_back_is_not_waited_for_for_ever(world: Callable[..., World]) -> None:
    """A container that was replaced has another name: nobody can look whether the process is there."""
    here = world()
    here.turn(MONDAY)
    due = at(2026, 11, 30, 10)
    here.turn(due)
    runs = DueRuns(here.db)
    (claimed,) = runs.open()
    runs.began(claimed, "run", "another", due)
    for days in (7, 8):
        Scheduler(here.config, here.db, here.problems, launch=here.launched.append).turn(due + timedelta(days=days))
        assert (runs.get("mark", due).state == "running") == (days == 7)  # type: ignore[union-attr]


def test_people_are_asked_again_where_what_they_approved_never_began(world: Callable[..., World]) -> None:
    """Their approvals were used up by the claim; nobody must wait for those who think that they approved."""
    here = world(approval={"by": ["ana"]})
    here.turn(MONDAY)
    due = at(2026, 11, 30, 10)
    here.turn(due)
    (schedule,), _ = schedules(here.config)
    approval = Approval(person="ana", at=due, digest=schedule.read().digest)
    DueRuns(here.db).approve("mark", approval, Actor(name="ana", via="cli"))
    here.turn(due)
    assert len(here.launched) == 1
    here.turn(due + TAKEN_UP_WITHIN + timedelta(seconds=1))
    here.turn(due + TAKEN_UP_WITHIN + timedelta(seconds=2))
    assert len(here.posted) == 2  # a second message, which notifies them again
    assert list(here.posted.values())[-1].status == "Waits for approval: 0 of 1"


def test_nothing_begins_while_everything_is_stopped(world: Callable[..., World]) -> None:
    """It waits, and begins when the stop is over."""
    here = world()
    here.turn(MONDAY)
    due, ana = at(2026, 11, 30, 10), Actor(name="ana", via="cli")
    stop_everything(here.db, ana, "a fire", due)
    here.turn(due)
    assert here.launched == []
    lift_stop(here.db, ana, due)
    here.turn(due)
    assert len(here.launched) == 1


def test_nothing_begins_while_an_incident_is_open(world: Callable[..., World]) -> None:
    """It waits as long as the schedule allows, and is skipped with the reason."""
    here = world(late_minutes=30)
    here.turn(MONDAY)
    due = at(2026, 11, 30, 10)
    clock = FrozenClock(due - timedelta(minutes=5))
    seen = Finding(
        detector="test", detector_version="1", kind="latency", service="web", summary="web is slow", onset=clock.now(),
        seen_at=clock.now(), score=0.99, severity="page",
    )  # fmt: skip
    Incidents(here.db, clock, OnCallConfig()).observe([seen])
    for minutes in (0, 29, 31):
        here.turn(due + timedelta(minutes=minutes))
    assert here.launched == []
    ((state, detail),) = here.states()
    assert state == "skipped"
    assert "is open: web is slow" in detail


def test_people_approve_what_they_saw(world: Callable[..., World], tmp_path: Path) -> None:
    """Two of two, asked once; an approval of another content, or an old one, or of somebody else, does not count."""
    here = world(approval={"by": ["ana", "ben"], "count": 2, "stands_hours": 5})
    here.turn(MONDAY)
    due = at(2026, 11, 30, 10)
    for minutes in (0, 1):
        here.turn(due + timedelta(minutes=minutes))
    ((shown),) = here.posted.values()
    assert (shown.request.by, shown.request.count, shown.status) == (
        ("ana", "ben"), 2, "Waits for approval: 0 of 2",
    )  # fmt: skip
    runs, actor = DueRuns(here.db), Actor(name="root", via="cli")
    ((known,), _) = schedules(here.config)
    digest = known.read().digest
    for person, hours, seen in (
        ("ana", -6.0, digest),
        ("ben", 0.1, "other"),
        ("zoe", 0.1, digest),
        ("ana", 0.2, digest),
    ):
        runs.approve("mark", Approval(person=person, at=due + timedelta(hours=hours), digest=seen), actor)
        here.turn(due + timedelta(hours=0.3))
    assert here.launched == []
    runs.approve("mark", Approval(person="ben", at=due + timedelta(hours=0.3), digest=digest), actor)
    experiment(tmp_path, tags=["changed"])
    here.turn(due + timedelta(hours=0.4))
    assert here.launched == []
    experiment(tmp_path)
    here.turn(due + timedelta(hours=0.5))
    assert len(here.launched) == 1
    assert runs.approvals("mark") == ()  # used up: the next run is asked for anew
    here.turn(at(2026, 12, 1, 10))
    here.turn(at(2026, 12, 1, 15, 1))
    # The next one is asked for already, half as long before its time as an approval stands.
    assert here.states()[-1] == ("expired", "0 of 2 approvals were given")
    assert "not run at 2026-12-01 10:00 UTC" in here.reported()


def test_files_of_the_folder_have_schedules_of_their_own(tmp_path: Path) -> None:
    """In the extension; a file that cannot be read stops no other, and is named."""
    folder = tmp_path / "experiments"
    folder.mkdir()
    rule = {"cron": "0 10 * * 1-5", "timezone": "Europe/Berlin"}
    experiment(folder, extensions=[{"name": "watchkeeper", "schedule": rule}]).rename(folder / "weekly.json")
    experiment(folder).rename(folder / "by-hand.json")
    (folder / "broken.yaml").write_text("title: [")
    config = Config.model_validate({"data_dir": str(tmp_path), "chaos": {"folder": str(folder)}})
    known, mistakes = schedules(config)
    assert [(schedule.id, schedule.rule.timezone) for schedule in known] == [("weekly", "Europe/Berlin")]
    assert list(mistakes) == [str(folder / "broken.yaml")]


def test_a_claimed_run_runs_in_a_process_of_its_own(
    world: Callable[..., World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started for real: the row, the journal and the mark are there, and the same claim does nothing again."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # what else runs on this machine is no affair of this test
    here = world(approval={"by": ["ana"]})
    here.turn(MONDAY)
    ((schedule,), _) = schedules(here.config)
    approval = Approval(person="ana", at=MONDAY, digest=schedule.read().digest)
    DueRuns(here.db).approve("mark", approval, Actor(name="ana", via="cli"))
    here.turn(at(2026, 11, 30, 10))
    (claimed,) = here.launched
    launcher = Launcher(here.config, tmp_path / "watchkeeper.yaml")
    launcher.launch(claimed)
    log = here.config.data_dir / "chaos" / "scheduled.log"
    until(lambda: here.states() == [("done", "completed")], moving=log.read_text, what="the end of the run")
    assert (tmp_path / "mark").exists()
    (journal,) = (here.config.data_dir / "chaos" / "journals").glob("*.json")
    written = json.loads(journal.read_text())
    assert (written["status"], written["watchkeeper"]["approved_by"]) == ("completed", "ana")
    (tmp_path / "mark").unlink()
    launcher.launch(claimed)
    until(lambda: "taken back" in log.read_text(), moving=log.read_text, what="the refusal")
    until(lambda: launcher.reap() or not launcher._started, what="the end of its process")
    assert not (tmp_path / "mark").exists()


def test_the_command_lists_and_approves(
    world: Callable[..., World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who may approve is named; whoever did is shown and on record."""
    here = world(approval={"by": ["ana"]})
    here.db.close()
    path = str(tmp_path / "watchkeeper.yaml")
    run = front_door(monkeypatch, capsys)
    status, _, err = run("chaos", "approve", "mark", "--as", "zoe", "--config", path)
    assert (status, "one of: ana" in err) == (1, True)
    status, out, _ = run("chaos", "approve", "mark", "--as", "ana", "--config", path)
    assert (status, out) == (0, "A mark: 1 of 1 approvals, for 24 hours\n")
    rows = json.loads(run("chaos", "schedule", "--json", "--config", path)[1])
    assert rows["schedules"][0]["approved_by"] == ["ana"]
    assert "approvals: 1 of 1" in run("chaos", "schedule", "--config", path)[1]
    status, _, err = run("chaos", "approve", "other", "--config", path)
    assert "there are: mark" in err


def token(claimed: Claimed) -> str:
    return f"{claimed.schedule.id}@{claimed.due_at.isoformat()}@{claimed.claim}"
