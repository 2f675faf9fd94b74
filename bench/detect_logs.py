"""The template miner beside drain3 on labelled logs of real and of written programs, with one setting for all."""

from __future__ import annotations

import gzip
import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Final

from bench.log_programs import write
from detectors.templates.miner import TemplateMiner

Row = dict[str, str | float | None]

CORPUS: Final = Path(__file__).parents[1] / "tests" / "detectors" / "templates" / "corpus"


def rows() -> list[Row]:
    """A row for each program, and the mean of each set; the real ones only where the corpus is installed."""
    sets = {"real programs": {path.name.split(".")[0]: _read(path) for path in sorted(CORPUS.glob("*.tsv.gz"))}}
    sets |= {
        f"written, {half}": {name: write.lines_of(half, name) for name in write.programs(half)} for half in write.HALVES
    }
    table: list[Row] = []
    for name, programs in sets.items():
        compared = [_compared(program, *logs) for program, logs in programs.items()]
        table += compared
        keys = ("accuracy", "drain3 accuracy")
        means = {
            key: fmean(float(row[key] or 0) for row in compared) for key in keys if compared and key in compared[0]
        }
        table.append({"program": f"mean of {len(compared)} {name}", **means})
    return table


def _read(path: Path) -> tuple[list[str], list[str]]:
    pairs = [row.split("\t", 1) for row in gzip.decompress(path.read_bytes()).decode().split("\n")]
    return [line for _, line in pairs], [name for name, _ in pairs]


def _compared(program: str, lines: list[str], truth: list[str]) -> Row:
    miner, started = TemplateMiner(), time.process_time()
    ids = miner.canonical(miner.add_many(lines)).tolist()
    seconds = time.process_time() - started
    row: Row = {
        "program": program,
        "lines": len(lines),
        "accuracy": grouping_accuracy(ids, truth),
        "lines a CPU second": round(len(lines) / seconds),
    }
    try:
        from drain3 import TemplateMiner as Drain
    except ImportError:
        return row
    logging.getLogger("drain3").setLevel(logging.ERROR)
    drain, started = Drain(), time.process_time()
    theirs = [int(drain.add_log_message(line)["cluster_id"]) for line in lines]
    seconds = time.process_time() - started
    return row | {
        "drain3 accuracy": grouping_accuracy(theirs, truth),
        "drain3 lines a CPU second": round(len(lines) / seconds),
    }


def grouping_accuracy(found: Sequence[int], truth: Sequence[str]) -> float:
    """The share of labelled lines whose group is exactly their message's group (Zhu et al., ICSE-SEIP 2019)."""
    groups: dict[int, set[int]] = defaultdict(set)
    messages: dict[str, set[int]] = defaultdict(set)
    for i, (group, message) in enumerate(zip(found, truth, strict=True)):
        if message:
            groups[group].add(i)
            messages[message].add(i)
    right = sum(len(rows) for rows in messages.values() if groups[found[min(rows)]] == rows)
    return right / max(1, sum(map(len, messages.values())))
