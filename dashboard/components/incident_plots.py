"""The plots of one incident: what the evidence speaks of, and the accused service's requests, around the onset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dash import html

from alerting.incidents.machine import Incident
from dashboard.components.elements import Part, card, empty, plot
from dashboard.figures.evidence import Signal, evidence_figure
from dashboard.figures.red import red_figure
from dashboard.reads.signals import accused, around, moments, signal_of
from dashboard.reads.sources import Sources
from dashboard.urls import step_for
from dashboard.viewer import Viewer
from watchkeeper.vocabulary import ChangeEvent, Evidence

PLOTS = 6  # of the evidence, on its own tab
TRIED = 4  # pieces of evidence, for one plot: each may cost a query
SUSPECTS = 2


def strongest_plot(sources: Sources, incident: Incident, changes: Sequence[ChangeEvent], viewer: Viewer) -> Part:
    """One plot, of the strongest evidence that names a signal which the store has; None without one."""
    height = 150 if viewer.narrow else 170
    strongest = next(_signals(sources, incident, viewer, TRIED), None)
    if strongest is None:
        return None
    signal, evidence = strongest
    figure = evidence_figure(signal, viewer, moments(incident, changes), height=height)
    return plot("cause", figure, f"{signal.title}. {evidence.sentence}", reads=(signal.read,))


def evidence_plots(sources: Sources, incident: Incident, changes: Sequence[ChangeEvent], viewer: Viewer) -> Part:
    """A plot for each signal that the evidence names, the strongest first."""
    marks = moments(incident, changes)
    figures = [
        html.Figure(
            [
                plot(
                    f"evidence-{number}",
                    evidence_figure(signal, viewer, marks),
                    f"{signal.title}. {evidence.sentence}",
                    reads=(signal.read,),
                ),
                html.Figcaption(evidence.sentence),
            ]
        )
        for number, (signal, evidence) in enumerate(_signals(sources, incident, viewer, PLOTS))
    ]
    if not figures:
        return card("Evidence around the onset", empty("No evidence names a signal that the store still has"))
    return card("Evidence around the onset", html.Div(figures, className="figures"), aside="dashed: what was expected")


def _signals(sources: Sources, incident: Incident, viewer: Viewer, most: int) -> Iterator[tuple[Signal, Evidence]]:
    """The signals that the first suspects' evidence names, each once, the strongest first; at most `most`."""
    diagnosis = incident.diagnosis
    window = around(incident, viewer)
    seen: set[tuple[str, str]] = set()
    for suspect in diagnosis.suspects[:SUSPECTS] if diagnosis else ():
        for evidence in sorted(suspect.evidence, key=lambda e: -e.weight):
            what = (suspect.service, evidence.signal)
            if what in seen or evidence.weight <= 0 or not evidence.signal or len(seen) >= most:
                continue
            seen.add(what)
            signal = signal_of(sources.traffic, suspect.service, evidence, window)
            if signal is not None:
                yield signal, evidence


def requests_plot(sources: Sources, incident: Incident, changes: Sequence[ChangeEvent], viewer: Viewer) -> Part:
    """Rate, failures and latency of the accused service around the onset."""
    window = around(incident, viewer)
    services = list(dict.fromkeys((accused(incident), incident.service)))
    series = (sources.traffic.red_of(window, step_for(window), service) for service in services)
    shown = next((one for one in series if one.calls.any()), None)
    if shown is None:
        service = incident.service
        return card("Requests around the onset", empty(f"{service} served nothing that was recorded around the onset"))
    service, figure = shown.service, red_figure(shown, viewer, moments(incident, changes), height=260)
    return card(
        f"Requests of {service} around the onset",
        plot("incident-red", figure, f"Rate, failures and latency of {service}", reads=("red_of",)),
    )
