"""The labels of a pack: which candidate caused each case. Read to train and to score, never to rank."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rca.packs.reader import Header
from watchkeeper.errors import DiagnosisError

FILE: Final = "labels.jsonl"


def read_labels(root: Path) -> dict[str, Mapping[str, Any]]:
    """The rows of a pack's labels by case.

    Raises:
        DiagnosisError: there is no such file, or a line of it is no label.
    """
    path = root / FILE
    if not path.is_file():
        raise DiagnosisError(f"{root} has no labels: it holds no {FILE}")
    labels: dict[str, Mapping[str, Any]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line) if line.strip() else None
        except ValueError as error:
            raise DiagnosisError(f"{path}:{number}: not JSON: {error}") from error
        if row is None:
            continue
        if not isinstance(row, dict) or not isinstance(row.get("id"), str):
            raise DiagnosisError(f"{path}:{number}: a label must be an object with a string 'id'")
        labels[row["id"]] = row
    return labels


def cause_of(label: Mapping[str, Any] | None, header: Header, *, commit: bool) -> str | None:
    """The candidate at fault: a commit, else an instance where the case names its instances, else a service."""
    name = "commit" if commit else "instance" if header.instances else "root_cause"
    value = (label or {}).get(name)
    if isinstance(value, list):  # equally acceptable: the first stands for all
        value = value[0] if value else None
    return value if isinstance(value, str) else None
