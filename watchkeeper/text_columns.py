"""Rows under heads: one line each, for `grep`, and no cell is cut, since keys are copied from them."""

from __future__ import annotations

from collections.abc import Sequence


def print_columns(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print `rows` under `heads`, each column as wide as its widest cell."""
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads) - 1)]
    for row in [heads, *rows]:
        print("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]))
