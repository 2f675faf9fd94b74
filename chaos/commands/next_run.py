"""`watchkeeper chaos run --next`: what the coverage map proposes, one experiment after the other."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from chaos.commands.coverage import read_assessment
from chaos.launches import COMMAND
from watchkeeper.errors import ChaosError, ConfigError

if TYPE_CHECKING:
    from chaos.coverage import Proposed
    from watchkeeper.state.database import Database

MOST: Final = 20
# How long the next experiment waits for what the one before it caused to be over.
SETTLES_WITHIN_S: Final = 900.0
LOOK_EVERY_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Experiments in order. `shop` as `--shop`, `seconds` as `--seconds`."""

    proposed: tuple[Proposed, ...]
    config: Path
    shop: Path | None
    seconds: float

    def lines(self) -> list[str]:
        """The plan for a human: what, why, and what it may harm."""
        lines = []
        for number, one in enumerate(self.proposed, 1):
            others = [name for name in one.reach.services if name != one.cell.service]
            harms = ", ".join((one.cell.service, *others)) if one.reach.is_known else "any service: callers are unknown"
            lines += [
                f"  {number}. {one.cell.fault} in {one.cell.service}, {self.seconds:g} s after its effect is proved",
                f"     {one.reason}",
                f"     may harm: {harms}",
            ]
        return lines

    def command(self, one: Proposed) -> list[str]:
        """The command of one experiment: each is a process of its own."""
        shop = ["--shop", str(self.shop)] if self.shop else []
        words = ["run", "--seconds", f"{self.seconds:g}", *shop, "--config", str(self.config)]
        return [*COMMAND, *words, "--", one.cell.fault, one.cell.service]


def run_next(count: int, config: Path | None, shop: Path | None, seconds: float, *, yes: bool) -> None:
    """Print what the map proposes, ask, and run it in order. It ends at the first that does not complete.

    Raises:
        ChaosError: nothing can be proposed, or an experiment did not complete.
    """
    from watchkeeper.config import load
    from watchkeeper.state.database import Database

    if config is None:
        raise ConfigError("--next needs --config: the map is of what the installation knows")
    if not 1 <= count <= MOST:
        raise ConfigError(f"--next takes a number from 1 to {MOST}, not {count}")
    proposed = read_assessment(config, shop).next_experiments(count)
    if not proposed:
        raise ChaosError("the map proposes nothing: `watchkeeper chaos coverage` shows what is known, and what is not")
    series = Series(proposed=tuple(proposed), config=config, shop=shop, seconds=seconds)
    print("\n".join(["Experiments, one after the other:", *series.lines()]), flush=True)
    if not yes:
        if not sys.stdin.isatty():
            raise ConfigError("--yes is missing: nobody can be asked here")
        typer.confirm("Run them?", abort=True)
    with closing(Database.open(load(config))) as db:
        _run(series, db)


def _run(series: Series, db: Database, sleep: Callable[[float], None] = time.sleep) -> None:
    for number, one in enumerate(series.proposed, 1):
        _settled(db, sleep)
        print(f"{number} of {len(series.proposed)}: {one.cell.fault} in {one.cell.service}", flush=True)
        if _status(series.command(one)):
            left = len(series.proposed) - number
            more = f"; {left} more did not run" if left else ""
            raise ChaosError(f"{one.cell.fault} in {one.cell.service} did not complete{more}")
    print(f"{len(series.proposed)} of {len(series.proposed)} completed")


def _status(command: Sequence[str]) -> int:
    """Run a command to its end, with its output here. A Ctrl-C reaches it, too, and it ends by itself."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue  # it reverts what it broke; then its status says that it was interrupted


def _settled(db: Database, sleep: Callable[[float], None]) -> None:
    """Wait until no incident pages: what one experiment caused must not end the next."""
    from chaos.toolkit.guards import open_incidents

    waited, told = 0.0, False
    while incidents := open_incidents(db):
        if waited >= SETTLES_WITHIN_S:
            still = f"incident {incidents[0][0]} is still open: {incidents[0][2]}"
            raise ChaosError(f"{still}; resolve it, and start again")
        if not told:
            print(f"waits until incident {incidents[0][0]} is over: {incidents[0][2]}", flush=True)
            told = True
        sleep(LOOK_EVERY_S)
        waited += LOOK_EVERY_S
