"""The plots of one incident: what the evidence speaks of, and the accused service's requests, around the onset."""

from __future__ import annotations

from collections.abc import Sequence

from dash import html

from alerting.incidents.machine import Incident
from dashboard.components.elements import Part, card, empty, plot
from dashboard.figures.evidence import evidence_figure
from dashboard.figures.red import red_figure
from dashboard.reads.signals import accused, around, moments, signal_of
from dashboard.reads.sources import Sources
from dashboard.urls import step_for
from dashboard.viewer import Viewer
from watchkeeper.vocabulary import ChangeEvent

PLOTS = 2  # of the strongest evidence: more push what was found off the screen


def evidence_plots(sources: Sources, incident: Incident, changes: Sequence[ChangeEvent], viewer: Viewer) -> Part:
    """A plot for each signal that the evidence names, the strongest first."""
    diagnosis = incident.diagnosis
    if diagnosis is None:
        return None
    window = around(incident, viewer)
    marks = moments(incident, changes)
    figures: list[Part] = []
    seen: set[tuple[str, str]] = set()
    for suspect in diagnosis.suspects[:2]:
        for evidence in sorted(suspect.evidence, key=lambda e: -e.weight):
            what = (suspect.service, evidence.signal)
            if what in seen or evidence.weight <= 0 or len(figures) >= PLOTS:
                continue
            seen.add(what)
            signal = signal_of(sources, suspect.service, evidence, window)
            if signal is not None:
                figures.append(
                    html.Figure(
                        [
                            plot(
                                f"evidence-{len(figures)}",
                                evidence_figure(signal, viewer, marks),
                                f"{signal.title}. {evidence.sentence}",
                            ),
                            html.Figcaption(evidence.sentence),
                        ]
                    )
                )
    if not figures:
        return None
    return card("Evidence around the onset", html.Div(figures, className="figures"), aside="dashed: what was expected")


def requests_plot(sources: Sources, incident: Incident, changes: Sequence[ChangeEvent], viewer: Viewer) -> Part:
    """Rate, failures and latency of the accused service around the onset."""
    window = around(incident, viewer)
    series = sources.traffic.red(window, step_for(window))
    named = accused(incident)
    service = named if named in series else incident.service
    if service not in series:
        return card("Requests around the onset", empty(f"{service} served nothing that was recorded around the onset"))
    figure = red_figure(series[service], viewer, moments(incident, changes), height=260)
    return card(
        f"Requests of {service} around the onset",
        plot("incident-red", figure, f"Rate, failures and latency of {service}"),
    )
