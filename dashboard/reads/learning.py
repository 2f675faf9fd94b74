"""What was learnt, for the learning page: what decides now, what it holds back, and how often detectors were right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import dcc, html

from dashboard.components.elements import Part, card, empty, facts, moment, pill, table
from dashboard.components.wording import count, percent
from dashboard.reads.sources import Sources
from dashboard.reads.suppressed import reopen_button
from dashboard.urls import incident_path
from dashboard.viewer import Viewer
from detectors.learning.fairness import By, Case, pages, shares, troubles, ways
from detectors.learning.track_record import all_records, disagreements
from watchkeeper.state.models import Promotion, at_stage, promotion_records

MODEL = "detectors"
ROWS = 40
GROUPS = 6


def learnt_from(lineage: Mapping[str, Any]) -> str:
    """The labels that a version learnt from, by source."""
    return f"{lineage.get('human labels', '?')} human, {lineage.get('chaos labels', '?')} chaos"


def deciding(sources: Sources, viewer: Viewer) -> Part:
    """Which version decides, since when, by whose word and on which labels."""
    serving, canary = at_stage(sources.db, MODEL, "serving"), at_stage(sources.db, MODEL, "canary")
    moves = {(one.version, one.stage): one for one in promotion_records(sources.db, MODEL)}
    rows: list[tuple[str, Part]] = []
    for name, model in (("Serving", serving), ("Canary", canary)):
        if model is None:
            if name == "Serving":
                rows.append((name, "the built-in settings: every finding worth a page pages"))
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
    back = html.Span([html.Code("watchkeeper model rollback"), " goes back"], className="muted")
    return card("What decides", facts(*rows), aside=back if serving or canary else None)


def numbers(move: Promotion) -> Mapping[str, str]:
    """The gate's numbers of a move, by label source: `paged 15/15 worth it, 1/6 not (before: 15/15, 6/6)`."""
    kept = move.record
    return {
        source: f"{kept[f'{source}_new']} (before: {kept[f'{source}_before']})"
        for source in ("human", "chaos")
        if f"{source}_new" in kept
    }


def held(sources: Sources, viewer: Viewer) -> Part:
    """What was held back, each with its reason and a way to disagree."""
    found = sources.held_back()
    if not found:
        return card(
            "Suppressed",
            empty(
                "Nothing was suppressed",
                "The serving version makes tickets of findings similar to labelled false pages.",
            ),
        )
    rows = []
    for one in found:
        why = f"Version {one.version}: {one.reason}"
        state = pill("firing", "failing", "◆") if one.cleared_at is None else pill("cleared", "ok", "●")
        where = dcc.Link(one.incident_id, href=incident_path(one.incident_id)) if one.incident_id else "–"
        rows.append(
            html.Tr(
                [
                    html.Th([one.finding.summary, html.Div(why, className="reason")]),
                    html.Td(moment(one.finding.seen_at, viewer)),
                    html.Td(where),
                    html.Td(state),
                    html.Td(pill("reopened", "accent", "↺") if one.reopened else reopen_button(one.finding)),
                ]
            )
        )
    heads = ["Finding, and why it woke nobody", "Last seen", "Incident", "Now", ""]
    shown = table(heads, rows, caption="Suppressed findings, newest first")
    return card("Suppressed", shown, aside=count(len(found), "finding"))


def records(sources: Sources, viewer: Viewer) -> Part:  # noqa: ARG001 - every part of a page is drawn alike
    """How often each detector was right on each service, with the interval of what that says."""
    known = all_records(sources.labelled())
    if not known:
        return card("Track record", empty("No detector was judged yet", "Each labelled incident judges its detectors."))
    rows = [
        html.Tr(
            [
                html.Th([one.detector, html.Span(f" v{one.version.removeprefix('v')}", className="muted")]),
                html.Td(dcc.Link(one.service, href=f"/services?service={one.service}") if one.service else "all"),
                html.Td(f"{one.right} of {one.judged}"),
                html.Td(f"{percent(one.low)} to {percent(one.high)}", className="muted"),
            ]
        )
        for one in known[:ROWS]
    ]
    heads = ["Detector", "Service", "Right", "95 % interval"]
    return card(
        "Track record",
        table(heads, rows, caption="How often each detector was right on each service, the most judged first"),
        aside="by both sources; where they differ, chaos counts",
    )


def fairness(sources: Sources, viewer: Viewer) -> Part:  # noqa: ARG001
    """Shares of false pages and of misses by service, team and shift."""
    known = sources.labelled()
    if not known:
        return None
    teams = sources.config.learning.teams
    parts: list[Part] = []
    for name, by in ways(teams).items():
        parts.append(_shares(f"False pages by {name}", pages(known), by))
    missed = troubles(known, sources.reopened())
    if any(case.bad for case in missed):
        parts += [_shares(f"Misses by {name}", missed, by) for name, by in ways(teams).items()]
    else:
        words = f"No miss: of {count(len(missed), 'trouble')}, none was suppressed until somebody reopened it."
        parts.append(html.P(words, className="shares"))
    differ = disagreements(known)
    judged_twice = len({e.incident_id for e in known if e.source == "human"} & _by_chaos(known))
    said = f"People and chaos differ in {len(differ)} of {judged_twice} incidents that both judged."
    return card("Who is woken for nothing, whose trouble is missed", *parts, html.P(said, className="muted rest"))


def _by_chaos(known: Any) -> set[str]:
    return {example.incident_id for example in known if example.source == "chaos"}


def _shares(title: str, cases: list[Case], by: By) -> Part:
    found = shares(cases, by)
    if not found:
        return None
    rows = [
        html.Tr(
            [
                html.Th(one.group, scope="row"),
                html.Td(f"{one.wrong} of {one.judged}"),
                html.Td(f"{percent(one.low)} to {percent(one.high)}", className="muted"),
            ]
        )
        for one in found[:GROUPS]
    ]
    more = f"and {len(found) - GROUPS} more" if len(found) > GROUPS else None
    return html.Div(
        [html.H3(title), table(["", "Bad", "95 % interval"], rows, caption=title), html.P(more, className="muted")]
        if more
        else [html.H3(title), table(["", "Bad", "95 % interval"], rows, caption=title)],
        className="shares",
    )
