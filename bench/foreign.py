"""`watchkeeper bench foreign`: real faults in a real system that is not ours, with every role running.

A round is a quiet time with harmless changes, then each fault for `hold_s` seconds and a pause. A fault counts as found
when a page reaches its channel while it lasts or within GRACE_S after; the diagnosis scored is the one that goes with
the page, and the last one beside it.
"""

from __future__ import annotations

import json
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from alerting.incidents.machine import Incident
from bench.own_roles import OwnRoles
from chaos.demo.loop import Loop, paged_at
from chaos.foreign.faults import FAULTS, HARMLESS, ForeignFault
from chaos.foreign.programs import find
from chaos.foreign.system import Library
from chaos.foreign.users import Users
from watchkeeper.errors import ChaosError
from watchkeeper.ports import free_port
from watchkeeper.vocabulary import Actor, Diagnosis

ROLES: Final = ("store", "ingest", "standin", "watch")
RATE_PER_S: Final = 15.0
WARM_UP_S: Final = 240.0
GRACE_S: Final = 20.0
LONGEST_PAUSE_S: Final = 180.0
HARMLESS_FOR_S: Final = 45.0
LOOK_EVERY_S: Final = 0.5
FELT_SHARE: Final = 0.05  # of requests that fail, from which on users feel a fault
FELT_TIMES, FELT_S = 3.0, 0.1  # as slow as usual at the median or the 95th percentile, and so much longer


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One fault and what became of it. Seconds count from the fault; None: it did not happen."""

    kind: str
    culprits: tuple[str, ...]
    pages: bool
    felt: bool
    failed_share: float
    median_ms: float
    p95_ms: float
    paged_s: float | None = None
    diagnosed_s: float | None = None
    rank_at_page: int | None = None
    rank_at_last: int | None = None
    mechanism_right: bool = False
    abstained: bool | None = None
    first: str = ""
    incidents: int = 0
    tickets: int = 0
    findings: int = 0
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """Minutes in which nothing was wrong, what harmless things went on, and how many pages came."""

    minutes: float
    harmless: tuple[str, ...]
    pages: int
    titles: tuple[str, ...]


def run(
    *, rounds: int, quiet_minutes: float, hold_s: float, kinds: Sequence[str], as_json: bool, keep: Path | None
) -> None:
    """Play the rounds and print what was found.

    Raises:
        ChaosError: a program of the foreign system is missing, or there is no such fault.
    """
    known = [fault.kind for fault in FAULTS]
    unknown = [kind for kind in kinds if kind not in known]
    if unknown:
        raise ChaosError(f"there is no fault {unknown[0]!r}; known are: {', '.join(known)}")
    programs = find()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped then, too
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        place = keep or Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        roles = stack.enter_context(OwnRoles(place, role_changes()))
        roles.start(*ROLES)
        library = stack.enter_context(Library(programs, roles.otlp_url, free_port))
        users = stack.enter_context(Users(library.url, RATE_PER_S, seed=1))
        loop = Loop(roles.config)
        stack.callback(loop.close)
        trial = _Trial(roles, library, users, loop)
        chosen = [fault for fault in FAULTS if not kinds or fault.kind in kinds]
        chosen = [fault for fault in FAULTS if not kinds or fault.kind in kinds]
        report = trial.play(chosen, rounds=rounds, quiet_minutes=quiet_minutes, hold_s=hold_s)
    print(json.dumps(report, indent=1) if as_json else _table(report))


def role_changes() -> dict[str, dict[str, Any]]:
    person = {"id": "ana", "name": "Ana", "addresses": {"slack": "U0ANA"}, "timezone": "UTC"}
    return {
        "slack": {"stand_in": {"port": free_port()}},
        "web": {"port": free_port()},
        "oncall": {
            "people": [person],
            "schedules": [{"id": "primary", "layers": [{"people": ["ana"]}], "fallback": "ana"}],
            "escalation": [{"after_s": 0, "notify": "primary"}],
        },
    }


class _Trial:
    """The course over one running system."""

    def __init__(self, roles: OwnRoles, library: Library, users: Users, loop: Loop) -> None:
        self._roles, self._library, self._users, self._loop = roles, library, users, loop
        self._usual: tuple[float, float] = (0.0, 0.0)

    def play(
        self, faults: Sequence[ForeignFault], *, rounds: int, quiet_minutes: float, hold_s: float
    ) -> dict[str, Any]:
        _notify(f"{WARM_UP_S:.0f} s to learn what is usual")
        time.sleep(WARM_UP_S)
        median, p95, _ = self._experience(time.time() - WARM_UP_S / 2)
        self._usual = (median, p95)
        quiet = self._stay_quiet(quiet_minutes)
        outcomes = []
        for number in range(rounds):
            for fault in faults:
                one = self._break(fault, hold_s)
                outcomes.append(one)
                _notify(
                    f"{number + 1}/{rounds} {fault.kind}: paged after {one.paged_s} s, first {one.first or 'nobody'}"
                )
                self._recover()
        return {"faults": [asdict(one) for one in outcomes], "quiet": asdict(quiet), "summary": summary(outcomes)}

    def _stay_quiet(self, minutes: float) -> Quiet:
        began = time.time()
        if minutes <= 0:
            return Quiet(minutes=0.0, harmless=(), pages=0, titles=())
        gap_s = max(0.0, minutes * 60 / len(HARMLESS) - HARMLESS_FOR_S)
        for name, do in HARMLESS.items():
            _notify(f"quiet time: {name}")
            with do(self._library, self._users):
                time.sleep(HARMLESS_FOR_S)
            time.sleep(gap_s)
        paged = self._paged(began)
        for one in paged:
            _notify(f"  a false page: {one.title}")
        self._recover()
        return Quiet(
            minutes=round((time.time() - began) / 60, 1),
            harmless=tuple(HARMLESS),
            pages=len(paged),
            titles=tuple(one.title for one in paged),
        )

    def _break(self, fault: ForeignFault, hold_s: float) -> Outcome:
        at_page: Diagnosis | None = None
        with fault.do(self._library, self._users):
            began = time.time()
            while time.time() < began + hold_s:
                time.sleep(LOOK_EVERY_S)
                if at_page is None:
                    at_page = next((one.diagnosis for one in self._paged(began) if one.diagnosis), None)
            median, p95, failed = self._experience(began)
        while not self._paged(began) and time.time() < began + hold_s + GRACE_S:
            time.sleep(LOOK_EVERY_S)
        opened, paged = self._loop.opened_since(began), self._paged(began)
        felt = failed >= FELT_SHARE or any(
            now >= FELT_TIMES * usual and now >= usual + FELT_S
            for now, usual in zip((median, p95), self._usual, strict=True)
        )
        outcome = Outcome(
            kind=fault.kind, culprits=fault.culprits, pages=fault.pages, felt=felt, failed_share=round(failed, 3),
            median_ms=round(1000 * median), p95_ms=round(1000 * p95), incidents=len(paged),
            tickets=len(opened) - len(paged),
        )  # fmt: skip
        if not paged:
            return outcome
        incident = paged[0]
        last = incident.diagnosis
        at_page = at_page or last
        return replace(
            outcome,
            paged_s=round((paged_at(incident) or 0.0) - began, 1),
            rank_at_page=rank(at_page, fault.culprits),
            rank_at_last=rank(last, fault.culprits),
            mechanism_right=bool(last and last.suspects and last.suspects[0].mechanism in fault.mechanisms),
            abstained=last.abstained if last else None,
            first=last.suspects[0].service if last and last.suspects else "",
            findings=len(incident.findings),
            title=incident.title,
        )

    def _paged(self, since: float) -> list[Incident]:
        return [one for one in self._loop.opened_since(since) if paged_at(one)]

    def _recover(self) -> None:
        """Wait until nothing fires any more, as an experiment waits for its steady state."""
        until = time.monotonic() + LONGEST_PAUSE_S
        time.sleep(30.0)
        while time.monotonic() < until:
            if all(one.system_state != "firing" for one in self._loop.incidents.list("open", 50, "page")):
                break
            time.sleep(1.0)
        for one in self._loop.incidents.list(limit=50):
            if one.is_open and one.system_state != "firing":
                resolve(self._loop, one.id)
        time.sleep(15.0)

    def _experience(self, since: float) -> tuple[float, float, float]:
        """Median and 95th percentile in seconds, and the share that failed."""
        seen = self._users.since(since)
        if not seen:
            return 0.0, 0.0, 1.0
        seconds = sorted(one.seconds for one in seen)
        share = sum(one.failed for one in seen) / len(seen)
        return statistics.median(seconds), seconds[int(0.95 * (len(seconds) - 1))], share


def resolve(loop: Loop, incident_id: str) -> None:
    """Resolve an incident as the person on call does, without a judgement: nothing is learned in between."""
    loop.incidents.resolve(incident_id, Actor(name="ana", via="cli"), f"over:{incident_id}")


def rank(diagnosis: Diagnosis | None, culprits: Sequence[str]) -> int | None:
    """The place of the first right suspect, from 1; a dependency may be named with its port or address."""
    if diagnosis is None:
        return None
    for place, suspect in enumerate(diagnosis.suspects, 1):
        if any(is_name(suspect.service, culprit) for culprit in culprits):
            return place
    return None


def is_name(shown: str, culprit: str) -> bool:
    """Whether a suspect's name means this program: `redis`, `redis (port 6379)` and `redis:6379` are one."""
    return shown == culprit or shown.startswith((f"{culprit} ", f"{culprit}:", f"{culprit}("))


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Counts over the faults that users felt, and over the others."""
    felt = [one for one in outcomes if one.felt and one.pages]
    found = [one for one in felt if one.paged_s is not None]
    return {
        "faults that users felt": len(felt),
        "detected": len(found),
        "first": sum(one.rank_at_last == 1 for one in found),
        "first at the page": sum(one.rank_at_page == 1 for one in found),
        "in three": sum((one.rank_at_last or 99) <= 3 for one in found),
        "mechanism": sum(one.mechanism_right for one in found),
        "median s to the page": round(statistics.median(one.paged_s or 0.0 for one in found), 1) if found else None,
        "pages a fault": round(sum(one.incidents for one in felt) / max(len(felt), 1), 2),
        "faults that users did not feel": len(outcomes) - len(felt),
        "of these paged": sum(one.paged_s is not None for one in outcomes if one not in felt),
        "of these a ticket": sum(one.tickets > 0 for one in outcomes if one not in felt),
    }


def _table(report: dict[str, Any]) -> str:
    lines = [f"{'fault':24} {'felt':5} {'paged s':8} {'rank':5} {'first':28} mechanism"]
    for one in report["faults"]:
        paged = "-" if one["paged_s"] is None else f"{one['paged_s']:.1f}"
        place = one["rank_at_last"] or "-"
        right = "right" if one["mechanism_right"] else ""
        lines.append(f"{one['kind']:24} {one['felt']!s:5} {paged:8} {place!s:5} {one['first']:28} {right}")
    lines += [f"{name}: {value}" for name, value in report["summary"].items()]
    quiet = report["quiet"]
    lines.append(f"quiet minutes: {quiet['minutes']} with {', '.join(quiet['harmless'])}; pages: {quiet['pages']}")
    return "\n".join(lines)


def _notify(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)
