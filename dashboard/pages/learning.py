"""Learning: labels of both sources, and every version of every model with its record."""

from __future__ import annotations

from collections import Counter

from dash import dcc, html

from dashboard.components.attempts import attempt
from dashboard.components.diagnosis_accuracy import diagnosis_accuracy
from dashboard.components.elements import Part, card, empty, facts, moment, pill, table
from dashboard.components.learning_cards import (
    deciding,
    fairness,
    numbers,
    suppressed_findings,
    track_records,
    trained_on,
)
from dashboard.components.wording import count, percent
from dashboard.page import Page, PageRequest
from dashboard.reads.sources import Sources
from dashboard.urls import incident_path
from dashboard.viewer import Viewer
from watchkeeper.state.labels import labels
from watchkeeper.state.models import Promotion, promotion_records, versions
from watchkeeper.vocabulary import Label

SHOWN = 40
STAGES = {"serving": ("ok", "●"), "canary": ("accent", "◐"), "shadow": ("unknown", "○"), "retired": ("unknown", "×")}


def render(request: PageRequest) -> Part:
    """Learning: the serving version, suppressed findings, track records, labels of both sources, and models."""
    sources, viewer = request.sources, request.viewer
    return [
        html.H1("Learning"),
        html.Div(
            [
                html.Div(
                    [
                        attempt("The serving version", lambda: deciding(sources, viewer)),
                        attempt("The suppressed findings", lambda: suppressed_findings(sources, viewer)),
                        attempt("The track record", lambda: track_records(sources)),
                        attempt("The labels", lambda: _labels(sources, viewer)),
                        attempt("The models", lambda: _models(sources, viewer)),
                    ],
                    className="wide",
                ),
                html.Div(
                    [
                        attempt("The labels by source", lambda: _record(sources)),
                        attempt("The accuracy of diagnoses", lambda: diagnosis_accuracy(sources)),
                        attempt("The fairness", lambda: fairness(sources)),
                    ],
                    className="narrow",
                ),
            ],
            className="columns",
        ),
    ]


def _record(sources: Sources) -> Part:
    human, chaos = labels(sources.db, "human"), labels(sources.db, "chaos")
    return [
        card("Human labels", _tally(human, "Resolve an incident and answer the form. Each answer is counted here.")),
        card(
            "Chaos labels",
            _tally(
                chaos,
                ["Run ", html.Code("watchkeeper chaos run"), " or the demo. Each fault records its ground truth here."],
            ),
        ),
    ]


def _tally(labelled: tuple[Label, ...], advice: Part) -> Part:
    judged = [label for label in labelled if label.warranted is not None]
    if not labelled:
        return empty("No label yet", advice)
    right = sum(1 for label in judged if label.warranted)
    causes = Counter(label.cause for label in labelled if label.cause)
    return facts(
        ("Labels", str(len(labelled))),
        ("Pages warranted", f"{right} of {len(judged)} ({percent(right / len(judged))})" if judged else "not judged"),
        ("Causes", ", ".join(f"{cause} {n}×" for cause, n in causes.most_common(5)) or "none named"),
    )


def _labels(sources: Sources, viewer: Viewer) -> Part:
    newest = sorted(labels(sources.db), key=lambda label: label.at, reverse=True)
    if not newest:
        return card(
            "Labels",
            empty("No label yet", "People add labels when they resolve an incident. Chaos experiments add theirs."),
        )
    words = {
        True: pill("warranted", "ok", "✓"),
        False: pill("false page", "failing", "✕"),
        None: pill("not sure", "unknown", "?"),
    }
    rows = [
        html.Tr(
            [
                html.Th(moment(label.at, viewer), scope="row"),
                html.Td(pill(label.source, "accent" if label.source == "human" else "unknown")),
                html.Td(label.author),
                html.Td(dcc.Link(label.incident_id, href=incident_path(label.incident_id))),
                html.Td(words[label.warranted]),
                html.Td(
                    " ".join(filter(None, [label.cause, f"({label.mechanism})" if label.mechanism else None])) or "–"
                ),
                html.Td(label.note or "–"),
            ]
        )
        for label in newest[:50]
    ]
    heads = ["When", "Source", "Author", "Incident", "Page", "Cause", "Note"]
    return card("Labels", table(heads, rows, caption="Labels, newest first"), aside=count(len(newest), "label"))


def _models(sources: Sources, viewer: Viewer) -> Part:
    newest = versions(sources.db, newest=SHOWN)[::-1]
    if not newest:
        return card(
            "Models",
            empty("No model yet", "Detectors start with built-in settings. Labels train the first version."),
        )
    moves = {(move.name, move.version): move for move in promotion_records(sources.db)}
    rows = []
    for version in newest:
        move = moves.get((version.name, version.version))
        rows.append(
            html.Tr(
                [
                    html.Th([version.name, html.Span(f" v{version.version}", className="muted")], scope="row"),
                    html.Td(pill(version.stage, *STAGES[version.stage])),
                    html.Td(moment(version.created_at, viewer)),
                    html.Td(trained_on(version.lineage)),
                    html.Td(_why(move, viewer) if move else "new: not promoted yet"),
                ]
            )
        )
    heads = ["Model", "Stage", "Made", "Trained on", "Why at this stage"]
    return card(
        "Models",
        table(heads, rows, caption="Model versions, newest first"),
        aside="serving decides; shadow is only scored",
    )


def _why(move: Promotion, viewer: Viewer) -> Part:
    """Who moved a version to its stage, when, and by which numbers or for which reason."""
    record = move.record
    lines: list[Part] = [html.Div([move.actor, " ", moment(move.at, viewer)])]
    if record.get("forced"):
        lines.append(html.Div("forced: the gate had rejected it"))
    if record.get("why"):
        lines.append(html.Div(str(record["why"]), className="reason"))
    lines += [html.Div(f"{source}: {line}", className="reason") for source, line in numbers(move).items()]
    return lines


PAGE = Page(path="/learning", title="Learning", render=render, order=50, section="Improve", key="l")
