"""Error budgets in words: what is left, how fast it burns, when it is gone, and what used it up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from dash import dcc, html

from alerting.incidents.machine import Incident
from dashboard.components.elements import Part, card, moment, pill, table
from dashboard.components.wording import NOTHING, clock_text, percent
from dashboard.urls import incident_path
from dashboard.viewer import Viewer
from detectors.slo.budget import Burn, Forecast, Spent, allowance, burns, forecast, left, spent_within, worst_hours
from detectors.slo.burn import ALERTS, burns_too_fast
from detectors.slo.minutes import Minutes
from detectors.slo.openslo import Slo
from watchkeeper.durations import duration
from watchkeeper.vocabulary import Window

INCIDENTS: Final = 8
LEAST_SHARE: Final = 0.001  # of the budget: an incident that used up less is not listed


def state_pill(slo: Slo, minutes: Minutes, viewer: Viewer) -> html.Span:
    """The state of a budget in a word or two."""
    return pill(*budget_state(slo, minutes, viewer.now))


def budget_state(slo: Slo, minutes: Minutes, now: datetime) -> tuple[str, str, str]:
    """The state of a budget: its words, tone and shape. A tone of `failing` or `degraded` is trouble."""
    state, _ = minutes.state()
    share = left(slo, minutes)
    if state != "measured" or share is None:
        return "no data" if state == "no data" else "not measured", "unknown", "?"
    if share <= 0:
        return "used up", "failing", "✕"
    if _burns_fast(slo, minutes):
        return "burns fast", "failing", "▲"
    coming = forecast(slo, minutes, now)
    if coming and coming.gone:
        return "will run out" if coming.latest else "may run out", "degraded", "▲"
    return "safe", "ok", "●"


def _burns_fast(slo: Slo, minutes: Minutes) -> bool:
    """Whether a pair of windows burns as fast as the detector pages for."""
    return any(burns_too_fast(slo, minutes, alert) for alert in ALERTS if alert.severity == "page")


def left_words(slo: Slo, minutes: Minutes) -> Part:
    """The share that is left, as a number and a bar."""
    share = left(slo, minutes)
    if share is None:
        return NOTHING
    words = percent(share) if share >= 0 else f"overdrawn by {percent(-share)}"
    tone = "failing" if share <= 0 else "degraded" if share < 0.25 else "ok"
    bar = html.Span(className=f"budget-bar {tone}", style={"width": f"{min(max(share, 0.0), 1.0):.1%}"})
    return html.Span(
        [html.Span(bar, className="budget", **{"aria-hidden": "true"}), html.Span(words, className="number")]
    )


def burn_words(burn: Burn) -> str:
    """A burn rate as a factor."""
    return NOTHING if burn.rate is None else f"{burn.rate:.3g}×" if burn.rate < 1000 else f"{burn.rate:,.0f}×"


def forecast_words(slo: Slo, minutes: Minutes, viewer: Viewer) -> str:
    """When the budget is gone at the last hours' pace, in a sentence with its interval."""
    state, reason = minutes.state()
    if state != "measured":
        return f"Not forecast: {reason}."
    coming, share = forecast(slo, minutes, viewer.now), left(slo, minutes)
    if coming is None or share is None:
        return "Not forecast: no request in the last hours."
    if share <= 0:
        if coming.back is None:
            return "Used up, and nothing comes back within the window at this pace."
        back = clock_text(coming.back, viewer.zone, viewer.now, seconds=False)
        return f"Used up; something is left again on {back} at this pace."
    if coming.gone is None:
        until = clock_text(coming.until, viewer.zone, viewer.now, seconds=False)
        if coming.earliest is None:
            return f"Safe until {until} at this pace, and at any likely one."
        soonest = clock_text(coming.earliest, viewer.zone, viewer.now, seconds=False)
        return f"Safe until {until} at this pace; at the worst likely one gone on {soonest}."
    gone = clock_text(coming.gone, viewer.zone, viewer.now, seconds=False)
    return f"At this pace gone on {gone} ({_between(coming, viewer)})."


def _between(coming: Forecast, viewer: Viewer) -> str:
    first = clock_text(coming.earliest, viewer.zone, viewer.now, seconds=False) if coming.earliest else "?"
    if coming.latest is None:
        return f"likely not before {first}, and perhaps not at all"
    return f"likely between {first} and {clock_text(coming.latest, viewer.zone, viewer.now, seconds=False)}"


def promise(slo: Slo) -> str:
    """What an objective promises, in words."""
    what = f"requests of {slo.service}" + (f" to {slo.operation}" if slo.operation else "")
    return f"{slo.target * 100:.10g} % of {what} succeed, over {duration(slo.window_s)}"


def burn_card(slo: Slo, minutes: Minutes) -> Part:
    """The burn rates, and from which one on the detector pages."""
    pages = {alert.long_s: alert.factor(slo) for alert in ALERTS if alert.severity == "page"}
    rows = [
        html.Tr(
            [
                html.Th(duration(burn.seconds), scope="row", className="nowrap"),
                html.Td(burn_words(burn), className="number"),
                html.Td(f"{burn.bad:,.0f} of {burn.total:,.0f}", className="number"),
                html.Td(f"{pages[burn.seconds]:.3g}×" if burn.seconds in pages else NOTHING, className="number"),
            ]
        )
        for burn in burns(slo, minutes)
    ]
    return card(
        "Burn rate",
        html.P("1× uses up the budget exactly at the end of its window.", className="muted lead"),
        table(
            ["Last", "Burns", "Failed", "Pages at"],
            rows,
            caption="Burn rates",
            numbers=("Burns", "Failed", "Pages at"),
        ),
    )


def eaten_card(slo: Slo, minutes: Minutes, incidents: Sequence[Incident], viewer: Viewer) -> Part:
    """What used up the budget: incidents by the failures during them, the rest, and the worst hours."""
    spans = [(incident, _span(incident, viewer.now)) for incident in incidents if not incident.merged_into]
    spent = [(incident, spent_within(slo, minutes, [span])) for incident, span in spans]
    counted = sorted(
        ((incident, one) for incident, one in spent if one and one.share >= LEAST_SHARE),
        key=lambda pair: -pair[1].share,
    )[:INCIDENTS]
    bad = float(np.sum(minutes.bad))
    if not bad:
        return card("What used it up", html.P("Nothing: no request failed in the window.", className="muted"))
    rows = [_incident_row(incident, one, slo, bad, viewer) for incident, one in counted]
    together = spent_within(slo, minutes, [span for _, span in spans]) if spans else None
    outside = bad - (together.bad if together else 0.0)
    rows.append(
        html.Tr(
            [
                html.Th("outside of every incident", scope="row"),
                html.Td(percent(outside / allowance(slo, minutes)), className="number"),
                html.Td(percent(outside / bad), className="number"),
                html.Td(f"{outside:,.0f}", className="number"),
            ]
        )
    )
    hours = [
        html.Tr(
            [
                html.Th(moment(one.window.start, viewer, seconds=False), scope="row"),
                html.Td(percent(one.share), className="number"),
                html.Td(percent(one.bad / bad), className="number"),
                html.Td(f"{one.bad:,.0f}", className="number"),
            ]
        )
        for one in worst_hours(slo, minutes)
    ]
    heads = ("Of the budget", "Of the failures", "Failed requests")
    return card(
        "What used it up",
        html.P("Failures while an incident went on; incidents at the same time share theirs.", className="muted lead"),
        table(["Incident", *heads], rows, caption="Incidents", numbers=heads),
        html.H3("Worst hours", className="lead"),
        table(["From", *heads], hours, caption="The hours with the most failures", numbers=heads),
    )


def _span(incident: Incident, now: datetime) -> Window:
    end = incident.recovered_at or incident.resolved_at or now
    return Window(start=incident.onset, end=max(end, incident.onset + timedelta(seconds=1)))


def _incident_row(incident: Incident, spent: Spent, slo: Slo, bad: float, viewer: Viewer) -> Part:
    own = slo.service in incident.services
    return html.Tr(
        [
            html.Th(
                [
                    dcc.Link(incident.title, href=incident_path(incident.id)),
                    html.Div(
                        [moment(incident.onset, viewer, seconds=False), "" if own else f", not about {slo.service}"],
                        className="reason",
                    ),
                ],
                scope="row",
            ),
            html.Td(percent(spent.share), className="number"),
            html.Td(percent(spent.bad / bad), className="number"),
            html.Td(f"{spent.bad:,.0f}", className="number"),
        ]
    )
