"""Answers from the telemetry store: why something is slow or fails, who depends on it, what is left of a budget."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from alerting.ask.answer import Answer
from alerting.ask.from_records import names_of
from alerting.ask.names import Name
from alerting.ask.sources import Objective, Reading
from alerting.ask.words import ago, cause, concerns, headline, path_of
from alerting.incidents.machine import Incident
from watchkeeper.durations import duration
from watchkeeper.store import ask_queries
from watchkeeper.text import prose, seen_name
from watchkeeper.vocabulary import Window

NOW: Final = timedelta(minutes=10)  # what "now" is
BEFORE: Final = timedelta(minutes=50)  # what it is compared with
CHANGED_WITHIN: Final = timedelta(hours=2)
CALLED_WITHIN: Final = timedelta(hours=1)
DAY_S: Final = 86_400.0
# Slower counts from half as much again and so many milliseconds; failing from one in a hundred, and twice as often.
SLOWER: Final = 1.5
SLOWER_MS: Final = 10.0
FAILING: Final = 0.01
LISTED: Final = 5
DEEPEST: Final = 12
# An hour at this rate spends 2 % of a 30-day budget (the Site Reliability Workbook, chapter 5).
FAST_BURN: Final = 14.4


def why(reading: Reading, service: str) -> Answer:
    """What is measured of a service against the hour before, what it calls, what is open about it, and what changed."""
    end = reading.now
    times: dict[str, str | float] = {
        "start": (end - NOW - BEFORE).timestamp(),
        "split": (end - NOW).timestamp(),
        "end": end.timestamp(),
        "service": service,
    }
    rows = reading.telemetry(ask_queries.COMPARED, **times)
    peers = reading.telemetry(ask_queries.CALLEES, **times)
    incidents = [one for one in reading.open_incidents() if concerns(one, service)]
    changes = reading.changes(Window(start=end - CHANGED_WITHIN, end=end))
    name = seen_name(service)
    whole = next((row for row in rows if row["operation"] == ""), None)
    worse = _worse(whole, "p95_ms") if whole and (whole["calls"] or whole["calls_before"]) else []
    lines: list[str] = []
    for incident in incidents[:3]:
        lines += _of_incident(incident, reading)
    if whole:
        lines += [
            f"Operation {prose(row['operation'], 100)}: {'; '.join(change)}"
            for row in rows
            if row["operation"] and (change := _worse(row, "p95_ms"))
        ][:LISTED]
    blamed = [(seen_name(row["peer"]), change) for row in peers if (change := _worse(row, "mean_ms"))]
    lines += [f"It calls {peer}: {'; '.join(change)}" for peer, change in blamed[:LISTED]]
    near = {service, *(row["peer"] for row in peers)}
    lines += [
        f"{one.kind.capitalize()} of {seen_name(one.service)} {ago(one.at, end)}: {prose(one.title, 160)}"
        for one in changes
        if one.service in near
    ][:LISTED]
    return Answer(
        heading=_verdict(name, whole, worse, incidents, blamed, blind=reading.is_blind),
        lines=tuple(lines),
        links=((name, path_of(service)), *((one.id, f"/incidents/{one.id}") for one in incidents[:3])),
    )


def _verdict(
    name: str,
    whole: Mapping[str, Any] | None,
    worse: Sequence[str],
    incidents: Sequence[Incident],
    blamed: Sequence[tuple[str, Sequence[str]]],
    *,
    blind: bool,
) -> str:
    """The first sentence: what is worse, and what is the likely reason."""
    if blind:
        text = f"How {name} is now is unknown: its telemetry cannot be read"
    elif whole is None or not (whole["calls"] or whole["calls_before"]):
        text = f"No request of {name} was seen within the last hour"
    elif not whole["calls"]:
        text = f"{name} served no request for {duration(NOW)}; before, it served {_rate(whole['calls_before'], BEFORE)}"
    elif worse:
        text = f"{name} is worse than in the hour before: {'; '.join(worse)}"
    else:
        text = (
            f"{name} is neither slower nor failing more than in the hour before: p95 {_ms(whole['p95_ms'])}, "
            f"{_share(whole['errors'], whole['calls'])} of {_rate(whole['calls'], NOW)} fail"
        )
    diagnosed = next((named for one in incidents if (named := cause(one)).startswith("Likely")), "")
    if diagnosed:
        text += f". {diagnosed}"
    elif worse and blamed:
        text += f". {blamed[0][0]}, which it calls, is worse, too"
    return text + "."


def _of_incident(incident: Incident, reading: Reading) -> list[str]:
    """An open incident, and the strongest evidence for its first suspect."""
    lines = [headline(incident, reading.now, names_of(reading.oncall))]
    diagnosis = incident.diagnosis
    if diagnosis and diagnosis.suspects:
        lines.append(cause(incident))
        speaking = sorted(diagnosis.suspects[0].evidence, key=lambda one: -one.weight)
        lines += [f"Evidence: {prose(one.sentence, 300)}" for one in speaking[:2] if one.weight > 0]
    return lines


def _worse(row: Mapping[str, Any], latency: str) -> list[str]:
    """What of a row is worse now than before, in words."""
    words = []
    now_ms, before_ms = row[latency], row[f"{latency}_before"]
    if _is_number(now_ms) and _is_number(before_ms) and now_ms > SLOWER * before_ms and now_ms - before_ms > SLOWER_MS:
        kind = "p95" if latency == "p95_ms" else "mean"
        words.append(f"{kind} {_ms(now_ms)}, was {_ms(before_ms)}")
    if row["calls"]:
        failing = row["errors"] / row["calls"]
        before = row["errors_before"] / row["calls_before"] if row["calls_before"] else 0.0
        if failing > FAILING and failing > 2 * before:
            was = _share(row["errors_before"], row["calls_before"])
            words.append(f"{_share(row['errors'], row['calls'])} of requests fail, was {was}")
    elif row["calls_before"]:
        words.append(f"no request for {duration(NOW)}, was {_rate(row['calls_before'], BEFORE)}")
    return words


def callers(reading: Reading, service: str) -> Answer:
    """Who calls a service, and who calls them: whom it hurts when it fails."""
    return _neighbours(reading, service, ("callee", "caller"))


def callees(reading: Reading, service: str) -> Answer:
    """What a service calls, and what they call: what can hurt it."""
    return _neighbours(reading, service, ("caller", "callee"))


def _neighbours(reading: Reading, service: str, sides: tuple[str, str]) -> Answer:
    """Services in one direction of the call graph: the direct ones with their traffic, then those behind them."""
    end = reading.now
    times = {"start": (end - CALLED_WITHIN).timestamp(), "end": end.timestamp()}
    rows = reading.telemetry(ask_queries.CALLS, **times)
    here, there = sides
    name, towards = seen_name(service), there == "caller"
    direct = [row for row in rows if row[here] == service]
    if reading.is_blind:
        return Answer(heading=f"Who calls whom is unknown: the telemetry of {name} cannot be read.")
    if not direct:
        what = f"No caller of {name} was seen" if towards else f"{name} was not seen to call anything"
        return Answer(heading=f"{what} within the last hour.", links=((name, path_of(service)),))
    reached, layer, behind = {service}, {row[there] for row in direct}, []
    for _ in range(DEEPEST):
        reached |= layer
        layer = {row[there] for row in rows if row[here] in layer} - reached
        behind += sorted(layer)
        if not layer:
            break
    count = f"{len(direct)} service{'s'[: len(direct) != 1]}"
    heading = (f"{count} called {name}" if towards else f"{name} called {count}") + " within the last hour"
    heading += f"; {len(behind)} more stand behind {'it' if len(direct) == 1 else 'them'}." if behind else "."
    lines = [
        f"{seen_name(row[there])}: {_rate(row['calls'], CALLED_WITHIN)}, {_share(row['errors'], row['calls'])} fail"
        for row in direct[: 2 * LISTED]
    ]
    if len(direct) > 2 * LISTED:
        lines.append(f"and {len(direct) - 2 * LISTED} more")
    if behind:
        more = f", and {len(behind) - DEEPEST} more" if len(behind) > DEEPEST else ""
        lines.append(f"Behind them: {', '.join(map(seen_name, behind[:DEEPEST]))}{more}")
    return Answer(heading=heading, lines=tuple(lines), links=((name, path_of(service)),))


def budget(reading: Reading, subject: Name | None) -> Answer:
    """What is left of the error budgets of a service, of one objective, or of all, and how long that lasts."""
    every = reading.objectives
    chosen = [
        one
        for one in every
        if subject is None
        or (subject.kind == "service" and one.service == subject.text)
        or (subject.kind == "objective" and subject.text in (one.name, one.title))
    ]
    about = f" of {seen_name(subject.text)}" if subject else ""
    if not chosen:
        known = ", ".join(seen_name(one.name) for one in every[:LISTED])
        there = f"There are: {known}." if known else "Name files with objectives under `slo` in the configuration."
        return Answer(heading=f"No objective{about} is configured. {there}")
    lines = [_spent(reading, objective) for objective in chosen[: 2 * LISTED]]
    if len(chosen) > 2 * LISTED:
        lines.append(f"and {len(chosen) - 2 * LISTED} more objectives")
    links = tuple((seen_name(name), path_of(name)) for name in dict.fromkeys(one.service for one in chosen[:3]))
    return Answer(heading=lines[0], lines=tuple(lines[1:]), links=links)


def _spent(reading: Reading, slo: Objective) -> str:
    """One objective: is its budget safe, what is left, and when it is gone at the rate of the last day and hour."""
    end = reading.now.timestamp()
    rows = reading.telemetry(
        ask_queries.BUDGET,
        start=end - slo.window_s,
        end=end,
        day=end - DAY_S,
        hour=end - 3600,
        service=slo.service,
        operation=slo.operation,
    )
    promise = f"{slo.title} ({slo.target:.4g} good over {duration(slo.window_s)})".replace("\n", " ")
    if reading.is_blind:
        return f"What is left of the budget of {promise} is unknown: its telemetry cannot be read."
    if not rows or not rows[0]["total"]:
        return f"Nothing is known of {promise}: no request was seen in its window."
    row, allowed = rows[0], 1 - slo.target
    left = 1 - row["bad"] / (allowed * row["total"])
    fast = row["bad_hour"] / row["total_hour"] / allowed if row["total_hour"] else 0.0
    pace = row["bad_day"] / row["total_day"] / allowed if row["total_day"] else 0.0
    counts = f"{row['bad']} of {row['total']} requests failed"
    if left <= 0:
        return f"No: the budget of {promise} is spent, {-left + 1:.0%} of it; {counts}."
    tempo = f"the last hour burns it at {fast:.3g}, the last day at {pace:.3g} times the rate that it lasts"
    rest = f"{left:.0%} of the budget of {promise} is left"
    if fast >= FAST_BURN:
        gone = duration(left * slo.window_s / fast)
        return f"No: {rest}, and at the rate of the last hour it is gone in {gone}; {tempo}."
    if pace > 1:
        gone = duration(left * slo.window_s / pace)
        return f"Not for long: {rest}, and at the rate of the last day it is gone in {gone}; {tempo}."
    return f"Yes: {rest}; {counts}; {tempo}."


def _is_number(value: Any) -> bool:
    return value is not None and math.isfinite(value)


def _ms(value: float) -> str:
    return duration(value / 1000) if _is_number(value) else "unknown"


def _share(part: int, total: int) -> str:
    return f"{100 * part / total:.3g} %" if total else "nothing"


def _rate(calls: int, span: timedelta) -> str:
    per_s = calls / span.total_seconds()
    return f"{per_s:.3g} requests/s" if per_s >= 0.1 else f"{calls} request{'s'[: calls != 1]} in {duration(span)}"
