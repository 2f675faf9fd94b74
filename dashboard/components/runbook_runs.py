"""Runs of runbooks: who approved each, what became of it, and each step's result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dash import dcc, html

from dashboard.components.elements import Part, card, empty, folded, moment, pill, table
from dashboard.components.wording import count
from dashboard.urls import incident_path
from dashboard.viewer import Viewer
from runbooks.run_rows import Run, RunStep
from watchkeeper.durations import duration
from watchkeeper.text import prose, seen_name

# State of a run or of a step → its tone and shape.
RUNS: Final = {
    "approved": ("accent", "○"),
    "running": ("accent", "◐"),
    "undoing": ("degraded", "↶"),
    "done": ("ok", "✓"),
    "failed": ("failing", "✕"),
    "cancelled": ("unknown", "∅"),
}
STEPS: Final = {
    "planned": ("unknown", "○"),
    "skipped": ("unknown", "–"),
    "running": ("accent", "◐"),
    "waiting": ("accent", "◷"),
    "asking": ("degraded", "?"),
    "done": ("ok", "✓"),
    "failed": ("failing", "✕"),
    "unsure": ("degraded", "?"),
    "undoing": ("degraded", "↶"),
    "undone": ("unknown", "↶"),
    "kept": ("degraded", "!"),
    "stuck": ("failing", "!"),
}


def runs_card(runs: Sequence[Run], viewer: Viewer) -> Part:
    """The newest runs, newest first; a run's steps are folded, those of one that goes on are open."""
    if not runs:
        return card(
            "Runs",
            empty("No runbook has run yet", "A run begins when somebody approves what an incident proposes."),
        )
    body = table(
        ["Approved", "Run", "State", "By", "Took"],
        [_row(run, viewer) for run in runs],
        caption="Runs of runbooks, newest first",
        kind="runs",
        numbers=("Took",),
    )
    return card("Runs", body, aside=count(len(runs), "run"))


def _row(run: Run, viewer: Viewer) -> Part:
    about: list[Part] = [seen_name(run.id)]
    if run.incident_id:
        about = [dcc.Link(seen_name(run.incident_id), href=incident_path(run.incident_id))]
    steps = html.Ol([_step(step, viewer) for step in run.steps], className="run-steps")
    how = html.P(prose(run.text, 600), className="reason") if run.text else None
    detail = html.Div([steps, how]) if not run.is_over else folded(_summary(run), steps, how)
    return html.Tr(
        [
            html.Td(moment(run.approved_at, viewer), className="nowrap"),
            html.Th(
                [html.Div(prose(run.proposal.title, 200)), html.Div(about, className="reason"), detail],
                scope="row",
            ),
            html.Td(pill(run.state, *RUNS[run.state])),
            html.Td(_by(run)),
            html.Td(_took(run), className="number"),
        ]
    )


def _summary(run: Run) -> str:
    done = sum(step.state in ("done", "kept") for step in run.steps)
    return f"{done} of {count(len(run.steps), 'step')} done" if run.steps else "no step"


def _by(run: Run) -> Part:
    """Who approved it: a person, or the policy."""
    if run.autonomous:
        return html.Span(["the policy", html.Div("without a human", className="reason")])
    return seen_name(run.approved_by) if run.approved_by else "not recorded"


def _took(run: Run) -> str:
    if run.started_at is None or run.ended_at is None:
        return "–"
    return duration(run.ended_at - run.started_at)


def _step(step: RunStep, viewer: Viewer) -> Part:
    words = "; ".join(prose(text, 400) for text in (step.detail, step.undone) if text)
    question = prose(step.notes.question) if step.state == "asking" else ""
    at = moment(step.at, viewer) if step.state not in ("planned", "skipped") else None
    return html.Li(
        [
            pill(step.state, *STEPS[step.state]),
            html.Strong(seen_name(step.name)),
            html.Span([words or question, " "] if words or question else "", className="step-words"),
            at,
        ]
    )
