"""The timeline of an incident, newest first, all of it or what is of one kind."""

from __future__ import annotations

from typing import Final

from dash import html

from alerting.incidents.machine import Incident, TimelineEntry
from dashboard.components.choices import choice_in_place, choices
from dashboard.components.elements import Part, card, empty, folded, moment
from dashboard.components.wording import count
from dashboard.urls import View
from dashboard.viewer import Viewer

NEWEST: Final = 12  # entries that stand there at once
# The tone and the mark of each event.
KINDS: Final = {
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
    "noted": ("accent", "✎"),
}
# What a reader may choose: the word in the address, the words of the link, and the events.
FILTERS: Final = {
    "system": ("System", ("opened", "joined", "raised", "cleared", "recovered", "refired")),
    "pages": (
        "Pages",
        ("paged", "escalated", "delivered", "undelivered", "ack_timed_out", "expired", "snooze_ended", "silence_ended"),
    ),
    "people": (
        "People",
        ("acknowledged", "assigned", "snoozed", "silenced", "merged", "absorbed", "split", "released", "resolved",
         "labelled", "noted", "approved", "declined", "run_answered"),
    ),
    "diagnosis": ("Diagnosis", ("diagnosed", "proposed", "withdrawn")),
    "runbook": (
        "Runbook",
        ("proposed", "withdrawn", "approved", "declined", "run_started", "run_finished", "run_cancelled", "run_noted",
         "run_asked", "run_answered", "run_unanswered"),
    ),
}  # fmt: skip


def timeline_card(incident: Incident, view: View, viewer: Viewer) -> Part:
    """Every entry, or those of the kind in the address (`kind=people`); what concerns details comes last."""
    chosen = view.choice("kind") if view.choice("kind") in FILTERS else ""
    kinds = FILTERS[chosen][1] if chosen else ()
    complete = [entry for entry in reversed(incident.complete_timeline) if not chosen or entry.kind in kinds]
    details = tuple(finding.summary for finding in incident.findings if finding.severity == "detail")
    minor = [entry for entry in complete if _is_minor(entry, details)]
    major = [entry for entry in complete if not _is_minor(entry, details)]
    newest, older = major[:NEWEST], [*major[NEWEST:], *minor]
    body = html.Ol([_entry(entry, viewer) for entry in newest], className="timeline")
    earlier = folded(
        count(len(older), "earlier entry", "earlier entries"),
        html.Ol([_entry(entry, viewer) for entry in older], className="timeline"),
    )
    return card(
        "Timeline",
        _choices(view, chosen),
        body if complete else empty("No entry of this kind", "Choose another kind above."),
        earlier if older else None,
        aside="newest first",
    )


def _choices(view: View, chosen: str) -> Part:
    links = [("", "All"), *((name, words) for name, (words, _) in FILTERS.items())]
    return choices(*(choice_in_place(words, view.link(kind=name), on=name == chosen) for name, words in links))


def _is_minor(entry: TimelineEntry, details: tuple[str, ...]) -> bool:
    """Whether it is about a detail that came or went."""
    return entry.kind in ("joined", "cleared") and entry.text.removeprefix("cleared: ").startswith(details)


def _entry(entry: TimelineEntry, viewer: Viewer) -> Part:
    tone, mark = KINDS.get(entry.kind, ("unknown", "·"))
    who = "" if entry.via == "system" else f"{entry.who} via {entry.via}"
    return html.Li(
        [
            html.Span(mark, className=f"bullet {tone}", **{"aria-hidden": "true"}),
            moment(entry.at, viewer),
            html.Span([entry.text or entry.kind, html.Span(who, className="muted who-line") if who else None]),
        ]
    )
