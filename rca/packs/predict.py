"""Rank the suspects of recorded cases: one case, or a pack on several processes, always with the same answer."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from rca.engine import Engine, Ranked
from rca.packs.case import node_services, pack_case
from rca.packs.reader import Header, Pack
from rca.registry import read_engine
from watchkeeper.errors import DiagnosisError

TOGETHER = 40  # cases that one process ranks in a row, with the files that they share read once
Field = Literal["service", "instance", "commit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The ranking of one case, with notes on its data; `failed` is the reason where there is no ranking."""

    id: str
    ranking: tuple[str, ...] = ()
    probability: float = 0.0
    mechanism: str = "unknown"
    notes: tuple[str, ...] = ()
    failed: str = ""
    seconds: float = 0.0
    ranked: tuple[Ranked, ...] = field(default=(), repr=False)


def predict(pack: Pack, header: Header, what: Field, engine: Engine) -> Prediction:
    """Rank one case. Whatever is wrong with its files becomes a note, or the reason why it failed."""
    began = time.perf_counter()
    tables = pack.tables(header)
    failed = ""
    ranked: tuple[Ranked, ...] = ()
    notes = tables.notes
    try:
        case = pack_case(pack, tables)
        notes = case.notes
        ranking = engine.rank_commits(case) if what == "commit" else engine.rank(case)
        ranked = ranking.ranked
        notes += tuple(f"the evidence {name} failed: {reason}" for name, reason in ranking.failures.items())
    except DiagnosisError as error:
        failed = error.message
    if not ranked:
        missing = "it names no commits" if what == "commit" else "its telemetry names nobody"
        failed = failed or f"there is nothing to rank: {missing}"
        return Prediction(id=header.id, notes=notes, failed=failed, seconds=time.perf_counter() - began)
    names = [one.candidate for one in ranked]
    if what == "service":
        services = node_services(tables)
        names = [services.get(name, name) for name in names]
    return Prediction(
        id=header.id,
        ranking=tuple(dict.fromkeys(names)),
        probability=ranked[0].probability,
        mechanism=ranked[0].mechanism,
        notes=notes,
        seconds=time.perf_counter() - began,
        ranked=ranked,
    )


_opened: tuple[Pack, Engine] | None = None


def _open(root: str, weights: Mapping[str, float] | None) -> None:
    global _opened
    _opened = Pack(Path(root)), read_engine(weights)


def _chunk(ids: list[str], what: Field) -> list[Prediction]:
    assert _opened is not None  # noqa: S101 - the initializer opened it
    pack, engine = _opened
    by_id = {header.id: header for header in pack.headers}
    # The terms stay here: only what is written crosses to the other process.
    return [replace(predict(pack, by_id[case], what, engine), ranked=()) for case in ids]


def predict_all(root: Path, what: Field, jobs: int, weights: Mapping[str, float] | None = None) -> Iterator[Prediction]:
    """Every case of the pack, in no particular order; cases that share files go to one process together."""
    pack = Pack(root)
    shared: dict[tuple[str, ...], list[str]] = {}
    for header in pack.headers:
        shared.setdefault(header.reference or header.files, []).append(header.id)
    chunks = [ids[n : n + TOGETHER] for ids in shared.values() for n in range(0, len(ids), TOGETHER)]
    if jobs <= 1 or len(chunks) == 1:
        engine = read_engine(weights)
        for header in pack.headers:
            yield predict(pack, header, what, engine)
        return
    with ProcessPoolExecutor(max_workers=jobs, initializer=_open, initargs=(str(root), weights)) as pool:
        for done in as_completed([pool.submit(_chunk, ids, what) for ids in chunks]):
            yield from done.result()
