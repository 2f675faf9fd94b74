"""What pages show of postmortems: their state, what people wrote, the timeline, and action items."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import dash_mantine_components as dmc
from dash import dcc, html

from alerting.postmortems.actions import Action
from alerting.postmortems.document import ENTRY_KINDS, HEADINGS
from alerting.postmortems.rendering import Line, Report, measured_lines
from alerting.postmortems.revisions import Revision, Stored
from dashboard.components.choices import choice_link, choices
from dashboard.components.elements import Part, card, empty, facts, folded, moment, pill
from dashboard.components.wording import count
from dashboard.urls import View, incident_path, postmortem_path
from dashboard.viewer import Viewer
from watchkeeper.config import OnCallConfig

TONES: Final = {"draft": "degraded", "in review": "accent", "published": "ok"}
_MARKS: Final = {"draft": "✎", "in review": "◎", "published": "✓"}
_REVIEWS: Final = {
    "draft": (("submit", "Submit for review"),),
    "in review": (("publish", "Publish"), ("return", "Send back")),
}


def state_pill(stored: Stored) -> Part:
    """Draft, in review, or published."""
    return pill(stored.state, TONES[stored.state], _MARKS[stored.state])


def edit_button(incident_id: str, revision: int, *, quiet: bool = False) -> Part:
    """Opens the editor."""
    return _button("Edit", {"postmortem": incident_id, "revision": revision, "form": "edit"}, quiet=quiet)


def page_actions(stored: Stored) -> Sequence[Part]:
    """The buttons of a postmortem's page."""
    reviews = [
        _button(words, {"review": command, "incident": stored.incident_id, "revision": stored.version}, quiet=True)
        for command, words in _reviews(stored)
    ]
    return [edit_button(stored.incident_id, stored.version), *reviews]


def _reviews(stored: Stored) -> tuple[tuple[str, str], ...]:
    """The commands of a state; what needs no review is published at once, and what needs two is approved first."""
    if stored.template.reviewers == 0 and stored.state == "draft":
        return (("publish", "Publish"), *_REVIEWS["draft"])
    if stored.state == "in review" and stored.template.reviewers > len(stored.reviewed_by) + 1:
        return (("publish", "Approve"), ("return", "Send back"))
    return _REVIEWS.get(stored.state, ())


def form_button(form: str, words: str, stored: Stored) -> Part:
    """Opens the dialog of an action item (`action`) or of a line of the timeline (`entry`)."""
    identity = {"postmortem": stored.incident_id, "revision": stored.version, "form": form}
    return _button(words, identity, small=True, quiet=True)


def _button(words: str, identity: dict[str, Any], *, small: bool = False, quiet: bool = False) -> Part:
    return dmc.Button(
        words, id=identity, n_clicks=0, size="compact-sm" if small else "sm", variant="default" if quiet else "filled"
    )


def written(report: Report) -> Part:
    """What people wrote, a heading and a text each; the prompt where there is none yet."""
    document, parts = report.stored.document, []
    template = report.stored.template
    for section in template.parts(document):
        text = getattr(document, section.field)
        needed = not text and section.field in template.required
        parts.append(
            html.H3(
                [section.heading, html.Small(" needed to publish", className="muted")] if needed else section.heading
            )
        )
        parts.append(html.P(text, className="typed") if text else html.P(section.prompt, className="muted"))
        if section.field == "impact" and document.measured:
            parts.append(
                html.Ul([html.Li(line) for line in measured_lines(document.measured)], className="events stacked")
            )
    return card("Document", *parts, kind="document")


def judgement(report: Report) -> Sequence[Part]:
    """The typed answers, and where people and the machine disagree."""
    differing = report.disagreements
    return [
        card("Judgement", facts(*report.judgement)),
        card(
            "Where human and machine disagree",
            html.Ul([html.Li(line) for line in differing], className="events stacked"),
        )
        if differing
        else None,
    ]


def timeline(report: Report, view: View, viewer: Viewer) -> Part:
    """Every line, or those of one kind; a star marks what is important."""
    chosen = view.state if view.state in ENTRY_KINDS else ""
    lines = [line for line in report.lines if chosen in ("", line.kind)]
    kinds = ("", *ENTRY_KINDS)
    filters = choices(*(choice_link(kind or "all", view.link(state=kind), on=kind == chosen) for kind in kinds))
    rows = [_line(line, report.stored, viewer) for line in lines]
    body = html.Ol(rows, className="events stacked") if rows else empty("No such line")
    return card("Timeline", filters, body, aside=form_button("entry", "Add a line", report.stored))


def _line(line: Line, stored: Stored, viewer: Viewer) -> Part:
    star = dmc.Button(
        "★" if line.important else "☆",
        id={"mark": line.id, "incident": stored.incident_id, "to": "" if line.important else "important"},
        n_clicks=0,
        size="compact-sm",
        variant="subtle",
        **{"aria-label": "No longer important" if line.important else "Mark as important"},
    )
    who = f"{line.who} by hand" if line.by_hand else line.who
    head = [moment(line.at, viewer), pill(line.kind, "unknown"), html.Span(who, className="muted"), star]
    text = html.Strong(line.text) if line.important else html.Span(line.text)
    return html.Li([html.Div(head, className="line"), text])


def actions_card(actions: Sequence[Action], oncall: OnCallConfig, viewer: Viewer, add: Part = None) -> Part:
    """Action items with their owner and date; buttons mark them as done."""
    people = {person.id: person.name for person in oncall.people}
    items = [
        html.Li(
            [
                html.Div(
                    [
                        html.Span(people.get(one.owner, one.owner) or "nobody"),
                        _due(one, oncall, viewer.now),
                        dcc.Link(one.incident_id, href=postmortem_path(one.incident_id), className="mono"),
                        _done_button(one),
                    ],
                    className="line",
                ),
                html.Strong(one.text, className="done" if one.done_at else ""),
            ]
        )
        for one in actions
    ]
    body = html.Ul(items, className="events stacked") if items else empty("No action item is open")
    return card("Action items", body, aside=add)


def _due(action: Action, oncall: OnCallConfig, now: datetime) -> Part:
    if action.done_at:
        return pill(f"done by {action.done_by}", "ok", "✓")
    if action.due is None:
        return html.Span("no date", className="muted")
    return pill(f"{action.due}, overdue", "failing", "!") if action.overdue(now, oncall) else str(action.due)


def _done_button(action: Action) -> Part:
    to = "reopen" if action.done_at else "done"
    return _button("Reopen" if action.done_at else "Done", {"action": action.id, "to": to}, small=True, quiet=True)


def history_card(history: Sequence[Revision], viewer: Viewer) -> Part:
    """Each revision: who, when, what."""
    items = [
        html.Li(
            [
                moment(one.at, viewer),
                html.Span(
                    [
                        f"{one.version}: {', '.join(dict.fromkeys(HEADINGS.get(name, name) for name in one.changed))}",
                        html.Span(f" {one.actor.name} via {one.actor.via}", className="muted"),
                    ]
                ),
            ]
        )
        for one in reversed(history)
    ]
    return card("History", folded(count(len(history), "revision"), html.Ul(items, className="events")))


def incident_card(stored: Stored, text: str, actions: Sequence[Action]) -> Part:
    """On the incident's page: the state, the way to the document, and the recorded facts."""
    open_actions = sum(one.done_at is None for one in actions)
    return card(
        "Postmortem",
        html.Div([state_pill(stored), dcc.Link("Read it", href=postmortem_path(stored.incident_id))], className="line"),
        html.P(count(open_actions, "open action item"), className="muted") if actions else None,
        html.Div(edit_button(stored.incident_id, stored.version, quiet=True), className="actions"),
        folded("Recorded facts", dcc.Markdown(text, className="postmortem", link_target="_blank")) if text else None,
    )


def incident_link(stored: Stored) -> Part:
    """The way back to the incident."""
    return dcc.Link(stored.incident_id, href=incident_path(stored.incident_id), className="mono")
