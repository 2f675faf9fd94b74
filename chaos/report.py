"""What experiments have shown, as a document: the scorecard, the coverage map, resilience, and every experiment.

The document is data: sections of sentences and tables. `as_markdown` and `as_html` write it; neither trusts a name.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chaos.assessment import Assessment
from chaos.coverage import Cell
from chaos.resilience import Resilience
from chaos.scorecard import By, Scorecard, scorecard, scorecards, trend
from chaos.scored import ScoredExperiment
from watchkeeper.intervals import Median, Rate, Share
from watchkeeper.text import one_line

NONE: Final = "–"
SHOWN: Final = 100  # experiments in the list
# A measure's field and its name for a reader; in this order.
MEASURES: Final[Mapping[str, str]] = {
    "recall": "Recall",
    "detect_s": "Seconds to detect",
    "page_s": "Seconds to page",
    "first_at_page": "Right cause at the page",
    "first": "Right cause first",
    "in_three": "Right cause in the first three",
    "mechanism": "Right mechanism",
    "abstained_when_wrong": "Abstained when wrong",
    "false_pages": "False pages a control hour",
    "runbooks": "Runbook success",
    "repair_s": "Seconds to repair",
    "clear_s": "Seconds to clear",
    "acknowledge_s": "Seconds to acknowledge",
    "label_errors": "Label errors",
    "game_day_label_errors": "Label errors on game days",
}
FELT: Final = "Recall, of those that users felt"
BRIEF: Final = ("recall", "page_s", "first", "in_three", "mechanism")


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A title, sentences, and a table: its heads and rows, all as text."""

    title: str
    sentences: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def number_text(measured: Share | Rate | Median) -> str:
    """A number with its interval.

    >>> number_text(Share(right=9, count=10)), number_text(Median.of([8.0, 9.0]))
    ('90 % (60 to 98)', '8.5')
    """
    if measured.value is None:
        return NONE
    if isinstance(measured, Share):
        return f"{measured.value * 100:.0f} % ({measured.low * 100:.0f} to {measured.high * 100:.0f})"
    if measured.low is None or measured.high is None:
        return f"{measured.value:.1f}"
    return f"{measured.value:.1f} ({measured.low:.1f} to {measured.high:.1f})"


def count_text(measured: Share | Rate | Median) -> str:
    """What a number was counted from."""
    match measured:
        case Share():
            return f"{measured.right} of {measured.count}" if measured.count else NONE
        case Rate():
            return f"{measured.events} in {_hours(measured.hours)}" if measured.hours else NONE
        case Median():
            return str(measured.count) if measured.count else NONE


def _hours(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.0f} min"


def document(known: Assessment, shown: Resilience, missing: str = "", felt: Share | None = None) -> tuple[Section, ...]:
    """The whole report. `felt`: how many were found of those that users felt."""
    card = scorecard(known.known)
    gaps = (*known.gaps, missing) if missing else known.gaps
    return (
        Section(
            title="Summary",
            sentences=(_summary(known, card), *(f"Not complete: {gap}." for gap in gaps)),
            heads=("Measure", "Value (95 %)", "From"),
            rows=(
                *((_measured(FELT, felt),) if felt else ()),
                *(
                    (name, number_text(getattr(card, key)), count_text(getattr(card, key)))
                    for key, name in MEASURES.items()
                ),
            ),
        ),
        _grouped("By fault", known.known, ("fault",)),
        _grouped("By service", known.known, ("service",)),
        _grouped("By version", known.known, ("version",)),
        _grouped("By fault, service and version", known.known, ("fault", "service", "version")),
        _trend(known.known),
        _map(known.cells),
        Section(
            title="Next experiments",
            sentences=("Worth: what would be learned, less what would be put at risk (docs/scorecard.md).",),
            heads=("Experiment", "Why", "Worth"),
            rows=tuple(
                (f"{one.cell.fault} in {one.cell.service}", one.reason, f"{one.worth:.3f}")
                for one in known.next_experiments()
            ),
        ),
        *_resilience(shown),
        _experiments(known.known),
    )


def _measured(name: str, value: Share | Rate | Median) -> tuple[str, ...]:
    return name, number_text(value), count_text(value)


def _summary(known: Assessment, card: Scorecard) -> str:
    controls = [one for one in known.known if one.is_control]
    return (
        f"Experiments: {card.experiments}, {card.without_effect} of them without effect. "
        f"Control windows: {len(controls)}, {_hours(card.false_pages.hours)} together. "
        f"Until {known.now:%Y-%m-%d %H:%M} UTC."
    )


def _grouped(title: str, known: Sequence[ScoredExperiment], by: Sequence[By]) -> Section:
    cards = scorecards(known, by)
    return Section(
        title=title,
        heads=(*(name.capitalize() for name in by), "Experiments", *(MEASURES[key] for key in BRIEF)),
        rows=tuple(
            (*key, str(card.experiments), *(number_text(getattr(card, name)) for name in BRIEF))
            for key, card in cards.items()
        ),
    )


def _trend(known: Sequence[ScoredExperiment]) -> Section:
    return Section(
        title="Trend",
        heads=("From (UTC)", "Experiments", *(MEASURES[key] for key in BRIEF), MEASURES["false_pages"]),
        rows=tuple(
            (
                f"{at:%Y-%m-%d %H:%M}",
                str(card.experiments),
                *(number_text(getattr(card, name)) for name in (*BRIEF, "false_pages")),
            )
            for at, card in trend(known).items()
        ),
    )


def _map(cells: Sequence[Cell]) -> Section:
    faults = sorted({cell.fault for cell in cells})
    by_cell = {(cell.service, cell.fault): cell for cell in cells}
    return Section(
        title="Coverage",
        sentences=("The worst of the three newest tests of each, and how many of all its tests were found.",),
        heads=("Service", *faults),
        rows=tuple(
            (service, *(_cell(by_cell.get((service, fault))) for fault in faults))
            for service in sorted({cell.service for cell in cells})
        ),
    )


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return NONE
    return f"{cell.state} {cell.found}/{cell.tested}" if cell.tested else cell.state


def _resilience(shown: Resilience) -> tuple[Section, ...]:
    seen = f"Experiments with traffic in the store: {shown.seen}."
    return (
        Section(
            title="Resilience: what to change",
            sentences=(seen,),
            heads=("Weakness", "Service", "Shown by", "Proposal", "Experiment"),
            rows=tuple(
                (one.kind, one.service, one.shown, one.proposal, ", ".join(name[:8] for name in one.experiments[:3]))
                for one in shown.weaknesses
            ),
        ),
        Section(
            title="Resilience: what held",
            heads=("Service", "While broken", "What it did", "Experiment"),
            rows=tuple((one.service, one.dependency, one.shown, one.experiment[:8]) for one in shown.held),
        ),
    )


def _experiments(known: Sequence[ScoredExperiment]) -> Section:
    newest = [one for one in reversed(known) if not one.is_control][:SHOWN]
    return Section(
        title="Experiments, newest first",
        heads=("Id", "Began (UTC)", "Fault", "Service", "Outcome", "Page", "First suspect", "Cleared after"),
        rows=tuple(
            (
                one.truth.id[:8],
                f"{one.truth.began:%Y-%m-%d %H:%M:%S}",
                one.truth.fault,
                one.truth.service,
                one.outcome or "not settled",
                _seconds(one.paged_s),
                suspect_text(one),
                _seconds(one.cleared_s),
            )
            for one in newest
        ),
    )


def suspect_text(one: ScoredExperiment) -> str:
    """Whom the diagnosis named at the end of the fault."""
    if one.answer is None:
        return NONE
    named = f"{one.answer.first or 'nobody'} ({one.answer.mechanism})"
    return f"{named}, no cause named" if one.answer.abstained else named


def _seconds(seconds: float | None) -> str:
    return NONE if seconds is None else f"{seconds:.0f} s"


TITLE: Final = "What experiments have shown"


def as_markdown(sections: Iterable[Section]) -> str:
    """The document as Markdown with tables."""
    lines = [f"# {TITLE}", ""]
    for section in sections:
        lines += [f"## {section.title}", ""]
        lines += [line for sentence in section.sentences for line in (_plain(sentence), "")]
        if section.rows:
            lines += [_row(section.heads), _row("---" for _ in section.heads), *map(_row, section.rows), ""]
        elif section.heads:
            lines += ["Nothing yet.", ""]
    return "\n".join(lines)


def _row(words: Iterable[str]) -> str:
    return f"| {' | '.join(_plain(word) for word in words)} |"


def _plain(text: str) -> str:
    """A name can be anything: none may open a link, a tag or a further column."""
    shown = one_line(text, 400)
    for mark in "\\`*_[]<>|#":
        shown = shown.replace(mark, f"\\{mark}")
    return shown


STYLE: Final = """
:root{color-scheme:light dark;--line:#e2e7ec;--muted:#55636f;--text:#17212b;--back:#fff}
@media(prefers-color-scheme:dark){:root{--line:#2a343d;--muted:#96a5b1;--text:#e4eaef;--back:#161d23}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--text);background:var(--back)}
body{max-width:76rem;margin:2rem auto;padding:0 1rem}
h2{margin:2rem 0 .5rem;font-size:1.15rem}table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;vertical-align:top;padding:.35rem .6rem;border-bottom:1px solid var(--line)}
th{color:var(--muted);font-weight:600}div{overflow-x:auto}
"""


def as_html(sections: Iterable[Section]) -> str:
    """The document as one HTML page that needs nothing else."""
    body = [f"<h1>{TITLE}</h1>"]
    for section in sections:
        body.append(f"<h2>{html.escape(section.title)}</h2>")
        body += [f"<p>{_escaped(sentence)}</p>" for sentence in section.sentences]
        if section.rows:
            heads = "".join(f"<th scope='col'>{_escaped(head)}</th>" for head in section.heads)
            rows = "".join(
                f"<tr>{''.join(f'<td>{_escaped(word)}</td>' for word in row)}</tr>\n" for row in section.rows
            )
            body.append(f"<div><table><thead><tr>{heads}</tr></thead><tbody>\n{rows}</tbody></table></div>")
        elif section.heads:
            body.append("<p>Nothing yet.</p>")
    head = f"<meta charset='utf-8'><meta name='viewport' content='width=device-width'><title>{TITLE}</title>"
    return (
        f"<!doctype html><html lang='en'><head>{head}<style>{STYLE}</style></head><body>{''.join(body)}</body></html>\n"
    )


def _escaped(text: str) -> str:
    return html.escape(one_line(text, 400))
