"""What the loop has learnt: labels of both sources, and every version of every model with its record."""

from __future__ import annotations

from collections import Counter

from dash import dcc, html

from dashboard.components.attempts import attempt
from dashboard.components.elements import Part, card, empty, facts, moment, pill, table
from dashboard.components.wording import count, percent
from dashboard.reads.learning import deciding, fairness, held, learnt_from, numbers, records
from dashboard.reads.sources import Sources
from dashboard.urls import View, incident_path
from dashboard.viewer import Viewer
from watchkeeper.state.labels import labels
from watchkeeper.state.models import Promotion, promotion_records, versions
from watchkeeper.vocabulary import Label

SHOWN = 40
STAGES = {"serving": ("ok", "●"), "canary": ("accent", "◐"), "shadow": ("unknown", "○"), "retired": ("unknown", "×")}


def render(sources: Sources, _view: View, viewer: Viewer) -> Part:
    """What decides and what it holds back; the records; two label sources, never mixed; every version."""
    return [
        html.H1("Learning"),
        html.Div(
            [
                html.Div(
                    [
                        attempt("What decides", lambda: deciding(sources, viewer)),
                        attempt("What was suppressed", lambda: held(sources, viewer)),
                        attempt("The track record", lambda: records(sources, viewer)),
                        attempt("The labels", lambda: _labels(sources, viewer)),
                        attempt("The models", lambda: _models(sources, viewer)),
                    ],
                    className="wide",
                ),
                html.Div(
                    [
                        attempt("The labels by source", lambda: _record(sources)),
                        attempt("The fairness", lambda: fairness(sources, viewer)),
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
        card(
            "What people said", _tally(human, "Resolve an incident and answer the form: each answer is counted here.")
        ),
        card(
            "What chaos knew",
            _tally(
                chaos, ["Run ", html.Code("watchkeeper chaos run"), " or the demo: each fault leaves its truth here."]
            ),
        ),
    ]


def _tally(found: tuple[Label, ...], advice: Part) -> Part:
    judged = [label for label in found if label.warranted is not None]
    if not found:
        return empty("No label yet", advice)
    right = sum(1 for label in judged if label.warranted)
    causes = Counter(label.cause for label in found if label.cause)
    return facts(
        ("Labels", str(len(found))),
        ("Pages warranted", f"{right} of {len(judged)} ({percent(right / len(judged))})" if judged else "not judged"),
        ("Causes", ", ".join(f"{cause} {n}×" for cause, n in causes.most_common(5)) or "none named"),
    )


def _labels(sources: Sources, viewer: Viewer) -> Part:
    found = sorted(labels(sources.db), key=lambda label: label.at, reverse=True)
    if not found:
        return card(
            "Labels",
            empty("No label yet", "A label comes from a person who resolves an incident, or from a chaos experiment."),
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
        for label in found[:50]
    ]
    heads = ["When", "Source", "Author", "Incident", "Page", "Cause", "Note"]
    return card("Labels", table(heads, rows, caption="Labels, newest first"), aside=count(len(found), "label"))


def _models(sources: Sources, viewer: Viewer) -> Part:
    known = versions(sources.db, newest=SHOWN)[::-1]
    if not known:
        return card(
            "Models",
            empty("No model yet", "Detectors start with their built-in settings; labels train the first version."),
        )
    moves = {(move.name, move.version): move for move in promotion_records(sources.db)}
    rows = []
    for version in known:
        move = moves.get((version.name, version.version))
        rows.append(
            html.Tr(
                [
                    html.Th([version.name, html.Span(f" v{version.version}", className="muted")], scope="row"),
                    html.Td(pill(version.stage, *STAGES[version.stage])),
                    html.Td(moment(version.created_at, viewer)),
                    html.Td(learnt_from(version.lineage)),
                    html.Td(_why(move, viewer) if move else "new: it only watches"),
                ]
            )
        )
    heads = ["Model", "Stage", "Made", "Learnt from", "Why at this stage"]
    return card(
        "Models",
        table(heads, rows, caption="Model versions, newest first"),
        aside="serving decides; shadow only watches",
    )


def _why(move: Promotion, viewer: Viewer) -> Part:
    """Who moved a version to its stage, when, and by which numbers or for which reason."""
    kept = move.record
    lines: list[Part] = [html.Div([move.actor, " ", moment(move.at, viewer)])]
    if kept.get("forced"):
        lines.append(html.Div("forced, although the gate refused"))
    if kept.get("why"):
        lines.append(html.Div(str(kept["why"]), className="reason"))
    lines += [html.Div(f"{source}: {line}", className="reason") for source, line in numbers(move).items()]
    return lines
