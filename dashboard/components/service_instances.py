"""The instances of a service side by side, and which versions run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from statistics import median
from typing import Final

from dash import html

from dashboard.components.elements import Part, card, empty, facts, moment, pill, table
from dashboard.components.wording import count, milliseconds, percent
from dashboard.reads.sources import Sources
from dashboard.reads.traffic import Instance
from dashboard.urls import lately
from dashboard.viewer import Viewer
from watchkeeper.durations import duration
from watchkeeper.vocabulary import Window

LOOKED_AT: Final = timedelta(minutes=15)  # of raw spans
FEWEST: Final = 20  # requests, before an instance is compared
MORE_FAILED: Final = 0.05  # of the requests, beyond the median of the others
SLOWER: Final = 1.5  # times the median of the others, and SLOWER_MS more
SLOWER_MS: Final = 20.0
SILENT: Final = timedelta(seconds=60)


def instances_cards(sources: Sources, name: str, window: Window, viewer: Viewer) -> list[Part]:
    """Every instance with what sets it apart from the others, and the share of requests by version."""
    near = lately(window, LOOKED_AT.total_seconds())
    instances = sources.traffic.instances(near, name)
    span = f"the last {duration(near.end - near.start)} of the time range"
    if not instances:
        return [card("Instances", empty(f"It served no request in {span}"))]
    return [_instances(instances, name, near, viewer, span), _versions(instances, viewer)]


def apart(one: Instance, others: Sequence[Instance]) -> tuple[str, ...]:
    """What sets an instance apart from the others that served enough; nothing where there is none to compare with."""
    known = [other for other in others if other is not one and other.calls >= FEWEST]
    if not known or one.calls < FEWEST:
        return ()
    found = []
    if one.error_ratio >= median(other.error_ratio for other in known) + MORE_FAILED:
        found.append("fails more")
    usual = median(other.p95_ms for other in known)
    if one.p95_ms >= max(usual * SLOWER, usual + SLOWER_MS):
        found.append("slower")
    return tuple(found)


def _instances(instances: Sequence[Instance], name: str, window: Window, viewer: Viewer, span: str) -> Part:
    rows = [_row(one, instances, window, viewer) for one in instances]
    heads = ["Instance", "Version", "Requests", "Failed", "p50", "p95", "Last seen"]
    shown = table(heads, rows, caption=f"Instances of {name}, busiest first", numbers=heads[2:6])
    nameless = None
    if all(not one.name for one in instances):
        nameless = html.P(
            ["Its telemetry names no instance. Set the resource attribute ", html.Code("service.instance.id"), "."],
            className="muted",
        )
    return card(
        "Instances", shown, nameless, aside=f"{count(len({one.name for one in instances}), 'instance')} in {span}"
    )


def _row(one: Instance, instances: Sequence[Instance], window: Window, viewer: Viewer) -> Part:
    words = [pill(found, "degraded", "▲") for found in apart(one, instances)]
    if any(other.name == one.name and other.first > one.last for other in instances):
        words.append(pill("replaced", "unknown", "→"))
    elif window.end - one.last > SILENT:
        words.append(pill("silent", "silent", "□"))
    failed = "number bad" if one.error_ratio > 0.01 else "number"
    return html.Tr(
        [
            html.Th(
                html.Div([html.Span(one.name or "not named", className="mono"), *words], className="line"), scope="row"
            ),
            html.Td(one.version or "–"),
            html.Td(f"{one.calls:,}", className="number"),
            html.Td(percent(one.error_ratio), className=failed),
            html.Td(milliseconds(one.p50_ms), className="number"),
            html.Td(milliseconds(one.p95_ms), className="number"),
            html.Td(moment(one.last, viewer, relative=True)),
        ]
    )


def _versions(instances: Sequence[Instance], viewer: Viewer) -> Part:
    """One version, or several side by side with what each serves."""
    versions: dict[str, list[Instance]] = {}
    for one in instances:
        versions.setdefault(one.version or "not named", []).append(one)
    total = sum(one.calls for one in instances)
    rows: list[tuple[str, Part]] = []
    for version, parts in sorted(versions.items(), key=lambda pair: -max(one.last for one in pair[1]).timestamp()):
        calls = sum(one.calls for one in parts)
        failed = sum(one.calls * one.error_ratio for one in parts) / calls
        share = f"{percent(calls / total)} of requests, {percent(failed)} failed"
        words = f"{share}, {count(len(parts), 'instance')}, last seen "
        rows.append((version, html.Span([words, moment(max(one.last for one in parts), viewer, relative=True)])))
    return card("Versions", facts(*rows), aside=count(len(versions), "version"))
