"""Keeps the proxy running: starts it, and adds and ends routes of the one that runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from agent.proxy.control import address, ask
from agent.proxy.listener import Route
from watchkeeper.errors import AgentError

START_WITHIN_S: Final = 15.0


def ensure(routes: Sequence[Route]) -> dict[int, str]:
    """Have every route served; a proxy that runs already goes on, with its connections.

    Called when the agent starts, and again every second: a proxy that died is started again.

    Returns:
        for each port that cannot be served, why.
    """
    problems: dict[int, str] = {}
    missing: list[Route] = []
    alive = 0
    for route in routes:
        try:
            state = ask(route.listen, {"do": "state"})
            if state is None:
                missing.append(route)
                continue
            alive = route.listen
            if any(state[name] != value for name, value in asdict(route).items()):
                ask(route.listen, {"do": "open", "route": asdict(route)})
        except AgentError as error:
            problems[route.listen] = error.message
    if missing and alive:
        for route in missing:
            try:
                ask(alive, {"do": "open", "route": asdict(route)})
            except AgentError as error:
                problems[route.listen] = error.message
    elif missing:
        problems |= _start(missing)
    return problems


def end(ports: Sequence[int]) -> None:
    """End the routes of these ports: new connections are refused, open ones live on until their process ends."""
    for port in ports:
        ask(port, {"do": "close"})


def ports() -> list[int]:
    """The ports of all routes that are served on this host, in this network namespace."""
    names = (line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines())
    prefix = address(0)[1:-1]
    found = {name[len(prefix) + 1 :] for name in names if name.startswith("@" + prefix)}
    return sorted(int(port) for port in found if port.isdigit())


def _start(routes: Sequence[Route]) -> dict[int, str]:
    """Start a proxy and wait until it listens. It is nobody's child: the agent's end is not its end."""
    command = [sys.executable, "-I", "-m", "agent.proxy", "--detach", json.dumps([asdict(route) for route in routes])]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=START_WITHIN_S,
            check=False,
            cwd="/",
        )
        return {int(port): str(problem) for port, problem in json.loads(done.stdout).items()}
    except subprocess.TimeoutExpired:
        reason = f"the proxy did not start within {START_WITHIN_S:g} s"
    except (OSError, ValueError) as error:
        reason = f"the proxy did not start: {error}"
    return {route.listen: reason for route in routes}
