"""What a simulated system's instrumentation recorded, in columns, and what was true meanwhile.

A recording holds no more than a store would: services appear under the names they report, operations under the names
that their SDK gives them, and what nobody instruments is seen by its callers alone. The truth stands beside it and is
for scoring only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from watchkeeper.vocabulary import ChangeEvent, Mechanism

STEP_S = 5  # seconds in a bucket of requests, calls, metrics and log lines
SHAPE_STEP_S = 30  # seconds in a bucket of latency quantiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened in a system: a fault, or a harmless change.

    Attributes:
        kind: its name in the catalogue of faults or of harmless changes.
        harmful: whether it is a fault.
        culprit: the service or dependency to name first, as telemetry names it; empty where there is none.
        also: other names that are as right: the host of a noisy neighbour, the far end of a partitioned path.
        mechanism: of a fault, as a diagnosis names it.
        begins_s, ends_s: seconds from the recording's start. A gradual fault begins when it can first be felt.
        pages: whether users feel it (requests at an entry point fail or take far longer), so somebody must be paged.
        felt_at_s: when users first feel it; None if they never do.
        limit_at_s: when a limit (memory, disk, pool, certificate) is reached, if nothing is done; None where none is.
        detail: one sentence on what was done.
    """

    kind: str
    harmful: bool
    culprit: str = ""
    also: tuple[str, ...] = ()
    mechanism: Mechanism = "unknown"
    begins_s: float = 0.0
    ends_s: float = 0.0
    pages: bool = False
    felt_at_s: float | None = None
    limit_at_s: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recording:
    """Telemetry of one simulated system.

    `bucket` columns are timestamps (s, UTC) of a bucket's start; a request counts in the bucket in which it ended.

    Attributes:
        start: Unix seconds, divides by SHAPE_STEP_S.
        seconds: how long it lasts.
        red: bucket (5 s), service, operation, calls, direct (server spans without a parent), errors (int64), mean_ms:
            server and consumer spans.
        latency: bucket (30 s), service, operation, calls, p50_ms, p90_ms, p95_ms, p99_ms.
        edges: bucket (5 s), caller, callee, source (`span`: both sides report; `peer`: the callee reports
            others, but did not answer these; `attribute`: the caller names the callee), calls, errors (int64),
            client_mean_ms, server_mean_ms (NaN where that side does not report).
        metrics: bucket (5 s; fewer points where a service exports less often), service, metric, attributes (sorted JSON
            text, `{}` for none), value, kind (`gauge`, `rate` of a counter a second, `mean` of a histogram).
        logs: bucket (5 s), service, severity (DEBUG, INFO, WARN, ERROR, FATAL), body, lines (int64).
        unanswered: bucket (5 s), caller, callee, calls (int64), waited_s, refused, timed_out: calls that got no reply.
        heartbeats: bucket (5 s), service: when any of a service's metrics was exported.
        resources: at (Unix seconds), service, instance, attribute, value: resource attributes whenever one changed,
            and all of them at the start.
        changes: changes that were announced.
        delays_s: by which each service's telemetry arrives later than 2 s after its bucket; absent where it does not.
        clocks_s: by which each service's clock is ahead; absent where it is right.
        events: the truth.
        entries: services that users touch.
        traits: of each service, its instrumentation's habits, for scoring by habit.
        size: how many services there are, reporting or not.
        entry_rate: requests a second at all entry points, mean over the recording.
    """

    start: int
    seconds: int
    red: pa.Table
    latency: pa.Table
    edges: pa.Table
    metrics: pa.Table
    logs: pa.Table
    unanswered: pa.Table
    heartbeats: pa.Table
    resources: pa.Table
    changes: tuple[ChangeEvent, ...] = ()
    delays_s: Mapping[str, float] = field(default_factory=dict)
    clocks_s: Mapping[str, float] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    entries: tuple[str, ...] = ()
    traits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    size: int = 0
    entry_rate: float = 0.0
