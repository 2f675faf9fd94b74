"""Diagnose a live incident from the store: the same engine as offline, over the last minutes' roll-ups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

import numpy as np

from rca.case import Case, Limit
from rca.dependencies import separate_dependencies
from rca.engine import ENGINE_VERSION, Engine, Ranked, suspect
from rca.live import reading
from rca.live.incident import LiveIncident
from rca.live.instances import Odd, odd_one
from rca.live.past import past_of
from rca.live.reading import Reader
from rca.live.traces import read_traces
from rca.spans import span_calls
from watchkeeper.vocabulary import Diagnosis, Finding, Suspect, Window, utc

BASELINE_S = 600.0  # before the onset: enough steps for a level and a spread, and still the same hour's traffic
SHORT_BASELINE_S = 180.0  # for what is many rows: metrics, heartbeats, logs, raw spans
INSTANCE_BASELINE_S = 120.0  # instances are compared with each other: their past only shows who always was slower
MARGIN_S = 5.0  # a detector's onset is right to about a bucket
# Findings that users are hurt. Other kinds are as often at the cause itself as at those who feel it.
ALARMS: Final = ("slo", "alert")
LIMITS: Final = "limits"  # the detector of what runs out
ENOUGH = 0.5  # below an even chance, the first suspect is a lead and not an answer
RIVAL = 0.5  # of the first score, from which on a suspect is named as close to it
AFTER_ONSET = timedelta(minutes=5)  # changes until then are read: the onset may still be estimated too early


# A name that is longer cannot be handed to the store in a query; it is ranked all the same.
LONGEST_ASKED: Final = 1000


def diagnose(telemetry: Reader, engine: Engine, incident: LiveIncident) -> Diagnosis:
    """Rank every service for a live incident.

    Reads the last ten minutes of roll-ups and a few minutes of raw rows.

    Raises:
        StoreError: the store cannot answer.
    """
    case = read_case(telemetry, incident, frozenset[str]().union(*(kind.metrics for kind in engine.kinds.values())))
    ranking = engine.rank(case)
    ranked = ranking.ranked
    enough, reason = verdict(ranked)
    seen = seen_until(case)
    behind = incident.now.timestamp() - seen
    if not seen:
        enough, reason = False, "no telemetry came in the minutes around the onset, so nothing can be compared"
    elif behind > case.end - case.onset - MARGIN_S:
        enough, reason = False, f"telemetry is {behind:.0f} s behind: nothing recorded since the onset can be seen yet"
    suspects = tuple(suspect(one) for one in ranked)
    if suspects and suspects[0].evidence and len(suspects[0].service) <= LONGEST_ASKED:
        began, end = case.onset, case.end
        served = reading.instances(telemetry, suspects[0].service, began - INSTANCE_BASELINE_S, began + MARGIN_S, end)
        suspects = (with_instance(suspects[0], odd_one(served)), *suspects[1:])
    if enough:
        reason = suspects[0].evidence[0].sentence
    return Diagnosis(
        onset=incident.onset,
        made_at=incident.now,
        suspects=suspects,
        abstained=not enough,
        reason=reason,
        engine_version=ENGINE_VERSION,
        notes=tuple(f"the evidence {name} failed: {why}" for name, why in ranking.failures.items()),
    )


def read_case(telemetry: Reader, incident: LiveIncident, metrics: frozenset[str] = frozenset()) -> Case:
    """Everything the engine needs of the window, read from the store; `metrics` are read beside those of resources."""
    onset, now = incident.onset, incident.now
    began = onset.timestamp() - MARGIN_S
    end = max(now.timestamp(), onset.timestamp() + 1.0)
    window = Window(start=utc(began - BASELINE_S), end=utc(end))
    recent = Window(start=utc(began - SHORT_BASELINE_S), end=utc(end))
    flows = reading.flows(telemetry, window)
    heartbeats = reading.heartbeats(telemetry, recent.start.timestamp(), end)
    owner, usual = reading.addresses(telemetry, recent.start.timestamp(), began)
    services = frozenset(map(str, flows.node)) | frozenset(map(str, heartbeats.node)) | frozenset(owner.values())
    links = reading.links(telemetry, window, owner, services)
    called = frozenset(zip(map(str, links.caller), map(str, links.callee), strict=True))
    candidates = services | frozenset(map(str, links.caller)) | separate_dependencies(links, services)
    name = f"live-{onset:%Y%m%dT%H%M%S}"
    served, made = (None, None) if len(flows.time) else reading.metered(telemetry, recent)
    spans, lines = read_traces(telemetry, recent.start.timestamp(), began, end)
    return Case(
        id=name,
        onset=began,
        end=end,
        candidates=tuple(sorted(candidates | {finding.service for finding in incident.findings})),
        # A caller that records no client spans is known by the spans that its callees serve for it.
        calls=called if spans is None else called | span_calls(spans),
        flows=flows,
        metered=served,
        metered_links=made,
        links=links,
        unanswered=reading.unanswered(telemetry, began, end, owner, usual, candidates),
        series=reading.series(telemetry, recent, metrics),
        heartbeats=heartbeats,
        logs=reading.log_lines(telemetry, recent.start.timestamp(), began, end),
        spans=spans,
        span_logs=lines,
        past=past_of(name, incident.findings, incident.past),
        limits=limits_of(incident.findings),
        alerts=tuple(sorted({finding.service for finding in incident.findings if finding.kind in ALARMS})),
        changes=tuple(change for change in incident.changes if change.at <= onset + AFTER_ONSET),
    )


def limits_of(findings: Sequence[Finding]) -> tuple[Limit, ...]:
    """What runs out, as detectors found: the most urgent of each service."""
    found = sorted(
        (one for one in findings if one.detector == LIMITS), key=lambda one: (one.severity == "page", one.score)
    )
    best = {one.service: one for one in found}
    return tuple(
        Limit(node=name, metric=one.signal, sentence=one.summary, urgent=one.severity == "page")
        for name, one in sorted(best.items())
    )


def with_instance(found: Suspect, odd: Odd | None) -> Suspect:
    """The suspect with the instance that differs from its others; its first evidence names it.

    A service whose other instances go on looks slow, or cut off, while one of them hangs: that one serves no more.
    """
    if odd is None:
        return found
    first = replace(found.evidence[0], sentence=f"{found.evidence[0].sentence}; {odd.sentence}")
    hangs = odd.gone and found.mechanism in ("latency", "network")
    return replace(
        found,
        instance=odd.instance,
        mechanism="hung" if hangs else found.mechanism,
        evidence=(first, *found.evidence[1:]),
    )


def seen_until(case: Case) -> float:
    """The newest moment of which anything is stored, Unix seconds: of requests to a bucket, of metrics to a second.

    0 where nothing is.
    """
    served = case.flows.time + case.flows.step if case.flows is not None else np.empty(0)
    heard = case.heartbeats.horizon if case.heartbeats is not None else 0.0
    return min(max(float(served.max(initial=0.0)), heard), case.end)


def verdict(ranked: Sequence[Ranked]) -> tuple[bool, str]:
    """Whether the first suspect is named as the cause, and if not, one sentence why."""
    if not ranked or not ranked[0].terms:
        return False, "no service shows any change around the onset: the cause is outside of what is observed"
    first = ranked[0]
    if first.probability < ENOUGH:
        rivals = ", ".join(one.candidate for one in ranked[1:3] if one.score > RIVAL * first.score)
        return False, (
            f"the evidence is thin: {first.candidate} leads with a chance of {first.probability:.0%}"
            + (f", close to {rivals}" if rivals else "")
        )
    return True, ""
