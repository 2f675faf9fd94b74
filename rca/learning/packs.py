"""Judged cases from labelled packs, for `watchkeeper rca train` and the benchmarks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rca.engine import Engine
from rca.learning.judged import JudgedCase, judged_case
from rca.packs.case import pack_case
from rca.packs.labels import cause_of, read_labels
from rca.packs.reader import Pack


def judged_packs(root: Path, engine: Engine, *, commit: bool = False) -> Iterator[JudgedCase]:
    """Every case of a pack that has a label.

    Raises:
        DiagnosisError: it is no pack, or has no labels.
    """
    pack, labels = Pack(root), read_labels(root)
    for header in pack.headers:
        cause = cause_of(labels.get(header.id), header, commit=commit)
        if cause is not None:
            case = pack_case(pack, pack.tables(header))
            yield judged_case(case, engine, root.name, cause, "commit" if commit else "node")
