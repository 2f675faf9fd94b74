"""People decide about a scheduled experiment before its time: approve, refuse, postpone; each counts once, or not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from chaos.schedules.announcing import Announcer, Place, announcements
from chaos.schedules.decisions import Decisions
from chaos.schedules.requests import Announcement
from chaos.schedules.rows import DueRuns
from chaos.schedules.scheduler import Claimed, Scheduler
from watchkeeper.clock import FrozenClock
from watchkeeper.config import Config
from watchkeeper.errors import ChaosError, Conflict, DeliveryError
from watchkeeper.problems import Problems
from watchkeeper.state.audit import audit_trail
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor

MONDAY = datetime(2026, 11, 30, 7, 0, tzinfo=UTC)
TEN = datetime(2026, 11, 30, 10, 0, tzinfo=UTC)
ANA, BEN, ZOE = (Actor(name=name, via="slack") for name in ("Ana", "Ben", "Zoe"))
PEOPLE = [{"id": name, "name": name.title(), "addresses": {"slack": f"U0{name.upper()}"}} for name in ("ana", "ben")]


class Killed(BaseException):
    """kill -9."""


@dataclass
class Asking:
    """A scheduler over a real database, and a channel in memory that outlives it."""

    db: Database
    config: Config
    clock: FrozenClock
    posted: dict[str, list[Announcement]] = field(default_factory=dict)
    launched: list[Claimed] = field(default_factory=list)
    problems: Problems = field(default_factory=lambda: Problems(None))
    broken: bool = False
    dies: str = ""

    def show(self, shown: Announcement, place: Place, maybe_there: bool) -> Place:
        if self.broken:
            raise DeliveryError("Slack is away", retry=True)
        if self.dies == "before":
            raise Killed
        known = place.ts or (shown.token if maybe_there and shown.token in self.posted else "")
        assert known or shown.token not in self.posted, "a second message about one run"
        self.posted.setdefault(shown.token, []).append(shown)
        if self.dies == "after":
            raise Killed
        return Place(conversation="C", ts=shown.token)

    def turn(self, at: datetime | None = None) -> None:
        """One round of a watch role that has just been started."""
        if at is not None:
            self.clock.advance((at - self.clock.now()).total_seconds())
        announcer = Announcer(
            DueRuns(self.db), self.show, self.problems, names={"ana": "Ana", "ben": "Ben"}, radius=lambda _: "payments"
        )
        Scheduler(self.config, self.db, self.problems, launch=self.launched.append, announcer=announcer).turn(
            self.clock.now()
        )

    @property
    def decisions(self) -> Decisions:
        return Decisions(self.config, self.db, self.clock)

    @property
    def shown(self) -> Announcement:
        """The newest message as it stands."""
        return list(self.posted.values())[-1][-1]

    def states(self) -> list[tuple[str, str]]:
        return [(run.state, run.detail) for run in reversed(DueRuns(self.db).history())]


@pytest.fixture
def asking(db: Database, tmp_path: Path) -> Callable[..., Asking]:
    """A schedule at ten each day whose run two of two people approve; known since seven."""

    def make(**rule: Any) -> Asking:
        path = tmp_path / "mark.json"
        action = {"type": "action", "name": "mark", "provider": {"type": "process", "path": "true"}}
        path.write_text(json.dumps({"title": "A mark", "description": "d", "method": [action], "rollbacks": []}))
        approval = {"by": ["ana", "ben"], "count": 2, "stands_hours": 4} | rule.pop("approval", {})
        entry = {"id": "mark", "file": str(path), "cron": "0 10 * * *", "approval": approval, **rule}
        tree = {
            "data_dir": str(tmp_path),
            "chaos": {"experiments": [entry]},
            "oncall": {"people": PEOPLE, "schedules": [{"id": "primary", "layers": [{"people": ["ana"]}]}],
                       "escalation": [{"after_s": 0, "notify": "primary"}]},
        }  # fmt: skip
        made = Asking(db, Config.model_validate(tree), FrozenClock(MONDAY))
        made.turn()
        return made

    return make


def test_people_are_asked_ahead_and_it_begins_at_its_time(asking: Callable[..., Asking]) -> None:
    """Two hours before; approved by both, it begins at ten and not before; the row keeps who approved."""
    here = asking()
    here.turn(TEN - timedelta(hours=2, minutes=1))
    assert here.posted == {}
    here.turn(TEN - timedelta(hours=2))
    shown = here.shown
    assert (shown.due_at, shown.request.radius, shown.may_decide) == (TEN, "payments", True)
    for number, actor in enumerate((ANA, BEN), 1):
        text = here.decisions.approve(shown.token, shown.request.digest, actor)
        assert text == f"approved: {number} of 2 approvals, for 4 hours"
    here.turn(TEN - timedelta(minutes=1))
    assert here.launched == []
    assert here.shown.status == "Approved, 2 of 2 (Ana, Ben): begins at its time"
    here.turn(TEN)
    (claimed,) = here.launched
    assert claimed.due_at == TEN
    here.turn()
    assert here.shown.status == "Begins, approved by Ana, Ben"
    (run,) = DueRuns(here.db).open()
    assert run.approved_by == "ana, ben"
    assert [(one.action, one.actor.name) for one in audit_trail(here.db)] == [
        ("experiment.approve", "Ben"),
        ("experiment.approve", "Ana"),
    ]


def test_what_does_not_count_is_one_sentence(asking: Callable[..., Asking], tmp_path: Path) -> None:
    """A second press, a stranger, a changed file, another run, one that is over: nothing is kept."""
    here = asking()
    here.turn(TEN - timedelta(hours=1))
    token, digest = here.shown.token, here.shown.request.digest
    here.decisions.approve(token, digest, ANA)
    for actor, run, seen, says in (
        (ANA, token, digest, "you approved it already: 1 of 2 approvals"),
        (ZOE, token, digest, "Zoe may not decide about mark; ana, ben may"),
        (Actor(name="Ana", via="api"), token, digest, "may not decide"),
        (BEN, token, "0" * 16, "mark.json was changed since you looked"),
        (BEN, "mark@2026-11-30T11:00:00+00:00", digest, "that run is unknown"),
        (BEN, "nonsense", digest, "that run is unknown"),
    ):
        with pytest.raises(ChaosError, match=says):
            here.decisions.approve(run, seen, actor)
    content = json.loads((tmp_path / "mark.json").read_text())
    (tmp_path / "mark.json").write_text(json.dumps(content | {"title": "Another mark"}))
    here.turn()
    assert here.shown.request.title == "Another mark"
    assert here.shown.status == "Waits for approval: 0 of 2"
    assert here.decisions.refuse(token, here.shown.request.digest, BEN) == "refused: it does not run this time"
    with pytest.raises(ChaosError, match="mark of 2026-11-30 10:00 UTC is refused: Ben refused"):
        here.decisions.approve(token, here.shown.request.digest, ANA)
    here.turn(TEN)
    assert here.launched == []
    assert here.states() == [("refused", "Ben refused")]
    assert (here.shown.status, here.shown.may_decide) == ("Refused: Ben refused", False)


def test_it_runs_at_the_later_time(asking: Callable[..., Asking]) -> None:
    """Approvals stand; the next regular time is asked for as always; what the rule forbids is refused."""
    here = asking(hours="09:00-17:00")
    here.turn(TEN - timedelta(hours=1))
    token, digest = here.shown.token, here.shown.request.digest
    for to, says in (
        (TEN - timedelta(days=1), "within the next 31 days"),
        (TEN + timedelta(days=40), "within the next 31 days"),
        (TEN, "due at that time already"),
        (TEN + timedelta(hours=8), "outside 09:00-17:00"),
    ):
        with pytest.raises(ChaosError, match=says):
            here.decisions.postpone(token, to, ANA)
    here.decisions.approve(token, digest, ANA)
    later = TEN + timedelta(hours=2)
    assert here.decisions.postpone(token, later, BEN) == "postponed to 2026-11-30 12:00 UTC"
    with pytest.raises(ChaosError, match="is postponed: Ben postponed it to 2026-11-30 12:00 UTC"):
        here.decisions.postpone(token, later, BEN)
    here.turn(TEN + timedelta(hours=1))
    assert here.launched == []
    assert (here.shown.due_at, here.shown.status) == (later, "Waits for approval: 1 of 2 (Ana)")
    here.decisions.approve(here.shown.token, digest, BEN)
    here.turn(later)
    assert [claimed.due_at for claimed in here.launched] == [later]
    here.turn(TEN + timedelta(days=1, hours=-1))
    assert here.shown.due_at == TEN + timedelta(days=1)


def test_a_postponed_time_that_is_due_anyway_is_refused(asking: Callable[..., Asking]) -> None:
    """Nothing is changed then."""
    here = asking()
    here.turn(TEN - timedelta(hours=1))
    runs = DueRuns(here.db)
    runs.add("mark", TEN + timedelta(days=1), "waiting", here.clock.now())
    with pytest.raises(Conflict, match="is due at 2026-12-01 10:00 UTC anyway"):
        here.decisions.postpone(here.shown.token, TEN + timedelta(days=1), ANA)
    assert [state for state, _ in here.states()] == ["waiting", "waiting"]


@pytest.mark.parametrize("dies", ["before", "after"])
def test_a_kill_around_the_post_asks_once(asking: Callable[..., Asking], dies: str) -> None:
    """Nothing is lost, and nobody is asked twice."""
    here = asking()
    here.dies = dies
    with pytest.raises(Killed):
        here.turn(TEN - timedelta(hours=1))
    here.dies = ""
    for _ in range(3):
        here.turn()
    assert len(here.posted) == 1
    assert here.decisions.approve(here.shown.token, here.shown.request.digest, ANA)


def test_a_channel_that_is_away_is_tried_again(asking: Callable[..., Asking]) -> None:
    """It is reported, and the request stands on the page meanwhile."""
    here = asking()
    here.broken = True
    here.turn(TEN - timedelta(hours=1))
    assert "Slack is away" in here.problems.current()[0].reason
    (waiting,) = announcements(DueRuns(here.db), {}, here.clock.now())
    assert waiting.may_decide
    here.broken = False
    here.turn()
    assert len(here.posted) == 1


def test_a_changed_schedule_drops_the_time_that_was_asked_for(asking: Callable[..., Asking]) -> None:
    """Whoever approved it approved another time."""
    here = asking()
    here.turn(TEN - timedelta(hours=1))
    entry = here.config.chaos.experiments[0].model_copy(update={"cron": "30 10 * * *"})
    here.config = here.config.model_copy(
        update={"chaos": here.config.chaos.model_copy(update={"experiments": (entry,)})}
    )
    here.turn()
    here.turn()
    assert here.states()[0] == ("skipped", "its schedule was changed")
    assert here.shown.due_at == TEN + timedelta(minutes=30)


def test_a_game_day_shows_nobody_what_it_is(asking: Callable[..., Asking]) -> None:
    """Neither the file nor its actions nor what they reach."""
    here = asking(game_day=True)
    here.turn(TEN - timedelta(hours=1))
    shown = here.shown
    assert shown.title == "A game day"
    assert "mark" not in repr(replace(shown, token="", schedule=""))
    assert "payments" not in repr(shown)
