"""The demo on a terminal: a report as a table, and live progress of one incident."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from alerting.incidents.machine import Incident
from chaos.demo.report import Report
from chaos.demo.trial import TrialReport

MARKS = {
    "opened": "yellow",
    "paged": "yellow",
    "escalated": "red",
    "acknowledged": "cyan",
    "approved": "cyan",
    "run_finished": "green",
    "recovered": "green",
    "resolved": "green",
}
RIGHT = {"first": "True service first", "mechanism": "mechanism right"}  # of a scorecard
LINES = 14  # of the timeline: a terminal of 24 rows holds it


def print_report(report: Report) -> None:
    """The run as a table on stdout."""
    console = Console()
    table = Table(title=f"Six faults, seed {report.seed}")
    for column in ("fault", "target", "took effect", "detected", "paged", "truth ranked", "acked", "resolved"):
        table.add_column(column)
    for fault in report.faults:
        seconds = (fault.detected_s, fault.paged_s, fault.acknowledged_s, fault.resolved_s)
        detected, paged, acked, resolved = ("never" if s is None else f"{s:.1f} s" for s in seconds)
        table.add_row(
            fault.fault,
            fault.target,
            "yes" if fault.took_effect else "no",
            detected,
            paged,
            str(fault.rank_of_truth or "not named"),
            acked,
            resolved,
        )
    console.print(table)
    console.print(f"Control window: {report.control['pages']} pages in {report.control['minutes']} minutes")
    cost = report.measured
    console.print(f"Peak memory of all roles together: {cost.roles_together_mib:.0f} MiB; {cost.seconds:.0f} s in all")


def print_trial(trial: TrialReport) -> None:
    """The trial's two halves side by side on stdout, then what root-cause analysis did."""
    console = Console()
    table = Table(title=f"Before and after learning, seed {trial.seed}")
    for column in ("", "benign changes", "false pages", "per change", "faults", "recall"):
        table.add_column(column)
    for name, half in (("before", trial.before), ("after", trial.after)):
        table.add_row(
            name,
            f"{half.benign} of {half.benign_changes}",
            str(half.false_pages),
            f"{half.false_page_rate:.2f}",
            f"{half.took_effect} of {half.faults}",
            f"{half.recall:.2f}",
        )
    console.print(table)
    card = trial.scorecard
    right = (f"{name} {card[key]['right']} of {card[key]['count']}" for key, name in RIGHT.items())
    console.print(", ".join(right))
    console.print(f"Version {trial.promotion.version} served after the promotion: {trial.promotion.reason}")
    console.print(f"Rolled back to {trial.promotion.rolled_back_to}; same decisions: {trial.promotion.same_decisions}")


def progress(headline: str, incident: Incident | None, links: Mapping[str, str], steps: list[str]) -> Panel:
    """What the terminal shows while a fault holds: what was done, the incident so far, where to look."""
    parts: list[Any] = [Text(headline, style="bold")]
    parts += [Text(f"· {step}") for step in steps[-6:]]
    if incident:
        parts.append(Text(""))
        parts.append(Text(f"{incident.id}  {incident.title}", style="bold yellow"))
        for entry in incident.timeline[-LINES:]:
            parts.append(Text(f"  {_time(entry.at)} {entry.who}: {entry.text}", style=MARKS.get(entry.kind, "")))
        if incident.diagnosis and incident.diagnosis.suspects:
            parts.append(Text(""))
            for number, suspect in enumerate(incident.diagnosis.suspects[:3], 1):
                parts.append(Text(f"  {number}. {suspect.service} ({suspect.mechanism}) {suspect.probability:.0%}"))
                parts += [Text(f"     {e.sentence}", style="dim") for e in suspect.evidence[:2]]
    parts.append(Text(""))
    parts += [Text(f"{name:<10} {url}", style="blue") for name, url in links.items()]
    return Panel(Group(*parts), title="Watchkeeper demo", border_style="blue")


class PlainProgress:
    """The same where no terminal is, such as in a pipe or a log: each line once, when it is new."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def new(self, headline: str, incident: Incident | None, links: Mapping[str, str], steps: list[str]) -> list[str]:
        """What was not told before."""
        lines = [*(f"{name}: {url}" for name, url in links.items()), headline, *steps]
        if incident:
            lines.append(f"{incident.id}: {incident.title}")
            lines += [f"{_time(entry.at)} {entry.who}: {entry.text}" for entry in incident.timeline]
            suspects = incident.diagnosis.suspects if incident.diagnosis else ()
            lines += [f"Likely cause: {first.service} ({first.mechanism})" for first in suspects[:1]]
        new = [line for line in dict.fromkeys(lines) if line not in self._told]
        self._told.update(new)
        return new


def _time(at: datetime) -> str:
    return at.astimezone().strftime("%H:%M:%S")
