"""`watchkeeper templates`: mine the templates of a log file."""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final, TextIO

import typer

from detectors.templates.miner import TemplateMiner
from watchkeeper.command_options import AsJson
from watchkeeper.errors import DetectorError
from watchkeeper.text import is_unseen

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

BATCH: Final = 5_000  # lines at once: enough that reading them costs little beside mining, little enough for any memory
# A line ends at a line feed alone, as it does for sed, grep and an editor: a bare carriage return is text.
_AS_LINES: Final[Any] = {"encoding": "utf-8", "errors": "replace", "newline": "\n"}


@app.command(epilog="Example: watchkeeper templates /var/log/postgresql/postgresql.log --out templates.csv")
def templates(
    file: Annotated[Path, typer.Argument(help="The log file, UTF-8; - reads standard input.")],
    out: Annotated[Path, typer.Option("--out", help="CSV to write: line number, template id, template.")],
    settle: Annotated[
        int, typer.Option(help="Lines that a row may wait, so that templates found to be one get one id.", min=0)
    ] = 50_000,
    as_json: AsJson = False,
) -> None:
    """Mine the templates of a log file, online, with one setting for every program.

    Each line becomes a row with its number, its template's id and the template, values as <*>. Memory is bounded;
    a row is written at most --settle lines after its line was read.
    """
    if out.exists() and file.exists() and out.resolve() == file.resolve():
        raise DetectorError(f"{file} would be overwritten; give --out another file")
    miner, started, count = TemplateMiner(), time.perf_counter(), 0
    waiting: list[tuple[int, int]] = []
    try:
        source = nullcontext(_standard_input()) if str(file) == "-" else file.open(**_AS_LINES)
        with source as lines, out.open("w", encoding="utf-8", newline="") as target:
            rows = csv.writer(target, lineterminator="\n")
            rows.writerow(["line", "template_id", "template"])  # a spreadsheet may open it: no cell is a formula
            for batch in _batches(lines):
                ids = miner.add_many(batch)
                waiting += zip(range(count + 1, count + len(batch) + 1), ids.tolist(), strict=True)
                count += len(batch)
                ready = len(waiting) - settle
                if ready > 0:
                    rows.writerows(_settled(miner, waiting[:ready]))
                    del waiting[:ready]
                if sys.stderr.isatty():
                    print(f"\r{count:,} lines", end="", file=sys.stderr, flush=True)
            rows.writerows(_settled(miner, waiting))
    except OSError as error:
        raise DetectorError(f"{error.filename or file}: {error.strerror}") from error
    if sys.stderr.isatty():
        print(file=sys.stderr)
    seconds = time.perf_counter() - started
    found = len(miner.templates())
    if as_json:
        print(json.dumps({"lines": count, "templates": found, "seconds": round(seconds, 3)}))
    else:
        print(f"{count:,} lines, {found:,} templates in {seconds:.1f} s → {out}")


def _standard_input() -> TextIO:
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(**_AS_LINES)
    return sys.stdin


def _batches(lines: TextIO) -> Iterator[list[str]]:
    while batch := [line.rstrip("\r\n") for line in islice(lines, BATCH)]:
        yield batch


def _settled(miner: TemplateMiner, waiting: list[tuple[int, int]]) -> Iterator[tuple[int, int, str]]:
    texts = miner.templates()
    texts[0] = miner.template(0)
    roots: dict[int, int] = {}
    for line, given in waiting:
        root = roots.get(given)
        if root is None:
            root = roots[given] = miner.canonical_id(given)
        yield line, root, csv_cell(texts[root])


def csv_cell(text: str) -> str:
    """Foreign text in a cell that a spreadsheet may open: never a formula.

    >>> csv_cell("=1+1"), csv_cell("a=b")
    ("'=1+1", 'a=b')
    """
    clean = "".join(" " if is_unseen(character) else character for character in text)
    return f"'{clean}" if clean.lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠")) else clean
