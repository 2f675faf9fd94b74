"""A course on a foreign system: the library, its agent and every role, with the scripted human."""

from __future__ import annotations

import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml

from bench.foreign import role_changes
from bench.own_agent import TOKEN_ENV
from bench.own_library import OwnLibrary, started_library
from bench.own_roles import OwnRoles
from chaos.demo.human import ScriptedHuman
from chaos.demo.loop import Loop
from chaos.demo.processes import Patience
from chaos.demo.story import Stage, Story
from watchkeeper.ports import free_port

RATE_PER_S: Final = 12.0
HOLD_S: Final = 25.0  # after the effect: pages come within 20 s where they come at all
ROLES: Final = ("store", "ingest", "standin", "watch", "web")
CALM_S, CALM_WITHIN_S, CALM_FAILED = 5.0, 90.0, 0.05
Notify = Callable[[str], None]
Played = TypeVar("Played")


def perform_abroad(
    root: Path,
    seed: int,
    notify: Notify,
    play: Callable[[Story], Played],
    *,
    autonomous: Mapping[str, Any] | None = None,
    longest_hold_s: float = HOLD_S,
) -> tuple[Played, str]:
    """Start everything, play the course, stop everything. Returns what was played, and the folder of its data.

    `autonomous` is that section of the runbooks' policy: what may run without a human. A fault holds for at most
    `longest_hold_s` after its effect.

    Raises:
        ChaosError: a program of the foreign system is missing.
    """
    began = time.time()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped then, too
    folder = root / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
    hands = folder / "library"
    hands.mkdir(parents=True)
    experiments = folder / "experiments"
    experiments.mkdir()
    ports = {"otlp_http_port": free_port(), "otlp_grpc_port": free_port()}
    with ExitStack() as stack:
        otlp_url = f"http://127.0.0.1:{ports['otlp_http_port']}"
        own = stack.enter_context(started_library(hands, RATE_PER_S, seed=seed, otlp_url=otlp_url))
        os.environ[TOKEN_ENV] = own.agent.token  # the roles find it there; it is written nowhere
        if autonomous:
            (own.agent.runbooks / "policy.yaml").write_text(
                yaml.safe_dump({"services": ["*"], "autonomous": dict(autonomous)})
            )
        roles = stack.enter_context(OwnRoles(folder, _changes(own, ports, experiments)))
        notify(f"data and logs: {folder}")
        roles.start(*ROLES)
        loop = Loop(roles.config)
        stack.callback(loop.close)
        patience = Patience()
        stage = Stage(
            loop=loop,
            target=own.agent.target,
            records_dir=hands,
            patience=patience,
            longest_hold_s=longest_hold_s,
            await_calm=lambda: _await_calm(own, notify),
        )
        story = Story(stage, notify, began=began)
        human = ScriptedHuman(f"http://127.0.0.1:{roles.config.slack.stand_in.port}", patience, story.verdict)
        human.start()
        try:
            played = play(story)
        finally:
            patience.stop()
            human.join()
        for refusal in human.refusals[:5]:
            notify(f"a press was refused: {refusal}")
    return played, str(folder)


def _changes(own: OwnLibrary, ports: dict[str, int], experiments: Path) -> dict[str, dict[str, Any]]:
    """What differs from a default installation: ports, one person, the agent, and a shorter wait for recovery."""
    return {
        **role_changes(),
        "ingest": dict(ports),
        "watch": {"clear_s": 10.0},
        "targets": {"library": {"kind": "agent", "url": own.agent.url, "token_env": TOKEN_ENV}},
        "runbooks": {"dir": str(own.agent.runbooks)},
        "chaos": {"folder": str(experiments)},
    }


def _await_calm(own: OwnLibrary, notify: Notify) -> None:
    """Wait until users are served again."""
    until = time.monotonic() + CALM_WITHIN_S
    while time.monotonic() < until:
        seen = own.users.since(time.time() - CALM_S)
        if seen and sum(one.failed for one in seen) <= CALM_FAILED * len(seen):
            return
        time.sleep(0.5)
    notify("  users' requests still fail")
