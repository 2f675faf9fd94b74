"""`watchkeeper bench cures`: faults that would hold for minutes, and the runbooks that repair their services before.

1. Breaks a service through its agent, and waits until requests to it fail.
2. `watchkeeper runbook run` repairs it, through the same agent, while the fault is still held.
3. It counts as repaired if requests in a row are answered well again, and the customers' are, before the fault's bound.
4. Ends the fault: the repaired service must stay as it is, the same instance, and answer.
"""

from __future__ import annotations

import json
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from bench.cured_systems import FAILING_BOOK, SYSTEMS, Case, System
from chaos.fault import is_held, why_not
from chaos.registry import fault_named
from watchkeeper.errors import ChaosError, WatchkeeperError
from watchkeeper.target import ServiceStatus

BOUND_S: Final = 280.0  # of each fault; the agents' files allow 300
ATTEMPTS: Final = 3  # where the fault has no effect: then there is nothing to repair
WELL_BEFORE_S: Final = 90.0  # how long a service may take to be well beforehand
FELT_WITHIN_S: Final = 60.0
FELT_OF_4: Final = 3  # so many of the last four requests fail
GOOD_IN_A_ROW: Final = 10  # requests: of a deploy that breaks seven of ten, ten succeed once in 170,000 times
CUSTOMERS_FOR_S: Final = 3.0
CUSTOMERS_FAIL: Final = 0.1  # the share that may, on a busy machine, from then on; or what failed before the fault
LOOK_EVERY_S: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cure:
    """One fault and its runbook.

    Attributes:
        broken: requests failed while the fault held. Without, there was nothing to repair.
        repaired: the service was well again before the fault's bound.
        seconds: from the approval of the run until the service was well; None: it was not.
        run: the state in which the run ended; empty: there was none.
        failed_steps: steps that did not do what they should.
        undone: steps that were undone.
        undisturbed: the fault's end left the repaired service as it was.
        why: what went wrong; empty: nothing.
    """

    system: str
    fault: str
    service: str
    runbook: str
    broken: bool = False
    repaired: bool = False
    seconds: float | None = None
    run: str = ""
    failed_steps: int = 0
    undone: int = 0
    undisturbed: bool = False
    customers: int = 0
    customers_failed: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Something that must not be done: whether it was refused, in whose words, and whether that was recorded."""

    system: str
    asked: str
    refused: bool
    recorded: bool
    words: str


def run(*, systems: Sequence[str], runs: int, faults: Sequence[str], as_json: bool) -> None:
    """Break and repair, and print what came of it.

    Raises:
        ChaosError: there is no such system or fault, or a program of the foreign system is missing.
    """
    if unknown := [name for name in systems if name not in SYSTEMS]:
        raise ChaosError(f"there is no system {unknown[0]!r}; known are: {', '.join(SYSTEMS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped then, too
    cures: list[Cure] = []
    refusals: list[Refusal] = []
    for name in systems or list(SYSTEMS):
        with tempfile.TemporaryDirectory() as folder, SYSTEMS[name](Path(folder)) as system:
            cases = [case for case in system.cases if not faults or case.fault in faults]
            if not cases:
                known = ", ".join(case.fault for case in system.cases)
                raise ChaosError(f"there is no fault {', '.join(faults)}; the {name} has: {known}")
            for number in range(runs):
                for case in cases:
                    for _ in range(ATTEMPTS):
                        cures.append(cure(name, system, case))
                        _notify(f"{name} {number + 1}/{runs} {_line(cures[-1])}")
                        if cures[-1].broken:
                            break
            refusals += refused(name, system)
    report = {
        "cures": [asdict(one) for one in cures],
        "refusals": [asdict(one) for one in refusals],
        "summary": summary(cures),
    }
    print(json.dumps(report, indent=1) if as_json else _table(report))


def cure(name: str, system: System, case: Case) -> Cure:
    """Break one service, repair it by its runbook, and end the fault."""
    target = system.agent.target
    outcome = Cure(system=name, fault=case.fault, service=case.service, runbook=case.runbook)
    try:
        fault = fault_named(case.fault)
        if not _until(lambda: not why_not(fault, target.status(case.service)), WELL_BEFORE_S):
            return replace(
                outcome, why=why_not(fault, target.status(case.service)) or "it could not be broken for long"
            )
        if not _until(lambda: _good_in_a_row(system, case.service), WELL_BEFORE_S):
            return replace(outcome, why="it was not well before the fault")
        sent, failed = system.customers(CUSTOMERS_FOR_S)
        may_fail = max(CUSTOMERS_FAIL, failed / max(sent, 1))
        with fault.inject(target, case.service, BOUND_S):
            ends_at = time.time() + BOUND_S
            if not _is_felt(system, case.service):
                return replace(outcome, why="requests did not fail while the fault held")
            outcome = replace(outcome, broken=True)
            outcome = _repair(system, case, outcome, ends_at, may_fail)
            repaired = target.status(case.service)
        return replace(outcome, **_after_the_end(system, case, outcome, repaired))
    except WatchkeeperError as error:
        return replace(outcome, why=error.message)


def _repair(system: System, case: Case, outcome: Cure, ends_at: float, may_fail: float) -> Cure:
    """Run the runbook, and ask until the service is well: for requests of ours, and for the customers."""
    run, wrong = system.agent.run(case.runbook, case.service)
    if run is None:
        return replace(outcome, why=wrong)
    states = [step.state for step in run.steps]
    outcome = replace(
        outcome,
        run=run.state,
        failed_steps=sum(state in ("failed", "unsure", "stuck") for state in states),
        undone=states.count("undone"),
    )
    sent = failed = 0
    while not sent or failed > may_fail * sent:
        if not _until(lambda: _good_in_a_row(system, case.service), ends_at - time.time()):
            customers = f"; of {sent} of customers {failed} did" if sent else ""
            return replace(outcome, why=wrong or f"requests still fail{customers}")
        well_at = time.time()
        sent, failed = system.customers(CUSTOMERS_FOR_S)
        if time.time() >= ends_at or not _is_still_held(system, case):
            return replace(outcome, why=f"the fault ended before; of {sent} requests of customers {failed} failed")
    return replace(
        outcome,
        repaired=run.state == "done",
        seconds=round(well_at - run.approved_at.timestamp(), 1),
        customers=sent,
        customers_failed=failed,
        why=wrong,
    )


def _is_still_held(system: System, case: Case) -> bool:
    """Whether the agent still holds the fault; one that is done from here is held by a lease, until it is ended."""
    if not is_held(fault_named(case.fault), system.agent.target.status(case.service)):
        return True
    _, rows = system.agent.ask("GET", "/faults")
    return any(row["service"] == case.service and row["state"] == "holding" for row in rows)


def _after_the_end(system: System, case: Case, outcome: Cure, repaired: ServiceStatus) -> dict[str, Any]:
    """Whether the same instance of the same version still runs, and answers."""
    now = system.agent.target.status(case.service)
    as_it_was = (now.instance, now.version, now.state) == (repaired.instance, repaired.version, repaired.state)
    answers = _good_in_a_row(system, case.service)
    if outcome.repaired and not (as_it_was and answers):
        words = "answers" if answers else "does not answer"
        changed = f"{repaired.instance} {repaired.state} → {now.instance} {now.state}"
        return {"why": f"after the fault's end it {words}: {changed}"}
    return {"undisturbed": as_it_was and answers}


def _good_in_a_row(system: System, service: str) -> bool:
    return all(system.request(service).ok for _ in range(GOOD_IN_A_ROW))


def _is_felt(system: System, service: str) -> bool:
    seen: list[bool] = []

    def fails() -> bool:
        seen.append(system.request(service).ok)
        return seen[-4:].count(False) >= FELT_OF_4

    return _until(fails, FELT_WITHIN_S)


def _until(holds: Callable[[], bool], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_EVERY_S)
    return True


def refused(name: str, system: System) -> list[Refusal]:
    """What must be refused and recorded; and a failing step, which undoes what came before."""
    agent, (one, other, *_) = system.agent, system.cases
    _, before = agent.ask("GET", "/audit?limit=1000")

    def begin(service: str, seconds: float, token: str | None = None) -> tuple[int, Any]:
        body = {"service": service, "fault": "hang", "seconds": seconds, "arguments": {}}
        return agent.ask("POST", "/faults", body, token=token)

    asked = {
        "a wrong token": (401, begin(one.service, 5.0, token="a-token-that-nobody-gave-out")),
        "an unlisted service": (404, begin("nobody", 5.0)),
        "an over-long bound": (403, begin(one.service, 10_000.0)),
    }
    _, held = begin(one.service, 60.0)
    asked["a second experiment"] = (409, begin(other.service, 5.0))
    agent.ask("DELETE", f"/faults/{held['id']}")
    _, audit = agent.ask("GET", "/audit?limit=1000")
    news = [row for row in audit if row not in before]
    recorded = {(row.get("status"), row.get("error")) for row in news if row["what"] == "refused"}
    refusals = [
        Refusal(
            system=name,
            asked=what,
            refused=status == expected,
            recorded=(status, answer.get("error")) in recorded,
            words=answer.get("error", ""),
        )
        for what, (expected, (status, answer)) in asked.items()
    ]
    return [*refusals, _undone(name, system)]


def _undone(name: str, system: System) -> Refusal:
    run, wrong = system.agent.run(str(FAILING_BOOK["id"]), system.cases[0].service)
    states = [step.state for step in run.steps] if run else []
    return Refusal(
        system=name,
        asked="a failing step",
        refused=states == ["undone", "failed"] and not system.mark.exists(),
        recorded=run is not None and run.state == "failed",
        words=run.text if run else wrong,
    )


def summary(cures: Sequence[Cure]) -> list[dict[str, Any]]:
    """Counts and medians of each system and fault."""
    rows = []
    for system, fault, runbook in dict.fromkeys((one.system, one.fault, one.runbook) for one in cures):
        own = [one for one in cures if (one.system, one.fault) == (system, fault)]
        seconds = [one.seconds for one in own if one.repaired and one.seconds is not None]
        rows.append({
            "system": system,
            "fault": fault,
            "runbook": runbook,
            "runs": sum(one.broken for one in own),
            "repaired": sum(one.repaired for one in own),
            "median_s": round(statistics.median(seconds), 1) if seconds else None,
            "failed_steps": sum(one.failed_steps for one in own),
            "undone": sum(one.undone for one in own),
            "undisturbed": sum(one.undisturbed for one in own),
            "without_effect": sum(not one.broken for one in own),
        })  # fmt: skip
    return rows


def _table(report: dict[str, Any]) -> str:
    lines = [
        f"{'system':8} {'fault':11} {'runbook':24} {'repaired':9} {'median s':9} failed, undone, undisturbed, no effect"
    ]
    for row in report["summary"]:
        count = f"{row['repaired']}/{row['runs']}"
        median = "-" if row["median_s"] is None else f"{row['median_s']:.1f}"
        rest = f"{row['failed_steps']}, {row['undone']}, {row['undisturbed']}, {row['without_effect']}"
        lines.append(f"{row['system']:8} {row['fault']:11} {row['runbook']:24} {count:9} {median:9} {rest}")
    for one in report["refusals"]:
        what = "undone" if one["asked"] == "a failing step" else "refused"
        yes = what if one["refused"] else f"NOT {what}"
        lines.append(f"{one['system']:8} {one['asked']}: {yes}, {'' if one['recorded'] else 'NOT '}recorded")
    lines += [f"{one['system']} {one['fault']}: {one['why']}" for one in report["cures"] if one["why"]]
    return "\n".join(lines)


def _line(one: Cure) -> str:
    took = "-" if one.seconds is None else f"{one.seconds:.1f} s"
    state = "repaired" if one.repaired else "not repaired"
    return f"{one.fault} in {one.service}: {state}, {took}{'' if one.undisturbed else ', disturbed'} {one.why}".rstrip()


def _notify(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)
