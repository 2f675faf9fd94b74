"""Deploys that nobody announced: another version, image or commit in what a service sends about itself.

What runs is named by resource attributes (`service.version`, `container.image.tags`, `vcs.*`, a ReplicaSet's name). A
value that a service never had is a deploy, as soon as one instance has it: a canary counts. If all its processes were
replaced and the version stayed, the service was restarted. More instances of the same version are nothing. Services
that run several versions side by side are known by all of them. A deploy that was announced isn't recorded again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Protocol

import pyarrow as pa

from watchkeeper.names import storable
from watchkeeper.store.release_queries import RELEASES
from watchkeeper.vocabulary import ChangeEvent, content_key, utc

SOURCE: Final = "telemetry"
# Looks overlap, for telemetry that comes late; the first one goes further back, for what happened meanwhile.
OVERLAP_S: Final = 20.0
FIRST_LOOK_S: Final = 300.0
LONGEST_LOOK_S: Final = 600.0
# Versions that run side by side are seen within so long, from the first one on.
LEARNING_S: Final = 120.0
# A value that was gone for so long is new when it comes back: a rollback.
GONE_S: Final = 300.0
# One roll-out changes several attributes, which come by several signals, and replaces processes one by one.
ROLLOUT_S: Final = 300.0
SILENT_S: Final = 60.0  # a process that sent nothing for so long, while others of its service did, has ended
FORGOTTEN_S: Final = 3600.0
MOST_VALUES: Final = 20  # an attribute with more at a time names something else than a version
# The first that changed is the one that a human knows the release by.
BY_MEANING: Final = (
    "service.version",
    "app.version",
    "faas.version",
    "container.image.tag",
    "vcs.",
    "git.",
    "deployment.",
)


class Reader(Protocol):
    """The part of the store's `Telemetry` that this needs."""

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A process of a service sent this value of an attribute from `first` to `last`, Unix seconds.

    The attribute is empty where the process itself is meant.
    """

    service: str
    process: str
    attribute: str
    value: str
    first: float
    last: float


class _Change(NamedTuple):
    at: float
    attribute: str
    old: str
    new: str


@dataclass(slots=True)
class _Period:
    first: float
    last: float
    processes: set[str] = field(default_factory=set)


class Releases:
    """What each service ran, and what changed since the last look."""

    def __init__(self) -> None:
        self._values: defaultdict[tuple[str, str], dict[str, _Period]] = defaultdict(dict)
        self._processes: defaultdict[str, dict[str, _Period]] = defaultdict(dict)
        self._since: dict[tuple[str, str], float] = {}
        self._deployed: dict[str, tuple[float, dict[str, str]]] = {}  # service → when last, and what was before
        self._restarted: dict[str, float] = {}
        self._looked: float | None = None

    def look(self, reader: Reader, now: float, announced: Sequence[ChangeEvent]) -> list[ChangeEvent]:
        """What changed since the last look, by the telemetry store.

        Args:
            reader: the store.
            now: Unix seconds.
            announced: the change events that are known, of the last hour at least.

        Raises:
            StoreError: the store cannot answer; the next look covers this one's time.
        """
        start = now - FIRST_LOOK_S if self._looked is None else max(self._looked - OVERLAP_S, now - LONGEST_LOOK_S)
        window = {"start": datetime.fromtimestamp(start, UTC), "end": datetime.fromtimestamp(now, UTC)}
        rows = reader.query(RELEASES, window).to_pylist()
        self._looked = now
        return self.observe([Seen(**row) for row in rows], now, announced)

    def observe(self, rows: Iterable[Seen], now: float, announced: Sequence[ChangeEvent] = ()) -> list[ChangeEvent]:
        """What changed by `rows`, which are of the time since the last call."""
        new: defaultdict[str, list[_Change]] = defaultdict(list)
        for row in sorted(rows, key=lambda row: (row.first, row.service, row.attribute, row.value, row.process)):
            if not row.attribute:
                if row.process:
                    _extend(self._processes[row.service], row.process, row)
                continue
            known = self._values[row.service, row.attribute]
            since = self._since.setdefault((row.service, row.attribute), row.first)
            period, others = known.get(row.value), {v: p for v, p in known.items() if v != row.value}
            is_back = period is not None and row.first - period.last > GONE_S
            if others and (period is None or is_back) and row.first - since > LEARNING_S:
                old = max(others, key=lambda value: (others[value].last, value))
                new[row.service].append(_Change(row.first, row.attribute, old, row.value))
            if is_back:
                del known[row.value]
            _extend(known, row.value, row)
        events = [self._deploy(service, changes, announced) for service, changes in sorted(new.items())]
        events += [self._restart(service, announced) for service in sorted(self._processes)]
        self._forget(now)
        return [event for event in events if event is not None]

    def _deploy(self, service: str, changes: Sequence[_Change], announced: Sequence[ChangeEvent]) -> ChangeEvent | None:
        changes = [change for change in changes if len(self._values[service, change.attribute]) <= MOST_VALUES]
        if not changes:
            return None
        at = min(change.at for change in changes)
        last, replaced = self._deployed.get(service, (-FORGOTTEN_S, {}))
        is_same_rollout = at - last < ROLLOUT_S and not any(change.attribute in replaced for change in changes)
        is_rollback = any(replaced.get(change.attribute) == change.new for change in changes)
        olds = {change.attribute: change.old for change in changes}
        self._deployed[service] = (last, replaced | olds) if is_same_rollout else (at, olds)
        if is_same_rollout or _is_announced(service, at, announced):
            return None
        shown = min(changes, key=lambda change: (_meaning(change.attribute), change.at, change.attribute))
        return ChangeEvent(
            id=content_key(SOURCE, service, shown.attribute, shown.old, shown.new, str(int(at))),
            at=utc(at),
            kind="deploy",
            service=storable(service),
            title=storable(f"{shown.attribute} {_plain(shown.old)} → {_plain(shown.new)}{self._share(service, shown)}"),
            version=storable(_plain(shown.new)),
            attributes={"source": SOURCE}
            | {change.attribute: storable(f"{_plain(change.old)} → {_plain(change.new)}") for change in changes}
            | ({"rollback": "true"} if is_rollback else {}),
        )

    def _share(self, service: str, change: _Change) -> str:
        """`, in 1 of 4 instances`, where others still run what was there before."""
        running = {name for name, period in self._processes[service].items() if period.last >= change.at}
        with_it = self._values[service, change.attribute][change.new].processes & running
        return f", in {len(with_it)} of {len(running)} instances" if 0 < len(with_it) < len(running) else ""

    def _restart(self, service: str, announced: Sequence[ChangeEvent]) -> ChangeEvent | None:
        """All processes of a service have begun after those that were there before: they were replaced."""
        processes = self._processes[service].values()
        newest = max(period.last for period in processes)
        running = [period for period in processes if period.last >= newest - SILENT_S]
        ended = [period for period in processes if newest - LONGEST_LOOK_S <= period.last < newest - SILENT_S]
        at = min(period.first for period in running)
        if not ended or at - max(period.first for period in ended) < LEARNING_S:
            return None
        before, self._restarted[service] = self._restarted.get(service, -FORGOTTEN_S), at
        deployed, _ = self._deployed.get(service, (-FORGOTTEN_S, {}))
        if at - before < ROLLOUT_S or abs(at - deployed) < ROLLOUT_S or _is_announced(service, at, announced):
            return None
        return ChangeEvent(
            id=content_key(SOURCE, service, "restart", str(int(at))),
            at=utc(at),
            kind="restart",
            service=storable(service),
            title=f"restarted {'its instance' if len(running) == 1 else f'all {len(running)} instances'}, same version",
            attributes={"source": SOURCE},
        )

    def _forget(self, now: float) -> None:
        """Values and processes of long ago; of each attribute the newest value stays."""
        for key, known in list(self._values.items()):
            newest = max((period.last for period in known.values()), default=0.0)
            self._values[key] = {v: p for v, p in known.items() if p.last >= min(now - FORGOTTEN_S, newest)}
        self._processes = defaultdict(
            dict,
            {
                service: kept
                for service, known in self._processes.items()
                if (kept := {name: p for name, p in known.items() if p.last >= now - FORGOTTEN_S})
            },
        )


def _extend(known: dict[str, _Period], value: str, row: Seen) -> None:
    period = known.setdefault(value, _Period(first=row.first, last=row.last))
    period.first, period.last = min(period.first, row.first), max(period.last, row.last)
    if row.process:
        period.processes.add(row.process)


def _plain(value: str) -> str:
    """A value without the brackets of a list."""
    return value.strip('[]"') or value


def _meaning(attribute: str) -> int:
    return next((rank for rank, prefix in enumerate(BY_MEANING) if attribute.startswith(prefix)), len(BY_MEANING))


def _is_announced(service: str, at: float, announced: Sequence[ChangeEvent]) -> bool:
    """Whether a deploy that was announced explains this: it precedes the first telemetry of the new version."""
    return any(
        change.kind == "deploy"
        and change.service == storable(service)
        and change.attributes.get("source") != SOURCE
        and -ROLLOUT_S / 5 <= at - change.at.timestamp() <= ROLLOUT_S
        for change in announced
    )
