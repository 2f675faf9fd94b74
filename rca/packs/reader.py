"""Read a pack of recorded incidents in the documented format: cases, and each case's tables.

What is wrong with one case (a missing file, an unknown signal, NaN, an empty window, a clock that is off)
becomes a note on that case and not an end: the rest of its telemetry, and the rest of the pack, goes on.
Labels are never read here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from watchkeeper.errors import DiagnosisError

T = TypeVar("T")
NS = 1_000_000_000
SIGNALS = frozenset({"metrics", "traces", "logs", "changes", "metric_events", "log_events", "trace_events"})
# Columns of few distinct words: read as codes, which is what the engine groups by.
WORDS = frozenset({"service", "peer", "metric", "severity", "span_name"})
# File stem → the columns without which it cannot be used.
COLUMNS: Mapping[str, frozenset[str]] = {
    "metrics": frozenset({"timestamp", "service", "metric", "value"}),
    "edge_metrics": frozenset({"timestamp", "service", "peer", "metric", "value"}),
    "traces": frozenset({"timestamp", "span_id", "parent_span_id", "service", "span_name", "duration_ns"}),
    "logs": frozenset({"timestamp", "service", "severity", "body"}),
    "events": frozenset({"id", "signal", "instance", "service", "name"}),
    "edges": frozenset({"id", "source", "target"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """One line of cases.jsonl. Times are Unix seconds, None where the source gives none."""

    id: str
    system: str
    start: float | None
    end: float | None
    onset: float | None
    signals: tuple[str, ...]
    files: tuple[str, ...]
    reference: tuple[str, ...]
    alert: Mapping[str, Any]
    instances: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The files of one case: Arrow tables by file stem, JSON documents by file stem, and what was wrong."""

    header: Header
    own: Mapping[str, pa.Table] = field(default_factory=dict)
    reference: Mapping[str, pa.Table] = field(default_factory=dict)
    documents: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Pack:
    """A directory of cases. Shared files (references, events of a system) are read once and kept."""

    def __init__(self, root: Path) -> None:
        self.root = root
        pa.scalar("")  # pyarrow's first conversion imports pandas for a second: the pack's time, not the first case's
        if not (root / "cases.jsonl").is_file():
            raise DiagnosisError(f"{root} is no pack: it holds no cases.jsonl")
        self.problems: list[str] = []
        self.headers = tuple(self._headers())
        self._shared: dict[str, pa.Table | str] = {}
        self._split: dict[tuple[str, str], dict[str, pa.Table]] = {}
        self._made: dict[tuple[Any, ...], Any] = {}
        self._calls = self._read_calls()

    def _headers(self) -> list[Header]:
        headers, seen = [], set()
        for number, line in enumerate((self.root / "cases.jsonl").read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip():
                continue
            try:
                header = parse_header(json.loads(line))
            except (ValueError, TypeError, KeyError) as error:
                self.problems.append(f"cases.jsonl:{number}: not a case: {error}")
                continue
            if header.id in seen:
                self.problems.append(f"cases.jsonl:{number}: id {header.id!r} appears twice; the first counts")
                continue
            seen.add(header.id)
            headers.append(header)
        return headers

    def _read_calls(self) -> dict[str, frozenset[tuple[str, str]]]:
        path = self.root / "edges.csv"
        if not path.is_file():
            return {}
        calls: dict[str, set[tuple[str, str]]] = {}
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()[1:], 2):
            cells = line.split(",")
            if len(cells) != 3:
                self.problems.append(f"edges.csv:{number}: expected system,source,target")
                continue
            calls.setdefault(cells[0], set()).add((cells[1], cells[2]))
        return {system: frozenset(pairs) for system, pairs in calls.items()}

    def calls(self, system: str) -> frozenset[tuple[str, str]]:
        """Who calls whom in `system` (or in what it is a variant of: `name` of `name/variant`)."""
        return self._calls.get(system) or self._calls.get(system.split("/")[0]) or frozenset()

    def tables(self, header: Header) -> Tables:
        """Everything that is recorded of one case."""
        notes = [f"unknown signal {signal!r} is left out" for signal in header.signals if signal not in SIGNALS]
        own, documents = {}, {}
        for name in header.files:
            stem, suffix = Path(name).stem, Path(name).suffix
            if suffix == ".json":
                documents[stem] = self._document(name, notes)
            elif (table := self._table(name, header.id, notes)) is not None:
                own[stem] = table
        reference: dict[str, list[pa.Table]] = {}
        for name in header.reference:
            if (table := self._table(name, header.id, notes)) is not None:
                reference.setdefault(Path(name).stem, []).append(table)
        joined = {stem: pa.concat_tables(tables, promote_options="default") for stem, tables in reference.items()}
        own = {stem: _cleaned(stem, table, notes) for stem, table in own.items()}
        notes += _window_notes(header, own)
        return Tables(header=header, own=own, reference=joined, documents=documents, notes=tuple(notes))

    def _document(self, name: str, notes: list[str]) -> Any:
        try:
            return json.loads((self.root / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            notes.append(f"{name} is missing")
        except (ValueError, OSError) as error:
            notes.append(f"{name} cannot be read: {error}")
        return []

    def _table(self, name: str, case: str, notes: list[str]) -> pa.Table | None:
        if name not in self._shared:
            self._shared[name] = self._load(name)
        found = self._shared[name]
        if isinstance(found, str):
            notes.append(found)
            return None
        if "id" not in found.column_names:
            if not name.startswith("reference"):
                del self._shared[name]  # a case's own file is read once
            return found
        return self._by_case(name, found).get(case, found.slice(0, 0))

    def _by_case(self, name: str, table: pa.Table) -> dict[str, pa.Table]:
        key = (name, "id")
        if key not in self._split:
            ids = table.column("id").to_pylist()
            rows: dict[str, list[int]] = {}
            for row, case in enumerate(ids):
                rows.setdefault(case, []).append(row)
            self._split[key] = {case: table.take(numbers) for case, numbers in rows.items()}
        return self._split[key]

    def shared_table(self, name: str) -> pa.Table | None:
        """A shared file with the rows of all cases, such as the events of every incident of a system."""
        if name not in self._shared:
            self._shared[name] = self._load(name)
        found = self._shared[name]
        return None if isinstance(found, str) else found

    def remembered(self, names: tuple[str, ...], make: Callable[[], T]) -> T:
        """What `make` makes of the files `names`, which several cases share: made once."""
        if names not in self._made:
            self._made[names] = make()
        return self._made[names]  # type: ignore[no-any-return]

    def _load(self, name: str) -> pa.Table | str:
        path = self.root / name
        stem = Path(name).stem
        if path.suffix != ".parquet" or stem not in COLUMNS:
            return f"{name} is of no known kind and is left out"
        try:
            # Not `read_table`: that imports pandas, which takes longer than most packs.
            fields = pq.read_schema(path)
            words = [field.name for field in fields if field.name in WORDS and pa.types.is_string(field.type)]
            table = pq.ParquetFile(path, read_dictionary=words).read()
        except FileNotFoundError:
            return f"{name} is missing"
        except (pa.ArrowInvalid, OSError) as error:
            return f"{name} cannot be read: {str(error).splitlines()[0]}"
        missing = COLUMNS[stem] - set(table.column_names)
        return f"{name} lacks the columns {', '.join(sorted(missing))}" if missing else table


def parse_header(row: Any) -> Header:
    """One parsed line as a Header. Raises ValueError or TypeError with the reason."""
    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
        raise TypeError("expected an object with a string 'id'")
    return Header(
        id=row["id"],
        system=str(row.get("system") or "unknown"),
        start=_seconds(row.get("t_start")),
        end=_seconds(row.get("t_end")),
        onset=_seconds(row.get("t_onset")),
        signals=_names(row.get("signals")),
        files=_names(row.get("files")),
        reference=_names(row.get("reference")),
        alert=row.get("alert") or {},
        instances=_names(row.get("instances")),
    )


def _seconds(value: Any) -> float | None:
    return None if value is None else int(value) / NS


def _names(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise TypeError(f"expected a list, not {value!r}")
    return tuple(map(str, value))


def _cleaned(stem: str, table: pa.Table, notes: list[str]) -> pa.Table:
    """Rows that can be used; what was dropped becomes a note."""
    if "value" in table.column_names and len(table):
        value = table.column("value").cast(pa.float64())
        usable = pc.and_(pc.is_valid(value), pc.is_finite(pc.fill_null(value, 0.0)))
        dropped = len(table) - int(pc.sum(usable).as_py() or 0)
        if dropped:
            notes.append(f"{stem}: {dropped} of {len(table)} samples are NaN or infinite and are left out")
            table = table.filter(usable)
    return table


def _window_notes(header: Header, own: Mapping[str, pa.Table]) -> list[str]:
    notes = []
    if header.start is not None and header.end is not None and header.end <= header.start:
        notes.append(f"the window is empty: it ends at {header.end:.0f}, before it starts at {header.start:.0f}")
    if own and all(len(table) == 0 for table in own.values()):
        notes.append("the window holds no telemetry at all")
    for stem, table in own.items():
        if "timestamp" not in table.column_names:
            continue
        if len(table) == 0:
            notes.append(f"{stem} has no rows in the window")
            continue
        if header.start is None or header.end is None:
            continue
        first, last = (pc.min_max(table.column("timestamp")).as_py()[name] / NS for name in ("min", "max"))
        if last < header.start or first > header.end:
            off = (first - header.start) if first > header.end else (last - header.end)
            notes.append(
                f"{stem}: every row is outside the window, by {off:.0f} s: its clock is off, or its file wrong"
            )
    return notes
