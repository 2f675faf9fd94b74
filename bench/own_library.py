"""A foreign system of one's own: the library, its users, and an agent that finds its programs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agent.proxy.running import end, ports
from bench.own_agent import OwnAgent
from chaos.foreign.agent_file import AgentFile, agent_file
from chaos.foreign.programs import find
from chaos.foreign.system import Library
from chaos.foreign.users import Users
from watchkeeper.errors import ChaosError
from watchkeeper.ports import free_port

PROXIES_WITHIN_S: Final = 120.0
NOWHERE: Final = "http://127.0.0.1:9"  # telemetry goes there where no role runs
ROLL_BACK: Final = "roll-back"
ROLL_BACK_BOOK: Final[Mapping[str, Any]] = {
    "id": "roll-back-by-command",
    "title": "Roll back {service}",
    "why": "{service} was changed shortly before the trouble began.",
    "mechanisms": ["deploy", "errors"],
    "after_change": "required",
    "steps": [{"command": {"name": ROLL_BACK}}, "verify"],
    "blast_radius": "{service} alone.",
    "undo": "Deploy the later version again.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnLibrary:
    """The running library, its users and its agent."""

    library: Library
    users: Users
    agent: OwnAgent


@contextmanager
def started_library(
    folder: Path,
    rate_per_s: float,
    *,
    seed: int = 1,
    otlp_url: str = NOWHERE,
    books: tuple[Mapping[str, Any], ...] = (),
    commands: Mapping[str, Mapping[str, Any]] | None = None,
) -> Iterator[OwnLibrary]:
    """Start all of it, and lead callers through the agent's proxies.

    Args:
        folder: where the agent's file, state and logs go.
        rate_per_s: requests of users a second.
        seed: of the users.
        otlp_url: where the library's telemetry goes.
        books: runbooks beside the built-in ones.
        commands: by service, what else the agent may run.

    Raises:
        ChaosError: a program is missing, or the agent's proxies do not listen.
    """
    with ExitStack() as stack:
        library = stack.enter_context(Library(find(), otlp_url, free_port))
        users = stack.enter_context(Users(library.url, rate_per_s, seed))
        proxies: list[AgentFile] = []

        def file(state_dir: Path, digest: str) -> Mapping[str, Any]:
            written = agent_file(library, state_dir, port=0, token_sha256=digest, free_port=free_port)
            for service, more in (commands or {}).items():
                written.content["services"][service].setdefault("commands", {}).update(more)
            proxies.append(written)
            return written.content

        own = OwnAgent(folder, file, (ROLL_BACK_BOOK, *books))
        (written,) = proxies
        listened = list(written.proxies.values())
        stack.callback(end, listened)  # proxies outlive their agent
        agent = stack.enter_context(own)
        deadline = time.monotonic() + PROXIES_WITHIN_S
        while not set(listened) <= set(ports()):
            if time.monotonic() > deadline:
                raise ChaosError("the agent's proxies do not listen; see agent.log")
            time.sleep(0.1)
        written.lead_callers(library)
        stack.callback(written.lead_callers_straight, library)
        for path in (path for name in written.proxies for path in library.paths_to(name)):
            library.cut(path)  # a connection that was open already would pass the proxy by: Redis' stay open for good
            library.repair(path)
        yield OwnLibrary(library=library, users=users, agent=agent)
