"""The template miner beside drain3 on the labelled corpus of real programs, each with one setting for all of them."""

from __future__ import annotations

import gzip
import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from detectors.templates.miner import TemplateMiner

Row = dict[str, str | float | None]

CORPUS: Final = Path(__file__).parents[1] / "tests" / "detectors" / "templates" / "corpus"


def rows() -> list[Row]:
    """A row for each program; empty where the corpus is not installed."""
    return [_compared(path) for path in sorted(CORPUS.glob("*.tsv.gz"))]


def _compared(path: Path) -> Row:
    pairs = [row.split("\t", 1) for row in gzip.decompress(path.read_bytes()).decode().split("\n")]
    truth, lines = [name for name, _ in pairs], [line for _, line in pairs]
    miner, started = TemplateMiner(), time.process_time()
    ids = miner.canonical(miner.add_many(lines)).tolist()
    seconds = time.process_time() - started
    row: Row = {
        "program": path.name.split(".")[0],
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
