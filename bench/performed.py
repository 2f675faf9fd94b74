"""The systems on which a course is played with every role and the scripted human: the shop, and the foreign system."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import typer

from bench.campaign_abroad import HOLD_S, perform_abroad
from chaos.demo.processes import Stopped
from chaos.demo.stage import perform
from chaos.demo.story import FAULT_HOLDS_S, WARM_UP_S, Story
from watchkeeper.errors import ChaosError

# How long each is watched before anything breaks, in seconds; abroad as in `bench foreign`.
WARM_UPS_S: Final[Mapping[str, float]] = {"shop": WARM_UP_S, "foreign": 240.0}
Played = TypeVar("Played")


def warm_up_s(system: str) -> float:
    """How long it is watched before anything breaks. Raises ChaosError where there is no such system."""
    if system not in WARM_UPS_S:
        raise ChaosError(f"there is no system {system!r}; known are: {', '.join(WARM_UPS_S)}")
    return WARM_UPS_S[system]


def performed(
    system: str,
    root: Path,
    seed: int,
    play: Callable[[Story], Played],
    autonomous: Mapping[str, Any] | None = None,
) -> tuple[Played, str]:
    """Start everything, play the course, stop everything. Returns what was played, and the folder of its data.

    Raises:
        ChaosError: a program of the foreign system is missing.
        typer.Exit: on Ctrl-C, when everything was stopped.
    """
    root.mkdir(parents=True, exist_ok=True)
    try:
        if system == "foreign":
            # A runbook that may run alone must show what it repairs, so a fault holds as long as in the shop.
            holds_s = FAULT_HOLDS_S if autonomous else HOLD_S
            return perform_abroad(root, seed, notify, play, autonomous=autonomous, longest_hold_s=holds_s)
        played, measured = perform(root, seed, notify, play, autonomous=autonomous)
    except Stopped:
        notify("stopped before the end: nothing is reported")
        raise typer.Exit(130) from None
    return played, measured.data_dir


def notify(text: str) -> None:
    """Say how far it is, with the time."""
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)
