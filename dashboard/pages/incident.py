"""One incident: its diagnosis, why it paged, its owner, the proposed runbook, and its timeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from dash import dcc, html

from alerting.incidents.machine import Incident
from dashboard.commands import command_button
from dashboard.components.attempts import attempt
from dashboard.components.elements import Part, card, empty, facts, moment, pill, table
from dashboard.components.incident_plots import evidence_plots, requests_plot
from dashboard.components.incident_words import is_open, is_unanswered, lasted, owner, state_pills, why_notified
from dashboard.components.service_panel import examples
from dashboard.components.wording import amount, duration, likely, listed, percent, utc_text
from dashboard.reads.signals import accused, since
from dashboard.reads.sources import Sources
from dashboard.reads.suppressed import is_reopened, suppression_note
from dashboard.urls import View
from dashboard.viewer import Viewer
from watchkeeper.errors import NotFound
from watchkeeper.vocabulary import ChangeEvent, Suspect, Window

NEAR = timedelta(minutes=30)
SUSPECTS = 4
KINDS = {
    "opened": ("failing", "◆"),
    "paged": ("accent", "!"),
    "escalated": ("failing", "!"),
    "acknowledged": ("accent", "✓"),
    "resolved": ("ok", "✓"),
    "recovered": ("ok", "●"),
    "refired": ("failing", "◆"),
    "expired": ("failing", "✕"),
    "undelivered": ("failing", "✕"),
    "approved": ("accent", "✓"),
    "labelled": ("ok", "✎"),
}


def renderer(incident_id: str) -> Callable[[Sources, View, Viewer], Part]:
    """The page of one incident."""

    def render(sources: Sources, view: View, viewer: Viewer) -> Part:
        try:
            incident = sources.incident(incident_id)
        except NotFound:
            return [
                html.H1("No such incident"),
                empty(
                    f"There is no incident {incident_id}",
                    html.Span(
                        [
                            "It may belong to another installation. See ",
                            dcc.Link("all incidents", href="/incidents"),
                            ".",
                        ]
                    ),
                ),
            ]
        return _page(sources, incident, view, viewer)

    return render


def _page(sources: Sources, incident: Incident, view: View, viewer: Viewer) -> Part:
    changes = [
        c
        for c in sources.changes(Window(start=incident.onset - NEAR, end=incident.onset + timedelta(minutes=5)))
        if c.at <= (incident.resolved_at or viewer.now)
    ]
    return [
        _head(incident, viewer),
        html.Div(
            [
                html.Div(
                    [
                        _diagnosis(incident, view, viewer),
                        attempt("The evidence’s plots", lambda: evidence_plots(sources, incident, changes, viewer)),
                        _findings(sources, incident, viewer),
                        attempt(
                            "The requests around the onset", lambda: requests_plot(sources, incident, changes, viewer)
                        ),
                        attempt(
                            "The requests",
                            lambda: examples(sources, accused(incident), since(incident, viewer), viewer),
                        ),
                    ],
                    className="wide",
                ),
                html.Div(
                    [
                        *_facts(incident, viewer, sources.people),
                        _proposal(incident),
                        _timeline(incident, viewer),
                        _changes(incident, changes, viewer),
                        attempt("The postmortem", lambda: _afterwards(sources, incident)),
                    ],
                    className="narrow",
                ),
            ],
            className="columns",
        ),
    ]


def _head(incident: Incident, viewer: Viewer) -> Part:
    actions: list[Part] = []
    if is_unanswered(incident):
        actions.append(command_button("acknowledge", incident))
    if is_open(incident):
        actions.append(command_button("resolve", incident, quiet=is_unanswered(incident)))
    return html.Div(
        [
            html.Div(
                [
                    html.H1(incident.title),
                    html.Div(
                        [
                            *state_pills(incident),
                            html.Span(incident.id, className="muted mono"),
                            html.Span(
                                ["since ", moment(incident.onset, viewer), f", {lasted(incident, viewer)}"],
                                className="muted",
                            ),
                        ],
                        className="line",
                    ),
                ]
            ),
            html.Div(actions, className="actions"),
        ],
        className="page-head incident-head",
    )


def _diagnosis(incident: Incident, view: View, viewer: Viewer) -> Part:
    diagnosis = incident.diagnosis
    if diagnosis is None:
        return card(
            "Likely cause",
            empty(
                "Not diagnosed yet",
                "The first diagnosis appears a few seconds after the incident opens, and is updated while it is open.",
            ),
        )
    made = html.Span(["made ", moment(diagnosis.made_at, viewer)])
    if not diagnosis.suspects:
        return card("Likely cause", empty("No cause named", diagnosis.reason), aside=made)
    verdict = html.P(
        [html.Strong("No cause named. Leads: "), diagnosis.reason] if diagnosis.abstained else diagnosis.reason,
        className="verdict abstained" if diagnosis.abstained else "verdict",
    )
    shown = [s for rank, s in enumerate(diagnosis.suspects) if rank < SUSPECTS and (rank == 0 or s.evidence)]
    rest = [s.service for s in diagnosis.suspects if s not in shown]
    return card(
        "Likely cause",
        verdict,
        html.Ol([_suspect(s, rank, view) for rank, s in enumerate(shown)], className="suspects"),
        html.P(f"Also considered, without significant evidence: {listed(rest[:8])}.", className="muted rest")
        if rest
        else None,
        aside=made,
    )


def _suspect(suspect: Suspect, rank: int, view: View) -> Part:
    where = [suspect.operation, suspect.instance, suspect.metric]
    reasons = sorted(suspect.evidence, key=lambda e: -abs(e.weight))
    return html.Li(
        [
            html.Div(
                [
                    html.Strong(dcc.Link(suspect.service, href=view.link("/services", service=suspect.service))),
                    pill(suspect.mechanism, "failing" if rank == 0 else "unknown")
                    if suspect.mechanism != "unknown"
                    else None,
                    html.Span(" · ".join(filter(None, where)), className="muted mono"),
                    html.Span(
                        [
                            html.Span(className="bar", style={"width": f"{suspect.probability:.1%}"}),
                            html.Span(likely(suspect.probability), className="number"),
                        ],
                        className="probability",
                        title=f"{suspect.service} is the cause with a probability of {likely(suspect.probability)}",
                    ),
                ],
                className="line suspect-head",
            ),
            html.Ul(
                [
                    html.Li(
                        [
                            html.Span(
                                "+" if e.weight >= 0 else "−",
                                className="sign good" if e.weight >= 0 else "sign",
                                **{"aria-label": "for" if e.weight >= 0 else "against"},
                            ),
                            html.Span(e.sentence),
                            html.Span(
                                e.kind.replace("_", " "), className="muted kind", title=f"weight {e.weight:+.2f}"
                            ),
                        ]
                    )
                    for e in reasons[: 6 if rank == 0 else 2]
                ],
                className="evidence",
            ),
        ],
        className="suspect first" if rank == 0 else "suspect",
    )


def _findings(sources: Sources, incident: Incident, viewer: Viewer) -> Part:
    if not incident.findings:
        return None
    firing = incident.firing_keys
    rows = []
    for finding in sorted(incident.findings, key=lambda f: f.onset):
        reopened = is_reopened(sources, finding)
        rows.append(
            html.Tr(
                [
                    html.Th(
                        [
                            finding.summary,
                            suppression_note(finding, reopened=reopened),
                            html.Div(sources.record(finding), className="reason"),
                        ],
                        scope="row",
                    ),
                    html.Td(finding.service),
                    html.Td(
                        [
                            finding.detector,
                            html.Span(f" v{finding.detector_version.removeprefix('v')}", className="muted"),
                        ]
                    ),
                    html.Td(
                        [
                            html.Strong(amount(finding.value, finding.unit)),
                            html.Span(f" expected {amount(finding.expected, finding.unit)}", className="muted")
                            if finding.expected is not None
                            else None,
                        ]
                        if finding.value is not None
                        else html.Span(["score ", percent(finding.score)], className="number")
                    ),
                    html.Td(moment(finding.onset, viewer)),
                    html.Td(pill("firing", "failing", "◆") if finding.key in firing else pill("cleared", "ok", "●")),
                ]
            )
        )
    heads = ["Finding", "Service", "Detector", "Seen", "Onset", "Now"]
    return card(
        "Findings",
        table(heads, rows, caption="Findings, in order of onset"),
        aside=f"{len(firing)} of {len(incident.findings)} firing",
    )


def _facts(incident: Incident, viewer: Viewer, people: Mapping[str, str]) -> list[Part]:
    rows: list[tuple[str, Part]] = [("Who", owner(incident, viewer, people))]
    if incident.paged_at:
        delivered = "" if incident.delivered else " (delivery not confirmed)"
        rows.append(
            ("First page", html.Span([f"{duration(incident.paged_at - incident.onset)} after the onset", delivered]))
        )
    if incident.recovered_at:
        rows.append(
            (
                "Recovered",
                html.Span(
                    [
                        moment(incident.recovered_at, viewer),
                        f", {duration(incident.recovered_at - incident.onset)} after the onset",
                    ]
                ),
            )
        )
    return [card("State", facts(*rows)), card("Why was I notified?", html.P(why_notified(incident)))]


def _proposal(incident: Incident) -> Part:
    proposal = incident.proposal
    if proposal is None:
        return None
    tone = {
        "done": "ok",
        "failed": "failing",
        "declined": "unknown",
        "proposed": "degraded",
        "cancelled": "unknown",
    }.get(incident.proposal_state, "accent")
    waits = incident.proposal_state == "proposed" and is_open(incident)
    blocked = proposal.blocked if waits else ""
    return card(
        "Runbook to run by hand" if blocked else "Proposed runbook",
        html.P(html.Strong(proposal.title)),
        html.Ol([html.Li(step) for step in proposal.steps], className="steps"),
        facts(("Acts on", proposal.service), ("Blast radius", proposal.blast_radius), ("Undo", proposal.undo)),
        html.Div(
            [command_button("approve", incident), command_button("decline", incident, quiet=True)], className="actions"
        )
        if waits and not blocked
        else html.P(["Watchkeeper cannot run it: ", blocked], className="muted")
        if blocked
        else None,
        aside=pill("advice" if blocked else incident.proposal_state, tone),
        kind="proposal",
    )


def _timeline(incident: Incident, viewer: Viewer) -> Part:
    entries = []
    for entry in reversed(incident.timeline):
        tone, mark = KINDS.get(entry.kind, ("unknown", "·"))
        who = "" if entry.via == "system" else f"{entry.who} via {entry.via}"
        entries.append(
            html.Li(
                [
                    html.Span(mark, className=f"bullet {tone}", **{"aria-hidden": "true"}),
                    moment(entry.at, viewer),
                    html.Span([entry.text or entry.kind, html.Span(who, className="muted who-line") if who else None]),
                ]
            )
        )
    return card("Timeline", html.Ol(entries, className="timeline"), aside="newest first")


def _changes(incident: Incident, changes: Sequence[ChangeEvent], viewer: Viewer) -> Part:
    if not changes:
        return card(
            "Changes near the onset",
            html.P("No deploy, flag or configuration change in the 30 minutes before.", className="muted"),
        )
    accused = incident.diagnosis.suspects[0].change_id if incident.diagnosis and incident.diagnosis.suspects else None
    items = [
        html.Li(
            [
                moment(c.at, viewer),
                html.Span(
                    [
                        html.Strong(c.service),
                        f" {c.kind}: {c.title}",
                        html.Span(f" {c.version} {c.author}".rstrip(), className="muted"),
                        " ",
                        pill("part of the evidence", "failing", "◎") if c.id == accused else None,
                    ]
                ),
            ]
        )
        for c in changes
    ]
    return card("Changes near the onset", html.Ul(items, className="events"))


def _afterwards(sources: Sources, incident: Incident) -> Part:
    judgements = [
        html.Li(
            [
                html.Span(label.source, className="muted"),
                html.Span(
                    [
                        {True: "the page was warranted", False: "a false page", None: "page not judged"}[
                            label.warranted
                        ],
                        f"; cause {label.cause}" if label.cause else "",
                        f" ({label.mechanism})" if label.mechanism else "",
                        f". {label.note}" if label.note else "",
                        html.Span(f" {label.author}, {utc_text(label.at)}", className="muted"),
                    ]
                ),
            ]
        )
        for label in incident.labels
    ]
    text = sources.postmortem(incident.id)
    if not judgements and not text:
        if is_open(incident):
            return None
        return card(
            "Postmortem",
            html.P(
                ["None yet. To draft one, run ", html.Code(f"watchkeeper postmortem new {incident.id}"), "."],
                className="muted",
            ),
        )
    return [
        card("Labels", html.Ul(judgements, className="events stacked")) if judgements else None,
        card(
            "Postmortem",
            html.Details(
                [html.Summary("Read the draft"), dcc.Markdown(text, className="postmortem", link_target="_blank")]
            ),
        )
        if text
        else None,
    ]
