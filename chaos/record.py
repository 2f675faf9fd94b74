"""What experiments did and what was true meanwhile: two files of JSON lines in one folder for each target.

An experiment's row is written before it breaks anything, as cut short, and replaced as more is known. So if the
injector is killed, the row that it leaves is the true one, without anybody who would have to correct it afterwards.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from chaos.fault import Effect, Truth
from watchkeeper.state.codec import parse
from watchkeeper.vocabulary import Mechanism

R = TypeVar("R")
TRUTH_FILE = "chaos-truth.jsonl"
JOURNAL_FILE = "chaos-journal.jsonl"
# `cut short`: whoever injected it was killed before the end, or it still runs.
Status = Literal["completed", "no effect", "interrupted", "not recovered", "cut short"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """What an experiment did; times are Unix seconds. `deviations` names probes that left their tolerance.

    `sealed`: nobody is shown which fault it is before the end: a game day.

    Of one that was cut short, `reverted_at` and `end` are the time by which its fault ends by itself, at the latest.
    """

    id: str = ""
    title: str
    fault: str
    target: str
    blast_radius: str
    status: Status
    start: float
    injected_at: float
    effect: Effect
    reverted_at: float
    end: float
    deviations: tuple[str, ...]
    steady_again: bool
    sealed: bool = False

    @property
    def is_sealed(self) -> bool:
        """Whether nobody is to see yet which fault it is."""
        return self.sealed and self.status == "cut short" and self.end > time.time()

    def shown_title(self) -> str:
        return "a game day" if self.is_sealed else self.title


class Records:
    """The records of one target's experiments.

    `record` gets each truth after it is on the disk: the state database's way to know of it (see `chaos.truth`).
    """

    def __init__(self, folder: Path, record: Callable[[Truth], None] = lambda _: None) -> None:
        self._folder = folder
        self._record = record

    def keep(self, journal: Journal, mechanism: Mechanism) -> None:
        """Write, or replace, an experiment's row in the journal and in the truth. On the disk before this returns."""
        truth = Truth(
            id=journal.id,
            fault=journal.fault,
            target=journal.target,
            mechanism=mechanism,
            injected_at=journal.injected_at,
            effect_at=journal.effect.since,
            took_effect=journal.effect.proved,
            ended_at=journal.reverted_at,
            detail=journal.effect.detail,
            cut_short=journal.status == "cut short",
            sealed=journal.sealed,
            dependency=journal.effect.dependency,
        )
        self._folder.mkdir(parents=True, exist_ok=True)
        _replace(self._folder / JOURNAL_FILE, asdict(journal))
        _replace(self._folder / TRUTH_FILE, asdict(truth))
        self._record(truth)

    def truths(self) -> tuple[Truth, ...]:
        """What was true of every experiment, oldest first. Rows that cannot be read are left out."""
        return tuple(_readable(Truth, self._folder / TRUTH_FILE))

    def history(self) -> tuple[Journal, ...]:
        """Every experiment, oldest first. Rows that cannot be read are left out."""
        return tuple(_readable(Journal, self._folder / JOURNAL_FILE))


def _readable(kind: type[R], path: Path) -> Iterator[R]:
    for row in _rows(path):
        with suppress(ValueError):  # by hand, or of another version
            yield parse(kind, json.dumps(row))


def _rows(path: Path) -> list[dict[str, Any]]:
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue  # half a line, from before rows were replaced as a whole
        rows += [row] if isinstance(row, dict) else []
    return rows


def _replace(path: Path, row: dict[str, Any]) -> None:
    rows = [known for known in _rows(path) if known.get("id") != row["id"]]
    draft = path.with_suffix(".draft")
    with draft.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(kept) + "\n" for kept in (*rows, row))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
