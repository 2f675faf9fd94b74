"""What the detectors found in an incident: grouped by service and kind, the most severe first, details folded."""

from __future__ import annotations

from collections.abc import Sequence

from dash import html

from alerting.incidents.machine import FINDINGS_SHOWN, SEVERITIES, Incident
from dashboard.components.elements import Part, card, empty, folded, moment, pill, table
from dashboard.components.suppression import is_reopened, suppression_note
from dashboard.components.wording import amount, count, percent
from dashboard.reads.sources import Sources
from dashboard.viewer import Viewer
from watchkeeper import metric_names
from watchkeeper.vocabulary import Finding

HEADS = ("Finding", "Seen", "Onset", "Now")


def findings_card(sources: Sources, incident: Incident, viewer: Viewer) -> Part:
    """A row for each service and kind with its first finding; the others of it, and the details, are folded."""
    if not incident.findings:
        return card("Findings", empty("No finding", "It was opened without a finding of a detector."))
    groups = grouped([one for one in incident.findings if one.severity != "detail"])
    details = sorted((one for one in incident.findings if one.severity == "detail"), key=lambda one: one.onset)
    shown, further = groups[:FINDINGS_SHOWN], groups[FINDINGS_SHOWN:]
    judged: set[str] = set()

    def rows(findings: Sequence[Finding]) -> list[Part]:
        return [_finding(sources, incident, one, viewer, judged) for one in findings]

    first = table(HEADS, rows([one[0] for one in shown]), caption="Findings, the most severe first") if shown else None
    same = [
        folded(
            f"{len(group) - 1} more of {group[0].kind} on {group[0].service}",
            table(HEADS, rows(group[1:]), caption=f"Further findings of {group[0].kind} on {group[0].service}"),
        )
        for group in shown
        if len(group) > 1
    ]
    rest = [one for group in further for one in group]
    return card(
        "Findings",
        first,
        *same,
        folded(
            f"and {count(len(further), 'more group')} of {count(len(rest), 'finding')}",
            table(HEADS, rows(rest), caption="Further findings, the most severe first"),
        )
        if rest
        else None,
        folded(
            f"{count(len(details), 'detail')} of internal metrics",
            table(HEADS, rows(details), caption="Details of internal metrics, in order of onset"),
        )
        if details
        else None,
        aside=f"{len(incident.firing_keys)} of {len(incident.findings)} firing",
    )


def grouped(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Findings of one service and kind together: in each group, and among them, the most severe and earliest first."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for one in sorted(findings, key=lambda each: (SEVERITIES.index(each.severity), each.onset, each.key)):
        groups.setdefault((one.service, one.kind), []).append(one)
    return list(groups.values())


def _finding(sources: Sources, incident: Incident, finding: Finding, viewer: Viewer, judged: set[str]) -> Part:
    """One row. A detector's track record stands once, beside its first finding; `judged` are those that had theirs."""
    note = suppression_note(finding, reopened=is_reopened(sources, finding))
    record = "" if finding.detector in judged else sources.records.track_record(finding)
    judged.add(finding.detector)
    version = f"{finding.detector} v{finding.detector_version.removeprefix('v')} on {finding.service}"
    firing = finding.key in incident.firing_keys
    return html.Tr(
        [
            html.Th(
                [finding.summary, note, html.Div(record, className="reason") if record else None],
                scope="row",
                title=version,
            ),
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
