"""A postmortem as Markdown and as one HTML file. Whatever a title or a log line holds is text there, and no markup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Final

from alerting.incidents.machine import Incident
from alerting.postmortems.actions import Action
from alerting.postmortems.disagreements import disagreements
from alerting.postmortems.document import HEADINGS, LONGEST, EntryKind, Measured
from alerting.postmortems.markdown import markdown_text
from alerting.postmortems.revisions import Stored
from watchkeeper.durations import duration
from watchkeeper.text import page_text, seen_name
from watchkeeper.vocabulary import Label

# What a line of the incident's own timeline is about; anything else is a note.
_KINDS: Final[dict[str, EntryKind]] = {
    **dict.fromkeys(("opened", "raised", "joined", "cleared", "recovered", "refired", "diagnosed"), "detection"),
    **dict.fromkeys(("paged", "escalated", "ack_timed_out", "expired", "acknowledged", "resolved"), "response"),
    **dict.fromkeys(("snoozed", "snooze_ended", "silenced", "silence_ended", "assigned"), "response"),
    **dict.fromkeys(("merged", "absorbed", "split", "released"), "response"),
    **dict.fromkeys(("delivered", "undelivered"), "communication"),
    **dict.fromkeys(("proposed", "approved", "declined", "run_started", "run_finished", "run_cancelled"), "repair"),
    **dict.fromkeys(("run_noted", "run_asked", "run_answered", "run_unanswered"), "repair"),
}
# Lines that a reader needs, whether or not somebody marked them.
_TELLING: Final = frozenset(
    {"opened", "raised", "paged", "escalated", "acknowledged", "expired", "run_finished", "recovered", "refired",
     "resolved", "noted", "run_answered", "assigned", "absorbed"}
)  # fmt: skip
_ANSWERS: Final = {"": "not answered", "yes": "yes", "no": "no", "unsure": "not sure"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of the timeline: the incident's own, or one by hand. `shown` is whether a publication has it."""

    id: str
    at: datetime
    kind: EntryKind
    who: str
    text: str
    important: bool
    by_hand: bool
    shown: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that a postmortem shows. `facts` is the machine's draft, in Markdown; `truth` are labels of experiments."""

    stored: Stored
    incident: Incident
    truth: tuple[Label, ...]
    actions: tuple[Action, ...]
    facts: str

    @property
    def lines(self) -> tuple[Line, ...]:
        """The timeline: the incident's own lines and those added by hand, in order."""
        document = self.stored.document
        own = [
            Line(
                id=f"e{number}",
                at=entry.at,
                kind=_KINDS.get(entry.kind, "note"),
                who=entry.who,
                text=entry.text or entry.kind,
                important=f"e{number}" in document.important,
                by_hand=False,
                shown=entry.kind in _TELLING or f"e{number}" in document.important,
            )
            for number, entry in enumerate(self.incident.timeline, 1)
        ]
        added = [
            Line(
                id=entry.id,
                at=entry.at,
                kind=entry.kind,
                who=entry.author,
                text=entry.text,
                important=entry.id in document.important,
                by_hand=True,
                shown=True,
            )
            for entry in document.added
        ]
        return tuple(sorted([*own, *added], key=lambda line: line.at))

    @property
    def disagreements(self) -> tuple[str, ...]:
        """Where people, the machine and experiments disagree, a sentence each."""
        return disagreements(self.incident, self.truth)

    @property
    def judgement(self) -> Sequence[tuple[str, str]]:
        """The typed answers, as (heading, text)."""
        document = self.stored.document
        first = f"{document.first_bad_at:%Y-%m-%d %H:%M:%S} UTC" if document.first_bad_at else "not known"
        return (
            (HEADINGS["cause"], document.cause or "not named"),
            (HEADINGS["mechanism"], document.mechanism or "not named"),
            (HEADINGS["warranted"], _ANSWERS[document.warranted]),
            (HEADINGS["first_bad_at"], first),
        )

    @property
    def state(self) -> str:
        """Which revision this is, in words."""
        stored = self.stored
        reviewed = f" by {' and '.join(map(seen_name, stored.reviewed_by))}" if stored.reviewed_by else ""
        reviewed = f", reviewed{reviewed}" if reviewed else ""
        revision = f"revision {stored.version}, {stored.updated_at:%Y-%m-%d %H:%M} UTC"
        return f"{stored.state.capitalize()}{reviewed}, {revision}"


def measured_lines(measured: Measured | None) -> list[str]:
    """The measured impact, a sentence each."""
    if measured is None:
        return []
    share = f" ({measured.failed / measured.requests:.1%})" if measured.requests else ""
    span = duration(measured.end - measured.start)
    lines = [f"{measured.failed} of {measured.requests} requests failed{share} within {span}."]
    lines += [f"{name}: {failed} of {requests} requests failed." for name, requests, failed in measured.services]
    lines += [f"{name}: {spent:.1%} of the error budget was spent." for name, spent in measured.budgets]
    return lines


def to_markdown(report: Report) -> str:
    """The document as Markdown; the machine's facts are an appendix."""
    stored, document = report.stored, report.stored.document
    parts = [f"# Postmortem of {stored.incident_id}: {_md(stored.title)}", f"{report.state}."]
    for section in stored.template.parts(document):
        text = getattr(document, section.field)
        body = _paragraphs(text) if text else f"*{section.prompt}*"
        if section.field == "impact" and document.measured:
            body += "\n\n" + "\n".join(f"- {_md(line)}" for line in measured_lines(document.measured))
        parts.append(f"## {section.heading}\n\n{body}")
    rows = "\n".join(f"| {heading} | {_md(text)} |" for heading, text in report.judgement)
    parts.append(f"## Judgement\n\n| field | answer |\n|---|---|\n{rows}")
    if differing := report.disagreements:
        parts.append("## Where human and machine disagree\n\n" + "\n".join(f"- {_md(line)}" for line in differing))
    parts += ["## Timeline\n\n" + _timeline(report), "## Action items\n\n" + _actions(report.actions)]
    facts = "\n".join(f"##{line}" if line.startswith("#") else line for line in report.facts.splitlines()[1:])
    parts.append(f"## Recorded by Watchkeeper\n\n{facts.strip()}")
    return "\n\n".join(parts) + "\n"


def _timeline(report: Report) -> str:
    rows = ["| UTC | kind | who | what |", "|---|---|---|---|"]
    for line in report.lines:
        if line.shown:
            text = f"**{_md(line.text)}**" if line.important else _md(line.text)
            rows.append(f"| {line.at:%Y-%m-%d %H:%M:%S} | {line.kind} | {_md(seen_name(line.who))} | {text} |")
    return "\n".join(rows)


def _actions(actions: Sequence[Action]) -> str:
    if not actions:
        return "None."
    return "\n".join(f"- [{'x' if one.done_at else ' '}] {_md(action_text(one))}" for one in actions)


def action_text(action: Action) -> str:
    """One action item in a line."""
    due = f", due {action.due}" if action.due else ""
    done = f", done {action.done_at:%Y-%m-%d} by {action.done_by}" if action.done_at else ""
    return f"{action.text} ({action.owner or 'nobody'}{due}{done})"


def _md(text: str) -> str:
    return markdown_text(text, LONGEST)


def _paragraphs(text: str) -> str:
    """What somebody typed: lines and paragraphs stay, and nothing of it is markup."""
    return "\n".join(f"{_md(line)}  " if line.strip() else "" for line in text.splitlines()).strip()


_STYLE: Final = (
    ":root{color-scheme:light dark}body{font:16px/1.55 system-ui,sans-serif;max-width:60rem;margin:2rem auto;"
    "padding:0 1rem;overflow-wrap:anywhere}h1{line-height:1.25}table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #8886}"
    "pre{white-space:pre-wrap}.text{white-space:pre-line}.quiet{opacity:.75}"
)


def to_html(report: Report) -> str:
    """The document as one HTML file without scripts and without anything from elsewhere."""
    stored, document = report.stored, report.stored.document
    title = f"Postmortem of {stored.incident_id}: {stored.title}"
    parts = [f"<h1>{_h(title)}</h1>", f'<p class="quiet">{_h(report.state)}</p>']
    for section in stored.template.parts(document):
        text = getattr(document, section.field)
        quiet = "" if text else " quiet"
        parts.append(f'<h2>{_h(section.heading)}</h2><p class="text{quiet}">{_h(text or section.prompt)}</p>')
        if section.field == "impact" and document.measured:
            parts.append(_items(measured_lines(document.measured)))
    parts.append("<h2>Judgement</h2>" + _rows(report.judgement))
    if differing := report.disagreements:
        parts.append("<h2>Where human and machine disagree</h2>" + _items(differing))
    lines = [
        (f"{line.at:%Y-%m-%d %H:%M:%S}", line.kind, seen_name(line.who), ("★ " if line.important else "") + line.text)
        for line in report.lines
        if line.shown
    ]
    parts.append("<h2>Timeline (UTC)</h2>" + _rows(lines))
    items = [("☑ " if one.done_at else "☐ ") + action_text(one) for one in report.actions]
    parts.append("<h2>Action items</h2>" + (_items(items) if items else "<p>None.</p>"))
    parts.append(f"<h2>Recorded by Watchkeeper</h2><pre>{_h(report.facts, 500_000)}</pre>")
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_h(title)}</title><style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _h(text: str, longest: int = LONGEST) -> str:
    return escape(page_text(text, longest))


def _items(texts: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{_h(text)}</li>" for text in texts) + "</ul>"


def _rows(rows: Sequence[Sequence[str]]) -> str:
    body = "".join("<tr>" + "".join(f"<td>{_h(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tbody>{body}</tbody></table>"
