"""The journals of experiments, kept in one folder: Chaos Toolkit's own form, with a part of Watchkeeper's.

A journal is written before anything is touched, as `cut short`, and replaced at the end. No secret is in it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from chaoslib.run import initialize_run_journal

from chaos.toolkit.document import ExperimentFile
from chaos.toolkit.redaction import Redactor
from watchkeeper.state.codec import parse

FOLDER: Final = "journals"
CUT_SHORT: Final = "cut short"


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One experiment's journal in a line. `status` as the journal has it, or `deviated`, or `cut short`."""

    id: str
    title: str
    source: str
    start: float  # Unix seconds
    status: str
    stopped: str = ""
    sealed: bool = False
    is_short_form: bool = False  # its fault's own row says all of it
    approved_by: str = ""  # ids of people, of a scheduled experiment that needs approval

    def shown_title(self) -> str:
        return "a game day" if self.sealed and self.status == CUT_SHORT else self.title


def keep(path: Path, journal: Mapping[str, Any], redactor: Redactor) -> None:
    """Write a journal; the whole of it, or nothing, is on the disk afterwards."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    with draft.open("w", encoding="utf-8") as file:
        json.dump(redactor.anything(journal), file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def begin(path: Path, experiment: ExperimentFile, facts: Summary, redactor: Redactor) -> None:
    """Keep what is known before anything is touched: if this process is killed, that is what stays."""
    journal = initialize_run_journal(experiment.copied())
    keep(path, {**journal, "watchkeeper": asdict(facts)}, redactor)


def summary(journal: Mapping[str, Any], facts: Summary) -> Summary:
    """What to show of a journal that has ended."""
    status = "deviated" if journal.get("deviated") else str(journal["status"])
    return Summary(**(asdict(facts) | {"status": status, "stopped": journal["watchkeeper"]["stopped"]}))


def kept(folder: Path) -> tuple[Summary, ...]:
    """Every journal in a folder, oldest first. Those that cannot be read are left out."""
    summaries = []
    for path in (folder / FOLDER).glob("*.json"):
        try:
            summaries.append(parse(Summary, json.dumps(json.loads(path.read_text())["watchkeeper"])))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return tuple(sorted(summaries, key=lambda each: each.start))


def moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}"
