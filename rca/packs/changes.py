"""A pack's commits, deploys and log patterns as change events and log lines."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from rca.case import LogLines, text
from rca.log_templates import template
from watchkeeper.vocabulary import ChangeEvent

NS = 1_000_000_000
UNKNOWN = "unknown"


def read_changes(documents: Mapping[str, Any]) -> tuple[tuple[ChangeEvent, ...], tuple[str, ...]]:
    """Commits (with the deploy that brought each live) and flags; and what could not be read."""
    notes: list[str] = []
    deploys: dict[str, tuple[float, str]] = {}
    for row in documents.get("deploys") or []:
        try:
            deploys.setdefault(row["commit_sha"], (_at(row["timestamp"]).timestamp(), str(row["service"])))
        except (KeyError, TypeError, ValueError) as error:
            notes.append(f"deploys: a row is left out: {error!r}")
    changes: list[ChangeEvent] = []
    for row in documents.get("commits") or []:
        try:
            live = deploys.get(row["sha"])
            attributes = {"diff": str(row.get("diff") or "")} | ({"live_at": repr(live[0])} if live else {})
            changes.append(
                ChangeEvent(
                    id=str(row["sha"]),
                    at=_at(row["timestamp"]),
                    kind="commit",
                    service=live[1] if live else UNKNOWN,
                    title=str(row.get("message") or "no message"),
                    author=str(row.get("author") or ""),
                    files=tuple(map(str, row.get("files_changed") or ())),
                    attributes=attributes,
                )
            )
        except (KeyError, TypeError, ValueError) as error:
            notes.append(f"commits: a row is left out: {error!r}")
    for row in documents.get("flags") or []:
        try:
            title = f"{row['flag']} {row.get('change', '')}".strip()
            at = _at(row["timestamp"])
            changes.append(
                ChangeEvent(
                    id=f"flag {title}", at=at, kind="flag", service=str(row.get("service") or UNKNOWN), title=title
                )
            )
        except (KeyError, TypeError, ValueError) as error:
            notes.append(f"flags: a row is left out: {error!r}")
    return tuple(changes), tuple(notes)


def _at(value: str) -> datetime:
    at = datetime.fromisoformat(value)
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def read_log_lines(logs: pa.Table | None, patterns: Any, start: float, onset: float, end: float) -> LogLines | None:
    """Lines by node, severity and template around the onset, and the source's own patterns beside them."""
    counted: dict[tuple[str, str, str], list[float]] = {}
    samples: dict[tuple[str, str, str], str] = {}
    if logs is not None:
        for at, node, severity, body in zip(
            logs.column("timestamp").to_pylist(),
            logs.column("service").to_pylist(),
            logs.column("severity").to_pylist(),
            logs.column("body").to_pylist(),
            strict=True,
        ):
            key = (str(node), str(severity or ""), template(str(body or "")))
            counted.setdefault(key, [0.0, 0.0])[int(at / NS >= onset)] += 1.0
            samples[key] = str(body or "")
    before_s, after_s = max(onset - start, 1.0), max(end - onset, 1.0)
    rows = [(key, early / before_s, late, samples[key]) for key, (early, late) in counted.items()]
    for row in patterns if isinstance(patterns, list) else []:
        count = float(row.get("count") or 0.0)
        grown = float(row.get("delta_vs_baseline") or 0.0)
        severity = "ERROR" if row.get("sentiment") == "negative" else "INFO"
        signature = str(row.get("signature") or "")
        key = (str(row.get("service") or ""), severity, signature)
        rows.append((key, max(count - grown, 0.0) / after_s, count, signature))
    if not rows:
        return None
    return LogLines(
        node=text([key[0] for key, *_ in rows]),
        severity=text([key[1] for key, *_ in rows]),
        template=text([key[2] for key, *_ in rows]),
        before=np.array([before for _, before, _, _ in rows], dtype=np.float64),
        after=np.array([after for _, _, after, _ in rows], dtype=np.float64),
        sample=text([sample for *_, sample in rows]),
    )
