"""`watchkeeper chaos coverage`: which faults were tested where, and what to test next."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from watchkeeper.command_options import AsJson, ConfigPath

if TYPE_CHECKING:
    from chaos.assessment import Assessment
    from chaos.coverage import Cell
    from watchkeeper.config import Config
    from watchkeeper.target import Target

ShopDir = Annotated[
    Path | None, typer.Option("--shop", help="Data directory of a running shop, instead of the configured targets.")
]
MARKS = {
    "untested": "·", "detected": "✓", "late": "late", "wrong cause": "cause?", "missed": "MISSED", "outdated": "old",
}  # fmt: skip
LEGEND = "· untested   ✓ detected   cause? wrong, or none named   old: tested too long ago   - not possible"


def coverage(
    config: ConfigPath = None,
    shop: ShopDir = None,
    propose: Annotated[int, typer.Option("--next", min=0, help="How many next experiments to propose.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Show which faults were tested in which services, and propose the next experiments.

    A cell shows the worst of its three newest tests. The proposals weigh what would be learned against what it would
    put at risk (docs/scorecard.md).
    """
    known = read_assessment(config, shop)
    proposed = known.next_experiments(propose)
    if as_json:
        tree = {
            "cells": [asdict(cell) for cell in known.cells],
            "next": [asdict(one) | {"reason": one.reason} for one in proposed],
            "gaps": known.gaps,
        }
        print(json.dumps(tree, indent=2, default=str))
        return
    for gap in known.gaps:
        print(f"! {gap}")
    print("\n".join(coverage_table(known.cells)) if known.cells else "Nothing was tested, and no target answers.")
    if proposed:
        print("\nNext experiments, the most worth first:")
    for number, one in enumerate(proposed, 1):
        print(f"  {number}. watchkeeper chaos run {one.cell.fault} {one.cell.service}\n     {one.reason}")


def coverage_table(cells: Sequence[Cell]) -> list[str]:
    """The map as lines of text: a row for each service, a column for each fault."""
    faults = sorted({cell.fault for cell in cells})
    by_cell = {(cell.service, cell.fault): cell for cell in cells}
    rows = [["", *faults]]
    for service in sorted({cell.service for cell in cells}):
        shown = [by_cell.get((service, fault)) for fault in faults]
        rows.append([service, *(_words(cell) for cell in shown)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(faults) + 1)]
    lines = ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [*lines, "", LEGEND]


def _words(cell: Cell | None) -> str:
    if cell is None:
        return "-"
    return f"{MARKS[cell.state]} {cell.found}/{cell.tested}" if cell.tested else MARKS[cell.state]


def read_assessment(config: Path | None, shop: Path | None) -> Assessment:
    """What experiments have shown of the installation that a configuration names."""
    from chaos.assessment import assess
    from watchkeeper.clock import SystemClock
    from watchkeeper.config import load
    from watchkeeper.state.database import Database
    from watchkeeper.store.telemetry import Telemetry

    settings = load(config)
    with closing(chosen_target(settings, shop)) as target, closing(Database.open(settings)) as db:
        return assess(db, Telemetry.connect(settings), target, SystemClock().now(), settings)


def chosen_target(config: Config, shop: Path | None) -> Target:
    """The shop of a directory, else all configured targets as one."""
    from chaos.shop.running import running_shop
    from watchkeeper.target import configured_target

    return running_shop(shop) if shop else configured_target(config)
