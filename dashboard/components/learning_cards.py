"""The learning page's cards: the serving version, what it suppresses, and how often detectors were right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dash import dcc, html

from dashboard.components.elements import Part, card, empty, facts, moment, pill, table
from dashboard.components.suppression import reopen_button
from dashboard.components.wording import count, percent
from dashboard.reads.sources import Sources
from dashboard.urls import View, incident_path
from dashboard.viewer import Viewer
from detectors.learning.examples import Example
from detectors.learning.fairness import By, Case, pages, shares, troubles, ways
from detectors.learning.track_record import all_records, disagreements
from watchkeeper.state.models import Promotion, at_stage, promotion_records

MODEL = "detectors"
ROWS = 40
GROUPS = 6


def trained_on(lineage: Mapping[str, Any]) -> str:
    """The labels that a version was trained on, by source."""
    return f"{lineage.get('human labels', '?')} human, {lineage.get('chaos labels', '?')} chaos"


def deciding(sources: Sources, viewer: Viewer) -> Part:
    """Which version decides, since when, who promoted it and on which labels."""
    serving, canary = at_stage(sources.db, MODEL, "serving"), at_stage(sources.db, MODEL, "canary")
    moves = {(move.version, move.stage): move for move in promotion_records(sources.db, MODEL)}
    rows: list[tuple[str, Part]] = []
    for name, model in (("Serving", serving), ("Canary", canary)):
        if model is None:
            if name == "Serving":
                rows.append((name, "the built-in settings: every finding of severity page pages"))
            continue
        move = moves.get((model.version, model.stage))
        words: list[Part] = [html.Strong(f"version {model.version}")]
        if move:
            words += [f", by {move.actor} ", moment(move.at, viewer)]
        rows.append((name, html.Span(words)))
        rows += [(f"{source} labels", line) for source, line in numbers(move).items()] if move else []
    share = sources.config.learning.gate.canary_share
    if canary:
        rows.append(("Canary decides", f"for {percent(share)} of the services, always the same ones"))
    back = html.Span([html.Code("watchkeeper model rollback"), " returns to the version before"], className="muted")
    return card("What decides", facts(*rows), aside=back if serving or canary else None)


def numbers(move: Promotion) -> Mapping[str, str]:
    """The gate's numbers of a move, by label source: `paged 15/15 warranted, 1/6 false (before: …)`."""
    record = move.record
    return {
        source: f"{record[f'{source}_new']} (before: {record[f'{source}_before']})"
        for source in ("human", "chaos")
        if f"{source}_new" in record
    }


def suppressed_findings(sources: Sources, viewer: Viewer) -> Part:
    """Suppressed findings, each with its reason and a button to reopen it."""
    findings = sources.records.suppressed()
    if not findings:
        return card(
            "Suppressed",
            empty(
                "Nothing was suppressed",
                "The serving version turns findings that are similar to labelled false pages into tickets.",
            ),
        )
    rows = []
    for suppressed in findings:
        why = f"Version {suppressed.version}: {suppressed.reason}"
        state = pill("firing", "failing", "◆") if suppressed.cleared_at is None else pill("cleared", "ok", "●")
        incident_id = suppressed.incident_id
        where = dcc.Link(incident_id, href=incident_path(incident_id)) if incident_id else "–"
        rows.append(
            html.Tr(
                [
                    html.Th([suppressed.finding.summary, html.Div(why, className="reason")]),
                    html.Td(moment(suppressed.finding.seen_at, viewer)),
                    html.Td(where),
                    html.Td(state),
                    html.Td(
                        pill("reopened", "accent", "↺") if suppressed.reopened else reopen_button(suppressed.finding)
                    ),
                ]
            )
        )
    heads = ["Finding, and why it did not page", "Last seen", "Incident", "Now", ""]
    shown = table(heads, rows, caption="Suppressed findings, newest first")
    return card("Suppressed", shown, aside=count(len(findings), "finding"))


def track_records(sources: Sources) -> Part:
    """How often each detector was right on each service, with its 95 % interval."""
    records = all_records(sources.records.labelled())
    if not records:
        return card(
            "Track record", empty("No detector has been judged yet", "Each labelled incident judges its detectors.")
        )
    rows = [
        html.Tr(
            [
                html.Th([record.detector, html.Span(f" v{record.version.removeprefix('v')}", className="muted")]),
                html.Td(
                    dcc.Link(record.service, href=View().link("/services", service=record.service))
                    if record.service
                    else "all"
                ),
                html.Td(f"{record.right} of {record.judged}"),
                html.Td(f"{percent(record.interval[0])} to {percent(record.interval[1])}", className="muted"),
            ]
        )
        for record in records[:ROWS]
    ]
    heads = ["Detector", "Service", "Right", "95 % interval"]
    return card(
        "Track record",
        table(heads, rows, caption="How often each detector was right on each service, the most judged first"),
        aside="by both sources; where they differ, chaos counts",
    )


def fairness(sources: Sources) -> Part:
    """Shares of false pages and of misses by service, team and shift."""
    examples = sources.records.labelled()
    if not examples:
        return None
    teams = sources.config.learning.teams
    parts: list[Part] = []
    for name, by in ways(teams).items():
        parts.append(_shares(f"False pages by {name}", pages(examples), by))
    missed = troubles(examples, sources.records.reopened())
    if any(case.bad for case in missed):
        parts += [_shares(f"Misses by {name}", missed, by) for name, by in ways(teams).items()]
    else:
        words = f"No miss: none of {count(len(missed), 'real problem')} was suppressed and reopened later."
        parts.append(html.P(words, className="shares"))
    differ = disagreements(examples)
    judged_twice = len({e.incident_id for e in examples if e.source == "human"} & _by_chaos(examples))
    agreement = f"People and chaos differ on {len(differ)} of {judged_twice} incidents that both judged."
    return card("False pages and misses by group", *parts, html.P(agreement, className="muted rest"))


def _by_chaos(examples: Sequence[Example]) -> set[str]:
    return {example.incident_id for example in examples if example.source == "chaos"}


def _shares(title: str, cases: list[Case], by: By) -> Part:
    groups = shares(cases, by)
    if not groups:
        return None
    rows = [
        html.Tr(
            [
                html.Th(share.group, scope="row"),
                html.Td(f"{share.wrong} of {share.judged}"),
                html.Td(f"{percent(share.low)} to {percent(share.high)}", className="muted"),
            ]
        )
        for share in groups[:GROUPS]
    ]
    more = f"and {len(groups) - GROUPS} more" if len(groups) > GROUPS else None
    return html.Div(
        [html.H3(title), table(["", "Bad", "95 % interval"], rows, caption=title), html.P(more, className="muted")]
        if more
        else [html.H3(title), table(["", "Bad", "95 % interval"], rows, caption=title)],
        className="shares",
    )
