"""The simulated shop as a pack of recorded incidents: traces, logs and metrics in files, with labels."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from rca_shop import ONSET, Fault, Simulation

NS = 1_000_000_000
BEFORE_S, AFTER_S = 60.0, 25.0
KINDS = ("latency", "network", "errors", "killed", "hung", "cpu", "database", "shortcut")
SERVICES = ("catalogue", "cart", "orders", "payments", "inventory", "shipping")


def write_shop_pack(root: Path, seed: int) -> Path:
    """Two incidents of every kind of fault, in services that take turns."""
    cases, labels = [], []
    for number in range(2 * len(KINDS)):
        kind, service = KINDS[number % len(KINDS)], SERVICES[(number + number // len(KINDS)) % len(SERVICES)]
        name = f"shop-{number:02d}"
        shop = Simulation(Fault(kind, service), seed=seed + number).run(BEFORE_S, AFTER_S, rate=8.0)
        folder = root / "telemetry" / name
        folder.mkdir(parents=True)
        spans = {
            "timestamp": [int(span["at"] * NS) for span in shop.spans],
            "span_id": [span["id"] for span in shop.spans],
            "parent_span_id": [span["parent"] for span in shop.spans],
            "service": [span["service"] for span in shop.spans],
            "span_name": [span["name"] for span in shop.spans],
            "duration_ns": [int(span["duration"] * NS) for span in shop.spans],
            "status_code": ["ERROR" if span["error"] else "UNSET" for span in shop.spans],
        }
        logs = {
            "timestamp": [int(line["at"] * NS) for line in shop.logs],
            "service": [line["service"] for line in shop.logs],
            "severity": [line["severity"] for line in shop.logs],
            "body": [line["body"] for line in shop.logs],
            "span_id": [line["span"] for line in shop.logs],
        }
        metrics = {
            "timestamp": [int(sample["at"] * NS) for sample in shop.metrics],
            "service": [sample["service"] for sample in shop.metrics],
            "metric": [sample["metric"] for sample in shop.metrics],
            "value": [sample["value"] for sample in shop.metrics],
        }
        for stem, columns in (("traces", spans), ("logs", logs), ("metrics", metrics)):
            pq.write_table(pa.table(columns), folder / f"{stem}.parquet")
        cases.append(
            {
                "id": name, "system": "shop", "t_start": int((ONSET - BEFORE_S) * NS), "t_onset": int(ONSET * NS),
                "t_end": int((ONSET + AFTER_S) * NS), "signals": ["traces", "logs", "metrics"], "reference": [],
                "files": [f"telemetry/{name}/{stem}.parquet" for stem in ("traces", "logs", "metrics")],
            }
        )  # fmt: skip
        labels.append({"id": name, "root_cause": service, "kind": kind})
    (root / "cases.jsonl").write_text("".join(json.dumps(case) + "\n" for case in cases))
    (root / "labels.jsonl").write_text("".join(json.dumps(label) + "\n" for label in labels))
    return root
