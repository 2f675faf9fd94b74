"""The headless demo's course: warm-up, a control window without faults, six faults, and what was learned."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from alerting.incidents.machine import Incident
from chaos.demo.human import Verdict
from chaos.demo.loop import Loop, paged_at
from chaos.demo.processes import Patience
from chaos.demo.report import FaultReport
from chaos.experiment import Experiment, run
from chaos.fault import Effect, Fault
from chaos.record import Records
from chaos.registry import faults
from chaos.shop.topology import PLANS
from chaos.truth import Recorder
from detectors.recorded_readiness import read_readiness
from watchkeeper.errors import ChaosError, TargetError
from watchkeeper.roles.startup import STILL_S
from watchkeeper.target import Target
from watchkeeper.vocabulary import Diagnosis

WARM_UP_S = 45.0  # the shortest after which baselines were ready on an idle machine
CONTROL_S = 122.0  # two minutes, and the second that a look takes
LONGEST_WARM_UP_S = 1200.0  # on a busy machine
REPORT_EVERY_S = 15.0  # while it waits
OWN = "watchkeeper-"
FAULT_HOLDS_S = 55.0  # for the loop to detect, page, act and recover
LEAST_HOLD_S = 25.0  # for a fault that comes late in the run
# The whole run lasts at most ten minutes: when faults take longer than planned, the last ones get less patience.
WHOLE_RUN_S = 575.0
FAULT_TAKES_S = 64.0  # with proof, recovery and the calm after it
LATE_RESOLVE_S = 20.0  # a human resolves a moment after the recovery
# Findings that begin this soon after a resolve count as the old incident's aftermath, so wait it out.
QUIET_BETWEEN_S = 22.0
STILL_OPEN_S = 20.0  # what is open for longer is reported
LEARNING_WITHIN_S = 15.0  # training takes seconds
BOUND_S = 100.0  # more than any fault holds; the lease if the demo is killed
STEADY_WITHIN_S = 20.0  # restarts in a shop that shares two cores with every role
# What the demo breaks; faults of other packages are not part of it.
FAULTS = ("latency", "bad_deploy", "kill", "hang", "cpu_hog", "db_lock")

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which fault hits which service, in order."""

    fault: Fault
    service: str


def choose(seed: int) -> tuple[Plan, ...]:
    """Every fault once, each in another service; the seed decides order and targets.

    Seeds that follow each other give every fault another target: the services are dealt out once for a round of
    seeds, and each seed of the round turns the deal on by one.
    """
    services = sorted(plan.name for plan in PLANS if plan.may_break)
    random.Random(seed // len(services)).shuffle(services)
    plans = [
        Plan(fault=faults()[name], service=services[(number + seed) % len(services)])
        for number, name in enumerate(FAULTS)
    ]
    random.Random(seed).shuffle(plans)
    return tuple(plans)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where a course is played: the loop's state, the target and the folder of its records, and how to wait.

    Attributes:
        longest_hold_s: how long a fault may hold after its effect is proved.
        await_calm: what else must be well before the next fault; returns in bounded time.
    """

    loop: Loop
    target: Target
    records_dir: Path
    patience: Patience
    longest_hold_s: float = FAULT_HOLDS_S
    await_calm: Callable[[], None] = lambda: None


class Story:
    """Runs the course and remembers what is true at each moment, for the scripted human."""

    def __init__(self, stage: Stage, notify: Notify, *, began: float) -> None:
        """`began` is when the run began, in Unix seconds."""
        self.loop = stage.loop
        self.target = stage.target
        self.patience = stage.patience
        self._records_dir = stage.records_dir
        self._longest_hold_s = stage.longest_hold_s
        self._await_calm = stage.await_calm
        self.notify = notify
        self._truths: list[tuple[float, float | None, Plan]] = []
        self.control_pages = 0
        self.control_minutes = 0.0
        self.still_to_come = 0
        self.leaves_runbooks = False
        self.whole_run_s = WHOLE_RUN_S
        self._began = began

    def verdict(self, posted_at: float) -> Verdict:
        """The judgement of somebody who investigated a page that was posted at that time."""
        for since, until, plan in self._truths:
            if since <= posted_at and (until is None or posted_at <= until + LATE_RESOLVE_S):
                note = f"{plan.fault.description}; found by looking at {plan.service}"
                return Verdict(
                    cause=plan.service,
                    mechanism=plan.fault.mechanism,
                    note=note,
                    leaves_runbook=self.leaves_runbooks,
                )
        return Verdict(cause=None, mechanism="unknown", note="nothing was wrong")

    def remember(self, plan: Plan, since: float) -> None:
        """From `since` (Unix seconds) on, this is what is wrong."""
        self._truths.append((since, None, plan))

    def forget(self, since: float) -> None:
        """What was wrong since then is so no more."""
        self._truths = [(at, time.time() if at == since else until, plan) for at, until, plan in self._truths]

    def warm_up(self, seconds: float = WARM_UP_S) -> None:
        """Let the detectors see the shop while it is well."""
        self.notify(f"warming up for {seconds:g} s: the detectors learn what is normal")
        self.patience.sleep(seconds)
        self._await_levels()

    def _await_levels(self) -> None:
        """On a busy machine telemetry comes late: wait until each service has a level, as long as one comes nearer."""
        seen: object = None
        moved = reported = 0.0
        for waited in self.patience.every(1.0, LONGEST_WARM_UP_S):
            recorded = read_readiness(self.loop.db)
            known = {name: readiness for name, readiness in recorded.items() if not name.startswith(OWN)}
            learning = sorted(name for name, readiness in known.items() if readiness.stage == "learning")
            if known and not learning:
                self.whole_run_s += waited
                return
            if known != seen:
                seen, moved = known, waited
            if waited - moved > STILL_S:
                self.whole_run_s += waited
                break
            if waited - reported >= REPORT_EVERY_S:
                reported = waited
                self.notify(f"  not warm yet ({waited:.0f} s more): {', '.join(learning) or 'no service has reported'}")
        self.notify("  some services have no level yet, and nothing changes; going on without")

    def control_window(self, seconds: float = CONTROL_S) -> None:
        """Wait without a fault; every page in it is a false one."""
        self.notify(f"control window: {seconds / 60:.1f} minutes without a fault")
        since = time.time()
        self.patience.sleep(seconds)
        self.control_pages = self.loop.pages_between(since, time.time())
        self.control_minutes = round(seconds / 60, 2)
        self.truth_kept().control(since, time.time(), "no fault was injected")
        self.loop.settle()
        self.notify(f"control window: {self.control_pages} pages")

    def truth_kept(self) -> Recorder:
        """Who keeps what is true of the target in the state database."""
        return Recorder(self.loop.db, self.target, self.notify)

    def records(self) -> Records:
        """The records of the target's experiments, with the state database behind them."""
        return Records(self._records_dir, self.truth_kept())

    def break_one(self, plan: Plan) -> FaultReport:
        """Break one service, watch the loop, revert what is left, and report.

        Raises:
            ChaosError: the experiment was refused.
        """
        experiment = Experiment(
            fault=plan.fault, service=plan.service, bound_s=BOUND_S, steady_within_s=STEADY_WITHIN_S
        )
        self.notify(f"▶ {plan.fault.name} in {plan.service}: {plan.fault.description}")
        since = time.time()
        seen: list[Diagnosis] = []
        self.remember(plan, since)
        try:
            journal = run(
                experiment,
                self.target,
                self.records(),
                lambda effect: self._follow(effect, since, seen),
            )
        finally:
            self.forget(since)
        incident = self._await_resolved(since)
        opened = self.loop.opened_since(since)
        self.loop.settle()
        self._await_postmortem(incident)
        report = self.loop.report(journal, incident, seen[0] if seen else None, len(opened))
        self.notify(_line(report))
        return report

    def settle(self) -> None:
        """Wait until nothing is open, and for a while after, so that faults don't run into each other."""
        for _ in self.patience.every(0.5, STILL_OPEN_S):
            if not self.loop.incidents.list("open", severity="page"):
                break
        else:
            self.notify("  an incident is still open")
        newest = self.loop.incidents.list(limit=20)
        resolved = [incident.resolved_at.timestamp() for incident in newest if incident.resolved_at]
        self.patience.sleep(max(resolved, default=0.0) + QUIET_BETWEEN_S - time.time())
        self._await_calm()

    def learn(self, before: list[dict[str, object]]) -> list[dict[str, object]]:
        """Wait a little for a model version that the labels made."""
        for _ in self.patience.every(1.0, LEARNING_WITHIN_S):
            if self.loop.model_versions() != before and self.loop.would_have_changed():
                break
        return self.loop.model_versions()

    def _follow(self, effect: Effect, since: float, seen: list[Diagnosis]) -> None:
        """Wait while the loop works on the fault: until the incident recovered, or patience ends."""
        if not effect.proved:
            self.notify(f"  no effect: {effect.detail}")
            return
        self.notify(f"  took effect: {effect.detail}")
        reported: set[str] = set()
        for _ in self.patience.every(0.4, self._hold_s()):
            incident = self.first(since)
            if incident is None:
                continue
            self._report_progress(incident, reported, effect.since)
            if incident.diagnosis and incident.proposal_state in ("approved", "running", "done", "failed") and not seen:
                seen.append(incident.diagnosis)
            if incident.human_state == "resolved" or incident.system_state == "recovered":
                return
        self.notify("  it did not recover in time; chaos reverts the fault")

    def _hold_s(self) -> float:
        """How long this fault may hold, so that the faults after it find time too."""
        left = self._began + self.whole_run_s - time.time() - self.still_to_come * FAULT_TAKES_S
        return min(max(left, LEAST_HOLD_S), self._longest_hold_s)

    def _report_progress(self, incident: Incident, reported: set[str], since: float) -> None:
        steps = {
            "opened": (incident.raised_at or incident.opened_at).timestamp(),
            "paged": paged_at(incident),
            "acknowledged": incident.acknowledged_at.timestamp() if incident.acknowledged_at else None,
            f"runbook {incident.proposal_state}": time.time() if incident.proposal_state != "none" else None,
            "recovered": incident.recovered_at.timestamp() if incident.recovered_at else None,
        }
        for name, at in steps.items():
            if at is not None and name not in reported:
                reported.add(name)
                cause = _first_suspect(incident)
                detail = {"opened": incident.title, "paged": f"likely cause {cause}"}.get(name, "")
                self.notify(f"  {at - since:5.1f} s  {name}  {incident.id} {detail}")

    def first(self, since: float) -> Incident | None:
        """The incident of the fault that began at `since`: the first one that pages after it."""
        return next(iter(self.loop.opened_since(since)), None)

    def _await_resolved(self, since: float) -> Incident | None:
        for _ in self.patience.every(0.5, LATE_RESOLVE_S):
            incident = self.first(since)
            if incident is None or incident.human_state == "resolved":
                break
        return self.first(since)

    def _await_postmortem(self, incident: Incident | None) -> None:
        """The postmortem and the label are written with the resolve, or a moment later."""
        if incident is None or incident.human_state != "resolved":
            return
        for _ in self.patience.every(0.3, 3.0):
            if self.loop.postmortem(incident.id) and self.loop.human_label(incident.id):
                return


def _first_suspect(incident: Incident) -> str:
    if incident.diagnosis is None or not incident.diagnosis.suspects:
        return "unknown"
    return incident.diagnosis.suspects[0].service


def _line(report: FaultReport) -> str:
    def seconds(value: float | None) -> str:
        return "never" if value is None else f"{value:.1f} s"

    rank = report.rank_of_truth or "not named"
    return (
        f"■ {report.fault} in {report.target}: detected {seconds(report.detected_s)}, paged {seconds(report.paged_s)}, "
        f"truth ranked {rank}, resolved {seconds(report.resolved_s)}"
        f"{'' if report.remediated else ' (not remediated by the runbook)'}"
    )


def run_course(story: Story, seed: int) -> tuple[list[FaultReport], list[str]]:
    """Every part in order; a fault that is refused becomes a problem in words, and the others go on."""
    story.warm_up()
    story.control_window()
    reports: list[FaultReport] = []
    problems: list[str] = []
    plans = choose(seed)
    for number, plan in enumerate(plans):
        story.still_to_come = len(plans) - number - 1
        try:
            reports.append(story.break_one(plan))
        except (ChaosError, TargetError) as error:
            problems.append(f"{plan.fault.name} in {plan.service}: {error.message}")
        if number < len(plans) - 1:
            story.settle()
    return reports, problems
