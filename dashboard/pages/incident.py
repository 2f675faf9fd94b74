"""One incident: its diagnosis, why it paged, its owner, the proposed runbook, and its timeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from dash import dcc, html

from alerting.incidents.machine import Incident
from dashboard.commands import command_button
from dashboard.components.attempts import attempt
from dashboard.components.diagnosis import diagnosis_card
from dashboard.components.elements import Part, card, empty, facts, folded, moment, pill, table
from dashboard.components.incident_plots import evidence_plots, requests_plot
from dashboard.components.incident_words import is_unanswered, lasted, may_be_taken, owner, state_pills, why_notified
from dashboard.components.judgements import labels_card, postmortem_card
from dashboard.components.notable_requests import notable_requests
from dashboard.components.playbooks import playbooks_card
from dashboard.components.proposal import proposal_facts
from dashboard.components.questions import question_cards
from dashboard.components.status_updates import updates_card
from dashboard.components.suppression import is_reopened, suppression_note
from dashboard.components.wording import amount, count, percent
from dashboard.page import Page, PageRequest
from dashboard.reads.signals import accused, since
from dashboard.reads.sources import Sources
from dashboard.viewer import Viewer
from watchkeeper import metric_names
from watchkeeper.durations import duration
from watchkeeper.errors import NotFound
from watchkeeper.vocabulary import ChangeEvent, Finding, Window

NEAR = timedelta(minutes=30)
NEWEST = 8  # entries of the timeline that stand there at once
KINDS = {
    "opened": ("failing", "◆"),
    "raised": ("failing", "!"),
    "paged": ("accent", "!"),
    "escalated": ("failing", "!"),
    "acknowledged": ("accent", "✓"),
    "resolved": ("ok", "✓"),
    "recovered": ("ok", "●"),
    "refired": ("failing", "◆"),
    "expired": ("failing", "✕"),
    "snoozed": ("unknown", "z"),
    "snooze_ended": ("failing", "!"),
    "silenced": ("unknown", "∅"),
    "silence_ended": ("failing", "!"),
    "assigned": ("accent", "!"),
    "merged": ("unknown", "⇒"),
    "absorbed": ("unknown", "⇐"),
    "split": ("unknown", "⇔"),
    "released": ("unknown", "⇔"),
    "undelivered": ("failing", "✕"),
    "approved": ("accent", "✓"),
    "run_asked": ("degraded", "?"),
    "run_answered": ("accent", "✓"),
    "run_unanswered": ("failing", "✕"),
    "labelled": ("ok", "✎"),
}


def render(request: PageRequest) -> Part:
    """One incident: its diagnosis, why it paged, its owner, the proposed runbook, and its timeline."""
    try:
        incident = request.sources.records.incident(request.argument)
    except NotFound:
        other = html.Span(
            ["It may belong to another installation. See ", dcc.Link("all incidents", href="/incidents"), "."]
        )
        return [html.H1("No such incident"), empty(f"There is no incident {request.argument}", other)]
    changes = _changes_near(request, incident)
    return [
        _head(incident, request.viewer, request.sources.records.tested(incident, request.viewer.now)),
        html.Div(
            [
                html.Div(_wide(request, incident, changes), className="wide"),
                html.Div(_narrow(request, incident, changes), className="narrow"),
            ],
            className="columns",
        ),
    ]


def _changes_near(request: PageRequest, incident: Incident) -> Sequence[ChangeEvent]:
    """What changed from half an hour before the onset until five minutes after it."""
    window = Window(start=incident.onset - NEAR, end=incident.onset + timedelta(minutes=5))
    end = incident.resolved_at or request.viewer.now
    return [change for change in request.sources.records.changes(window) if change.at <= end]


def _wide(request: PageRequest, incident: Incident, changes: Sequence[ChangeEvent]) -> list[Part]:
    sources, viewer = request.sources, request.viewer
    return [
        diagnosis_card(incident, request.view, viewer),
        attempt("The evidence’s plots", lambda: evidence_plots(sources, incident, changes, viewer)),
        _findings(sources, incident, viewer),
        attempt("The requests around the onset", lambda: requests_plot(sources, incident, changes, viewer)),
        attempt(
            "The notable requests",
            lambda: notable_requests(sources, accused(incident), since(incident, viewer), viewer),
        ),
    ]


def _narrow(request: PageRequest, incident: Incident, changes: Sequence[ChangeEvent]) -> list[Part]:
    return [
        *question_cards(incident, request.viewer),
        *_facts(incident, request.viewer, request.sources.people),
        _proposal(incident),
        attempt("The playbooks", lambda: playbooks_card(request.sources.config.runbooks.dir, incident)),
        _timeline(incident, request.viewer),
        _changes(incident, changes, request.viewer),
        labels_card(incident),
        attempt(
            "The status updates",
            lambda: updates_card(
                incident,
                request.sources.status.list(incident.id),
                request.sources.config.status_page,
                request.viewer,
            ),
        ),
        attempt("The postmortem", lambda: postmortem_card(incident, request.sources)),
    ]


def _head(incident: Incident, viewer: Viewer, tested: str = "") -> Part:
    actions: list[Part] = []
    if may_be_taken(incident):
        actions.append(command_button("acknowledge", incident))
    if incident.is_open:
        actions.append(command_button("resolve", incident, quiet=is_unanswered(incident)))
        actions.append(command_button("assign", incident, quiet=True))
    if incident.human_state == "merged":
        actions.append(command_button("split", incident))
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
                    html.Div(tested, className="reason") if tested else None,
                ]
            ),
            html.Div(actions, className="actions"),
        ],
        className="page-head incident-head",
    )


def _findings(sources: Sources, incident: Incident, viewer: Viewer) -> Part:
    if not incident.findings:
        return None
    shown = incident.first_findings
    rest = sorted((one for one in incident.findings if one not in shown), key=lambda finding: finding.onset)

    # A detector's track record stands once, beside its first finding.
    first = {one.detector: one.key for one in reversed((*shown, *rest))}
    firing = incident.firing_keys

    def rows(findings: Sequence[Finding]) -> list[Part]:
        return [
            _finding(sources, one, viewer, firing=one.key in firing, judged=first[one.detector] == one.key)
            for one in findings
        ]

    heads = ["Finding", "Seen", "Onset", "Now"]
    details = sum(one.severity == "detail" for one in rest)
    more = f"and {len(rest)} more" + (f", {count(details, 'detail')} of internal metrics among them" if details else "")
    return card(
        "Findings",
        table(heads, rows(shown), caption="Findings, the most severe first"),
        folded(more, table(heads, rows(rest), caption="Further findings, in order of onset")) if rest else None,
        aside=f"{len(firing)} of {len(incident.findings)} firing",
    )


def _finding(sources: Sources, finding: Finding, viewer: Viewer, *, firing: bool, judged: bool) -> Part:
    note = suppression_note(finding, reopened=is_reopened(sources, finding))
    record = sources.records.track_record(finding) if judged else ""
    reason = html.Div(record, className="reason") if record else None
    version = f"{finding.detector} v{finding.detector_version.removeprefix('v')} on {finding.service}"
    return html.Tr(
        [
            html.Th([finding.summary, note, reason], scope="row", title=version),
            html.Td(_measured(finding)),
            html.Td(moment(finding.onset, viewer)),
            html.Td(pill("firing", "failing", "◆") if firing else pill("cleared", "ok", "●")),
        ]
    )


def _measured(finding: Finding) -> Part:
    if finding.value is None:
        return html.Span(["score ", percent(finding.score)], className="number")
    expected = None
    if finding.expected is not None:
        expected = html.Span(f" expected {_amount(finding, finding.expected)}", className="muted")
    return [html.Strong(_amount(finding, finding.value)), expected]


def _amount(finding: Finding, value: float) -> str:
    """A value in the finding's unit; of a metric, in what its name says."""
    is_metric = finding.kind == "metric" and not finding.unit
    return metric_names.amount(finding.signal, value) if is_metric else amount(value, finding.unit)


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
    waits = incident.proposal_state == "proposed" and incident.is_open
    blocked = proposal.blocked if waits else ""
    return card(
        "Runbook to run by hand" if blocked else "Proposed runbook",
        html.P(html.Strong(proposal.title)),
        html.Ol([html.Li(step) for step in proposal.steps], className="steps"),
        facts(*proposal_facts(incident)),
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
    details = tuple(finding.summary for finding in incident.findings if finding.severity == "detail")
    entries: list[Part] = []
    minor: list[Part] = []
    for entry in reversed(incident.complete_timeline):
        is_minor = entry.kind in ("joined", "cleared") and entry.text.removeprefix("cleared: ").startswith(details)
        tone, mark = KINDS.get(entry.kind, ("unknown", "·"))
        who = "" if entry.via == "system" else f"{entry.who} via {entry.via}"
        (minor if is_minor else entries).append(
            html.Li(
                [
                    html.Span(mark, className=f"bullet {tone}", **{"aria-hidden": "true"}),
                    moment(entry.at, viewer),
                    html.Span([entry.text or entry.kind, html.Span(who, className="muted who-line") if who else None]),
                ]
            )
        )
    newest, older = entries[:NEWEST], [*entries[NEWEST:], *minor]
    earlier = folded(count(len(older), "earlier entry", "earlier entries"), html.Ol(older, className="timeline"))
    return card("Timeline", html.Ol(newest, className="timeline"), earlier if older else None, aside="newest first")


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


PAGE = Page(path="/incidents/{argument}", title="{argument}", render=render, under="/incidents")
