"""Escalation policies: which one an incident has, whom its steps page and why, and what a later edit changes of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from icalendar import Calendar
from protocol import EDGES, Recorder, finding, turn, unsent
from sqlalchemy import select, update

from alerting.incidents.commands import Incidents
from alerting.incidents.machine import Incident
from alerting.oncall.chain import chain_for, default_chain, whom
from alerting.oncall.escalation import QUIET
from alerting.oncall.ical import feed_window, person_feed, schedule_feed
from alerting.oncall.schedule import Override, record_override, stored_overrides
from alerting.oncall.versions import parts_of, shifts_over, versions
from watchkeeper.clock import FrozenClock
from watchkeeper.config import (
    Config,
    EscalationStep,
    LayerConfig,
    OnCallConfig,
    PersonConfig,
    PolicyConfig,
    ScheduleConfig,
)
from watchkeeper.state.codec import dump, parse
from watchkeeper.state.database import Database
from watchkeeper.state.schema import incidents
from watchkeeper.vocabulary import Actor

NAMES = ("ana", "ben", "eve", "kim", "zoe")
PEOPLE = tuple(PersonConfig(id=name, name=name.title(), addresses={"slack": f"U{name.upper()}"}) for name in NAMES)
ANA = Actor(name="Ana", via="slack")
MOMENT = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)


def step(after_s: float, *notify: str, round_robin: bool = False) -> EscalationStep:
    return EscalationStep(after_s=after_s, notify=notify if len(notify) > 1 else notify[0], round_robin=round_robin)


def rota(*policies: PolicyConfig, people: tuple[PersonConfig, ...] = PEOPLE) -> OnCallConfig:
    """Ana is on call in `primary`, shadowed by Zoe; by default she is paged, and after five minutes Ben."""
    primary = ScheduleConfig(
        id="primary", layers=(LayerConfig(people=("ana",)),), shadows=(LayerConfig(people=("zoe",)),)
    )
    return OnCallConfig(
        people=people,
        schedules=(primary,),
        escalation=(step(0, "primary"), step(300, "ben")),
        policies=policies,
        teams={"money": ("payments", "bank")},
    )


@dataclass
class Night:
    """A watch role over one database; it can be started again with another configuration."""

    db: Database
    clock: FrozenClock
    oncall: OnCallConfig
    channel: Recorder = field(default_factory=Recorder)

    def __post_init__(self) -> None:
        self.restart(self.oncall)

    def restart(self, oncall: OnCallConfig) -> None:
        self.oncall = oncall
        self.incidents = Incidents(self.db, self.clock, oncall)

    def opens(self, service: str = "payments") -> str:
        """What the watch role does with a new finding: it opens an incident and pages."""
        (incident_id,) = self.incidents.observe(
            [finding(self.clock.now(), service)], edges=EDGES, judged=lambda each: each.service == service
        )
        self.incidents.page(incident_id)
        self.after(0)
        return incident_id

    def fires(self, service: str = "payments") -> None:
        self.incidents.observe([finding(self.clock.now(), service, ago=0)], edges=EDGES)

    def recovers(self) -> None:
        self.incidents.observe([], edges=EDGES)

    def after(self, seconds: float) -> list[str]:
        """Some seconds later: everybody who was paged until then, in order."""
        turn(self.db, self.incidents, self.oncall, self.channel, self.clock.advance(seconds))
        return [page.mention.removeprefix("U").lower() for page in self.channel.pages()]


def chosen(oncall: OnCallConfig, service: str, *labels: str) -> str:
    return chain_for(oncall, service, labels).policy


def test_the_first_policy_that_fits_service_team_and_labels_is_used() -> None:
    """All that a policy names must fit; where none does, the escalation of the file."""
    steps = (step(0, "kim"),)
    oncall = rota(
        PolicyConfig(id="critical", teams=("money",), labels={"severity": "critical"}, steps=steps),
        PolicyConfig(id="money", teams=("money",), steps=steps),
        PolicyConfig(id="shop", services=("web", "cart-*"), steps=steps),
    )
    assert chosen(oncall, "payments", "alertname=Slow,severity=critical,zone=a") == "critical"
    assert chosen(oncall, "payments", "alertname=Slow,severity=warning") == "money"
    assert chosen(oncall, "bank") == "money"
    assert chosen(oncall, "cart-eu") == "shop"
    assert chosen(oncall, "cart", "severity=critical") == ""
    assert chain_for(oncall, "blog") == default_chain(oncall)


def test_a_file_without_policies_means_what_it_meant() -> None:
    """The same steps at the same times, in the same words."""
    chain = chain_for(OnCallConfig(), "payments", ["severity=critical"])
    assert [(each.after_s, each.notify) for each in chain.steps] == [
        (0, ("primary",)),
        (300, ("primary",)),
        (900, ("primary",)),
    ]
    assert [each.name for each in chain.steps] == ["step 1 of 3", "step 2 of 3", "step 3 of 3"]
    assert chain.timeout_s == 900


def test_policies_know_the_teams_of_the_learning_section() -> None:
    """A team is written once in the file."""
    policy = {"id": "money", "teams": ["money"], "steps": [{"after_s": 0, "notify": "ana"}]}
    people = [{"id": "ana", "name": "Ana", "addresses": {"slack": "UANA"}}]
    schedules = [{"id": "primary", "layers": [{"people": ["ana"]}]}]
    tree = {
        "learning": {"teams": {"money": ["payments"]}},
        "oncall": {"people": people, "schedules": schedules, "policies": [policy]},
    }
    assert chosen(Config.model_validate(tree).oncall, "payments") == "money"


def test_each_page_explains_its_step_and_its_policy() -> None:
    """Why me: schedule, rotation, shadows, step, round, policy, and what the incident has to do with it."""
    oncall = rota(
        PolicyConfig(
            id="money", services=("pay*",), steps=(step(0, "primary"), step(60, "eve")), repeat=1, fallback="kim"
        )
    )
    chain = chain_for(oncall, "payments")
    whys = [whom(oncall, each, MOMENT, ())[0].why for each in chain.steps]
    policy = "of policy 'money' (service payments)"
    assert whys == [
        f"on call in 'primary' by rotation, shadowed by Zoe; step 1 of 2, round 1 of 2 {policy}",
        f"named in step 2 of 2, round 1 of 2 {policy}",
        f"on call in 'primary' by rotation, shadowed by Zoe; step 1 of 2, round 2 of 2 {policy}",
        f"named in step 2 of 2, round 2 of 2 {policy}",
        f"named in the fallback {policy}",
    ]


def test_a_step_that_names_several_pages_each_of_them_once(db: Database, clock: FrozenClock) -> None:
    """Also where a schedule's turn is one of them; each reads why."""
    night = Night(db, clock, rota(PolicyConfig(id="all", steps=(step(0, "primary", "ben", "ana"), step(60, "eve")))))
    incident_id = night.opens()
    assert sorted(night.after(1)) == ["ana", "ben"]
    page = night.channel.pages(incident_id)[0]
    assert "paged Ana: on call in 'primary' by rotation" in page.text
    assert "and Ben: named in step 1 of 2 of policy 'all'" in page.text
    assert sorted(night.after(60)) == ["ana", "ben", "eve"]
    night.incidents.acknowledge(incident_id, ANA, "a")
    assert len(night.after(7200)) <= 5  # the acknowledgement timed out: those of the first step and the acker, again
    assert unsent(db) == []


def test_round_robin_takes_the_next_with_every_incident(db: Database, clock: FrozenClock) -> None:
    """Over a restart, and over pages that changed nothing; a step later in the chain goes round, too."""
    policy = PolicyConfig(id="turns", steps=(step(0, "ana", "ben", "eve", round_robin=True), step(60, "kim")), repeat=1)
    night = Night(db, clock, rota(policy))
    for number, service in enumerate(("payments", "blog", "ledger", "other")):
        incident_id = night.opens(service)
        night.incidents.page(incident_id, "again")
        night.incidents.acknowledge(incident_id, ANA, f"a{number}")
        night.restart(night.oncall)
    assert night.after(1) == ["ana", "ben", "eve", "ana"]
    night.opens("last")
    night.after(61)
    assert night.after(901)[-3:] == ["ben", "kim", "eve"]


def test_nobody_answers_so_the_policy_repeats_and_then_its_fallback_is_paged(db: Database, clock: FrozenClock) -> None:
    """Each step at its time; after the fallback the incident is expired, and pages nobody."""
    policy = PolicyConfig(
        id="money", steps=(step(0, "primary"), step(120, "ben")), repeat=1, timeout_s=300, fallback=("kim", "zoe")
    )
    night = Night(db, clock, rota(policy))
    incident_id = night.opens()
    expected = {119: 1, 121: 2, 419: 2, 421: 3, 539: 3, 541: 4, 839: 4, 841: 6, 1139: 6}
    passed = 0
    for seconds, pages in expected.items():
        assert len(night.after(seconds - passed)) == pages, seconds
        passed = seconds
    assert night.after(1) == ["ana", "ben", "ana", "ben", "kim", "zoe"]
    night.after(5)
    assert night.incidents.get(incident_id).human_state == "expired"
    assert len(night.after(86_400)) == 6


def test_the_first_steps_delay_is_honoured(db: Database, clock: FrozenClock) -> None:
    """Nobody is paged before; whoever opened the incident and died changes nothing of it."""
    night = Night(db, clock, rota(PolicyConfig(id="calm", steps=(step(90, "ana"), step(150, "ben")))))
    night.opens()
    assert night.after(89) == []
    assert night.after(2) == ["ana"]
    assert night.after(58) == ["ana"]
    assert night.after(3) == ["ana", "ben"]


def test_what_recovers_before_the_first_step_pages_nobody_and_ends_by_itself(db: Database, clock: FrozenClock) -> None:
    """That is what the delay is for. An hour later it is over."""
    night = Night(db, clock, rota(PolicyConfig(id="calm", steps=(step(90, "ana"),))))
    incident_id = night.opens()
    night.after(30)
    night.recovers()
    assert night.after(600) == []
    night.after(QUIET.total_seconds())
    assert night.incidents.get(incident_id).human_state == "resolved"


def test_what_flaps_over_the_first_steps_delay_is_paged_when_it_fires_again(db: Database, clock: FrozenClock) -> None:
    """Flapping puts no page off for ever."""
    night = Night(db, clock, rota(PolicyConfig(id="calm", steps=(step(90, "ana"),))))
    night.opens()
    night.after(80)
    night.recovers()
    assert night.after(20) == []
    night.fires()
    assert night.after(1) == ["ana"]


def test_an_edit_changes_nothing_of_an_escalation_that_runs(db: Database, clock: FrozenClock) -> None:
    """Its chain is as it was when it began; what begins afterwards has the new one."""
    night = Night(db, clock, rota(PolicyConfig(id="money", steps=(step(0, "eve"), step(60, "ben"), step(120, "kim")))))
    night.opens()
    night.restart(rota(PolicyConfig(id="new", steps=(step(0, "zoe"), step(600, "zoe")))))
    assert night.after(61) == ["eve", "ben"]
    night.restart(rota())
    assert night.after(61) == ["eve", "ben", "kim"]
    night.opens("blog")
    assert night.after(1)[-1] == "ana"


def test_an_escalation_neither_stops_nor_skips_where_whom_it_names_is_gone(db: Database, clock: FrozenClock) -> None:
    """A person and a schedule leave the file while it runs: somebody is paged at every step, and reads why."""
    night = Night(
        db, clock, rota(PolicyConfig(id="money", steps=(step(0, "eve"), step(60, "primary"), step(120, "ben"))))
    )
    night.opens()
    left = OnCallConfig(
        people=PEOPLE[3:],
        schedules=(ScheduleConfig(id="other", layers=(LayerConfig(people=("kim",)),)),),
        escalation=(step(0, "other"),),
    )
    night.restart(left)
    assert night.after(61) == ["eve", "kim"]
    assert night.after(61) == ["eve", "kim", "kim"]
    texts = [page.text for page in night.channel.pages()]
    assert "'primary' is no longer configured" in texts[1]
    assert "'ben' is no longer configured" in texts[2]


@pytest.mark.parametrize("repeat", [0, 3])
def test_an_acknowledgement_ends_every_kind_of_step(db: Database, clock: FrozenClock, repeat: int) -> None:
    """Repeats and the fallback included."""
    policy = PolicyConfig(id="money", steps=(step(0, "ana"), step(60, "ben")), repeat=repeat, fallback="kim")
    night = Night(db, clock, rota(policy))
    incident_id = night.opens()
    night.after(61)
    night.incidents.acknowledge(incident_id, ANA, "a")
    night.incidents.resolve(incident_id, ANA, "r")
    assert night.after(86_400) == ["ana", "ben"]


def test_an_escalation_that_began_before_chains_were_kept_goes_on(db: Database, clock: FrozenClock) -> None:
    """Its next step is the one that the file has: an upgrade in the middle of a night skips nothing."""
    night = Night(db, clock, rota())
    incident_id = night.opens()
    with db.write() as connection:
        body = parse(Incident, connection.scalar(select(incidents.c.body).where(incidents.c.id == incident_id)) or "")
        old = update(incidents).where(incidents.c.id == incident_id)
        connection.execute(old.values(body=dump(replace(body, chain=None))))
    assert night.after(301) == ["ana", "ben"]
    assert night.incidents.get(incident_id).chain == default_chain(night.oncall)


def test_an_override_counts_wherever_on_call_is_read(db: Database, clock: FrozenClock) -> None:
    """In the page of a policy's step, in the schedule, and in the calendars of the schedule and of the person."""
    night = Night(db, clock, rota(PolicyConfig(id="money", steps=(step(0, "ben"), step(60, "primary")))))
    now = clock.now()
    cover = Override(schedule="primary", person="eve", start=now, end=now + timedelta(hours=8))
    record_override(db, night.oncall, cover, now, ANA)
    night.opens()
    assert night.after(61) == ["ben", "eve"]
    assert "on call in 'primary' by an override" in night.channel.pages()[-1].text
    kept, later = stored_overrides(db), now + timedelta(hours=1)
    parts = parts_of(versions(db), night.oncall, feed_window(now), now)
    (shift,) = [each for each in shifts_over(parts, "primary", kept) if each.start <= later < each.end]
    assert (shift.person.id if shift.person else "", shift.source) == ("eve", "override")
    for calendar in (schedule_feed(parts, "primary", kept, now), person_feed(parts, "eve", kept, now)):
        (entry,) = [
            event
            for event in Calendar.from_ical(calendar).walk("VEVENT")
            if event["dtstart"].dt <= later < event["dtend"].dt
        ]
        assert str(entry["summary"]) == "Eve is on call (primary)"
