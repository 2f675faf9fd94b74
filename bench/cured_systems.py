"""The systems of `watchkeeper bench cures`: the shop and the library, each with an agent and runbooks of its own."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from bench.own_agent import OwnAgent
from bench.own_library import started_library
from chaos.shop import agent_file as shop_file
from chaos.shop.running import started_shop
from watchkeeper.target import ProbeSample

RATE_PER_S: Final = 8.0
# Its second step fails: what the first one did must be undone.
MARK, UNMARK, FAIL = "close-desk", "open-desk", "fail"
FAILING_BOOK: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "id": "failing",
        "title": "Close the desk of {service}, and fail",
        "why": "To see that a failing step undoes what came before.",
        "mechanisms": ["unknown"],
        "steps": [{"command": {"name": MARK, "undo": UNMARK}}, {"command": {"name": FAIL}}],
        "blast_radius": "One file.",
        "undo": "By machine.",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A fault of the platform, the service that it breaks, and the runbook that must repair it."""

    fault: str
    service: str
    runbook: str


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A running system and its agent.

    Attributes:
        request: sends a service one request, as its callers do.
        customers: how many requests of the system's customers ended within so many seconds, and how many failed.
        mark: the file that the first step of the failing runbook makes.
    """

    agent: OwnAgent
    cases: tuple[Case, ...]
    request: Callable[[str], ProbeSample]
    customers: Callable[[float], tuple[int, int]]
    mark: Path


@contextmanager
def shop(folder: Path) -> Iterator[System]:
    """The demo's shop. Its services are reached through its own control API, by the agent and by requests."""
    data = folder / "shop"
    data.mkdir()
    mark = folder / "closed"

    def file(state_dir: Path, digest: str) -> dict[str, Any]:
        content = shop_file.agent_file(data, state_dir, port=0, token_sha256=digest)
        content["services"]["shipping"]["commands"] = _failing_commands(mark)
        return content

    with started_shop(data, RATE_PER_S) as itself, OwnAgent(folder, file, (FAILING_BOOK,)) as agent:

        def customers(seconds: float) -> tuple[int, int]:
            sent = failed = 0.0
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                time.sleep(1.0)
                seen = itself.experience()
                sent, failed = (sent + seen.sent, failed + seen.failed) if seen else (sent, failed)
            return round(sent), round(failed)

        cases = (
            Case(fault="hang", service="shipping", runbook="replace-hung-instance"),
            Case(fault="kill", service="cart", runbook="start-service"),
            Case(fault="bad_deploy", service="orders", runbook="roll-back-deploy"),
        )
        yield System(agent=agent, cases=cases, request=itself.probe, customers=customers, mark=mark)


@contextmanager
def foreign(folder: Path) -> Iterator[System]:
    """The library of stock programs. Its agent finds them by their command lines; callers go through its proxies."""
    mark = folder / "closed"
    commands = {"catalogue": _failing_commands(mark)}
    with started_library(folder, RATE_PER_S, books=(FAILING_BOOK,), commands=commands) as own:

        def customers(seconds: float) -> tuple[int, int]:
            since = time.time()
            time.sleep(seconds)
            seen = own.users.since(since)
            return len(seen), sum(one.failed for one in seen)

        cases = (
            Case(fault="hang", service="catalogue", runbook="replace-hung-instance"),
            Case(fault="kill", service="readers", runbook="start-service"),
            Case(fault="bad_deploy", service="lending", runbook="roll-back-by-command"),
        )
        yield System(agent=own.agent, cases=cases, request=own.agent.target.probe, customers=customers, mark=mark)


SYSTEMS: Final[Mapping[str, Callable[[Path], AbstractContextManager[System]]]] = MappingProxyType(
    {"shop": shop, "foreign": foreign}
)


def _failing_commands(mark: Path) -> dict[str, Any]:
    return {
        MARK: {"run": ["/usr/bin/touch", str(mark)]},
        UNMARK: {"run": ["/bin/rm", "-f", str(mark)]},
        FAIL: {"run": [sys.executable, "-c", "raise SystemExit('the desk does not close')"]},
    }
