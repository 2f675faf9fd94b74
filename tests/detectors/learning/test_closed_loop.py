"""The loop closes in an ordinary installation: from nothing to a promoted version, by labels and experiments alone.

Everything is as it comes: the default configuration with its gate, the state database, incidents, the human's answers,
experiments and control windows that settle to labels, and the learner. Only the clock is fast.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from alerting.incidents.commands import Incidents
from alerting.incidents.human_labels import Judgement
from chaos.fault import Truth
from chaos.journal import outcomes, record_experiment
from chaos.truth import OPENS_WITHIN, control_window, settle, truth_of
from detectors.learning import versions
from detectors.learning.loop import Learner
from detectors.learning.suppression import suppressed_findings
from detectors.learning.versions import NAME
from watchkeeper.clock import FrozenClock
from watchkeeper.config import Config, GateConfig
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database
from watchkeeper.state.labels import labels
from watchkeeper.state.models import at_stage, promotion_records
from watchkeeper.vocabulary import Actor, Conditions, Finding, utc

BEGAN = utc(1_772_442_000.0)  # a Monday morning
ANA = Actor(name="Ana Sousa", via="slack")
SHOP = ("orders", "payments", "reports", "stock")
EVERY = timedelta(minutes=30)
LASTS_S = 120.0


class Installation:
    """One installation with its default configuration, in which time passes quickly."""

    def __init__(self, db: Database) -> None:
        self.db, self.config = db, Config()
        self.clock = FrozenClock(BEGAN)
        self.problems = Problems(None)
        self.incidents = Incidents(db, self.clock, self.config.oncall)
        self.learner = Learner(db, self.clock, self.config.learning)
        self.events = 0

    def fires(self, service: str, extra_ms: float, load: float = 1.0) -> str | None:
        """A slow service for two minutes, through the learner: the incident that it opened, if it paged."""
        now = self.clock.now()
        slow = Finding(
            detector="red.latency",
            detector_version=self.learner.version(),
            kind="latency",
            service=service,
            summary=f"{service} is slow",
            onset=now - timedelta(seconds=10),
            seen_at=now,
            score=0.55 if extra_ms < 200 else 0.9,
            value=40.0 + extra_ms,
            expected=40.0,
            unit="ms",
            conditions=Conditions(load=load),
            key=f"red:latency:{service}",
        )
        opened = self.incidents.observe(self.learner.judge([slow], now), now=now)
        self.passes(LASTS_S)
        self.incidents.observe(self.learner.judge([], self.clock.now()), now=self.clock.now())
        return opened[0] if opened else None

    def answers(self, incident_id: str | None, *, warranted: bool, cause: str | None = None) -> None:
        """The human on call resolves the incident and answers its question; nobody answers what did not page."""
        if incident_id:
            judgement = Judgement(warranted=warranted, cause=cause)
            self.incidents.resolve(incident_id, ANA, f"resolve:{incident_id}", judgement)

    def experiment(self, service: str) -> None:
        """A fault that takes effect, recorded as the injector does."""
        self.events += 1
        began = self.clock.now().timestamp()
        row = Truth(
            id=f"e{self.events}",
            fault="latency",
            target=service,
            mechanism="latency",
            injected_at=began,
            effect_at=began + 1,
            took_effect=True,
            ended_at=began + LASTS_S,
            detail="slow",
            cut_short=False,
        )
        record_experiment(self.db, truth_of(row, "/shop", SHOP))
        self.fires(service, 900.0)

    def control(self, service: str) -> None:
        """Half an hour in which nothing is wrong, and a batch job makes a service slower."""
        began = self.clock.now()
        self.fires(service, 60.0, load=2.5)
        window = control_window("/shop", SHOP, began.timestamp() - 1, self.clock.now().timestamp(), "no fault")
        record_experiment(self.db, window)

    def passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def learns(self) -> None:
        """The watch role's round of learning."""
        self.passes(OPENS_WITHIN.total_seconds() + 1)
        settle(self.db, self.clock.now(), self.problems)
        self.learner.run(self.clock.now())

    def stages(self) -> list[str]:
        return [one.stage for one in promotion_records(self.db, NAME) if one.stage != "retired"]


def course(here: Installation) -> Iterator[datetime]:
    """Half hours, each with one event: real trouble, harmless load, an experiment, a control window."""
    events = (
        lambda: here.answers(here.fires("orders", 700.0), warranted=True, cause="orders"),
        lambda: here.answers(here.fires("reports", 60.0, load=2.5), warranted=False),
        lambda: here.experiment("payments"),
        lambda: here.control("stock"),
    )
    number = 0
    while True:
        due = here.clock.now() + EVERY
        events[number % len(events)]()
        here.learns()
        here.passes((due - here.clock.now()).total_seconds())
        number += 1
        yield here.clock.now()


def test_an_ordinary_installation_promotes_a_version_by_labels_and_experiments_alone(db: Database) -> None:
    """With the default gate, within days; harmless load pages no longer, and real trouble still does."""
    here = Installation(db)
    assert here.config.learning.gate == GateConfig()
    moved: dict[str, timedelta] = {}
    for now in course(here):
        for stage in here.stages():
            moved.setdefault(stage, now - BEGAN)
        if "serving" in moved or now - BEGAN > timedelta(days=14):
            break
    assert [*moved] == ["canary", "serving"], f"in 14 days: {moved}"
    rules = GateConfig()
    assert moved["canary"] >= timedelta(seconds=rules.shadow_s)
    assert moved["serving"] - moved["canary"] >= timedelta(seconds=rules.canary_s) - 2 * EVERY
    assert moved["serving"] < timedelta(days=4)

    serving = at_stage(db, NAME, "serving")
    assert serving is not None
    records = [one for one in promotion_records(db, NAME) if one.version == serving.version]
    assert [(one.stage, one.actor, one.record["forced"]) for one in records] == [
        ("canary", "learning", False),
        ("serving", "learning", False),
    ]
    by_source = records[-1].record["labels"]
    assert by_source["human"]["incidents"] >= rules.human_labels
    assert by_source["chaos"]["incidents"] >= rules.chaos_labels
    assert by_source["chaos"]["false"] > 0, "control windows are labels as well"
    assert {one.author for one in labels(db, "human")} == {"Ana Sousa"}
    assert set(outcomes(db).values()) <= {"found", "false page", "quiet"}
    assert here.problems.current() == ()

    assert here.fires("reports", 60.0, load=2.5) is None
    assert here.fires("stock", 60.0, load=2.5) is None
    assert here.fires("orders", 700.0) is not None
    assert here.fires("reports", 900.0) is not None, "trouble on a service with false pages still pages"
    newest = suppressed_findings(db)[0]
    assert newest.version == str(serving.version)
    assert newest.until is not None


def test_without_experiments_nothing_is_promoted(db: Database) -> None:
    """The gate asks both label sources: people alone are not believed, and it says what is missing."""
    here = Installation(db)
    for number in range(30):
        slow, warranted = (("orders", 700.0), True) if number % 2 else (("reports", 60.0), False)
        here.answers(here.fires(*slow, load=1.0 if warranted else 2.5), warranted=warranted)
        here.learns()
        here.passes(3600.0)
    assert here.stages() == []
    shadow = at_stage(db, NAME, "shadow")
    assert shadow is not None
    waiting = versions.gate(db, shadow, here.clock.now()).waiting
    assert "0 of the 5 incidents that it needs have a chaos label" in waiting
