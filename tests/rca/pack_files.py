"""A small pack of recorded incidents, one of them as it should be."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

NS = 1_000_000_000


def metrics(path: Path, broken: str, *, offset: float = 0.0, nan: bool = False) -> None:
    """Ten minutes of latency and requests of two services; `broken` gets slow after five."""
    rows = []
    for minute in range(10):
        at = int((1_700_000_000 + offset + 60 * minute) * NS)
        for service in ("front", "back"):
            slow = 1.0 if service == broken and minute >= 5 else 0.0
            rows.append((at, service, "latency_average", float("nan") if nan and minute == 0 else 0.1 + slow))
            rows.append((at, service, "requests_sum", 100.0))
    columns = dict(zip(("timestamp", "service", "metric", "value"), map(list, zip(*rows, strict=True)), strict=True))
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def case(name: str, **columns: object) -> dict[str, object]:
    return {
        "id": name, "system": "two", "t_start": 1_700_000_000 * NS, "t_end": 1_700_000_600 * NS,
        "t_onset": 1_700_000_300 * NS, "signals": ["metrics"], "files": [f"telemetry/{name}/metrics.parquet"],
        "reference": [], **columns,
    }  # fmt: skip


def write_pack(root: Path) -> Path:
    """Five cases of one system: `good`, `nan`, `skewed`, `missing` and `odd`; and a line that is no case."""
    metrics(root / "telemetry/good/metrics.parquet", "back")
    metrics(root / "telemetry/nan/metrics.parquet", "back", nan=True)
    metrics(root / "telemetry/skewed/metrics.parquet", "back", offset=86400)
    cases = [case("good"), case("nan"), case("skewed"), case("missing"), case("odd", signals=["smells"])]
    cases[4]["files"] = cases[0]["files"]
    lines = [*map(json.dumps, cases), "not json"]
    (root / "cases.jsonl").write_text("\n".join(lines))
    (root / "edges.csv").write_text("system,source,target\ntwo,front,back\n")
    return root
