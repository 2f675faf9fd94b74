"""OpenSLO v1 files to objectives: SLO documents, with their SLI inline or by name, in the same file or another one.

A ratio metric names its events by a metric source of the type `watchkeeper`:

    good (or bad) and total:
      metricSource: {type: watchkeeper, spec: {service: checkout, operation: "POST /orders", signal: calls}}

`signal` is `calls` (all), `successes` or `errors`; the operation may be left out. Everything that a file asks for and
that this reader cannot do is an error which names it: a silently ignored objective would be believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from detectors.slo.openslo_documents import SliDocument, SloDocument, WatchkeeperEvents, follows, plain
from watchkeeper.errors import ConfigError
from watchkeeper.text import one_line
from watchkeeper.vocabulary import Window
from watchkeeper.yaml_file import Document, Location, read_documents

KINDS: Final[Mapping[str, type[SloDocument | SliDocument]]] = {"SLO": SloDocument, "SLI": SliDocument}
DESCRIPTIONS: Final = ("Service", "DataSource")  # they name things, and ask for nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """One objective: the share of good events that is promised over a rolling window."""

    name: str
    title: str
    service: str
    operation: str
    target: float
    window_s: int

    def __post_init__(self) -> None:
        if not 0.0 < self.target < 1.0:
            raise ValueError(f"the target of {self.name} must be above 0 and below 1, not {self.target!r}")


def burned(slo: Slo, served: Callable[[str, str, Window], Any], window: Window) -> tuple[int, float | None]:
    """Requests within a window, and how fast they burned the error budget: 1 uses it up exactly. None: no request.

    `served` is the store's: columns `total` and `bad`, a row a minute.
    """
    table = served(slo.service, slo.operation, window)
    total, bad = (float(sum(table[column].to_pylist())) for column in ("total", "bad"))
    return int(total), bad / total / (1 - slo.target) if total else None


class _Mistakes:
    """What is wrong in the files so far; reported all at once."""

    def __init__(self) -> None:
        self._found: list[tuple[str, int, str]] = []

    def add(self, document: Document, where: Location, what: str) -> None:
        key = ".".join(str(part) for part in where) or "document"
        line = document.line(where)
        self._found.append((str(document.path), line, f"{document.path}:{line}: {key}: {what}"))

    def add_file(self, path: Path, what: str) -> None:
        self._found.append((str(path), 0, what))

    def raise_if_any(self) -> None:
        if self._found:
            raise ConfigError("\n".join(text for *_, text in sorted(self._found)))


def read(paths: Iterable[Path]) -> tuple[Slo, ...]:
    """Every objective of every file.

    Raises:
        ConfigError: a file cannot be read, or says what this reader cannot do; one line a mistake: file, line, key.
    """
    mistakes = _Mistakes()
    documents_read: list[tuple[Document, SloDocument | SliDocument]] = []
    for path in paths:
        try:
            documents = read_documents(path)
        except ConfigError as error:
            mistakes.add_file(path, error.message)
            continue
        if not documents:
            mistakes.add_file(path, f"{path}:1: document: is empty: write an SLO, or take the file out of `slo:`")
        for document in documents:
            parsed = _parse(document, mistakes)
            if parsed is not None:
                documents_read.append((document, parsed))
    slis = {one.metadata.name: one.spec.events() for _, one in documents_read if isinstance(one, SliDocument)}
    objectives: dict[str, tuple[Slo, Document]] = {}
    for document, one in documents_read:
        if isinstance(one, SloDocument):
            for slo in _objectives(document, one, slis, mistakes):
                if slo.name in objectives:
                    other = objectives[slo.name][1]
                    words = (
                        f"{slo.name!r} is the name of an objective in {other.path}:{other.line()} already: rename one"
                    )
                    mistakes.add(document, ("metadata", "name"), words)
                objectives.setdefault(slo.name, (slo, document))
    mistakes.raise_if_any()
    return tuple(slo for slo, _ in objectives.values())


def _parse(document: Document, mistakes: _Mistakes) -> SloDocument | SliDocument | None:
    """One document; None where it asks for nothing, or is wrong."""
    data = document.data
    if not isinstance(data, dict) or data.get("apiVersion") != "openslo/v1":
        mistakes.add(document, ("apiVersion",), "every document needs `apiVersion: openslo/v1`")
        return None
    kind = data.get("kind")
    if kind in DESCRIPTIONS:
        return None
    model = KINDS.get(kind) if isinstance(kind, str) else None
    if model is None:
        mistakes.add(document, ("kind",), f"{one_line(kind)!r} is not supported; there are SLO, SLI and Service")
        return None
    try:
        parsed: SloDocument | SliDocument = model.model_validate(data)
    except ValidationError as error:
        errors = error.errors()
        for each in errors:
            if not follows(each, errors):
                mistakes.add(document, each["loc"], plain(each))
        return None
    return parsed


def _objectives(
    document: Document, one: SloDocument, slis: Mapping[str, WatchkeeperEvents], mistakes: _Mistakes
) -> list[Slo]:
    spec, name = one.spec, one.metadata.name
    events = spec.indicator.spec.events() if spec.indicator else slis.get(spec.indicatorRef or "")
    if events is None:
        mistakes.add(document, ("spec", "indicatorRef"), f"no SLI {spec.indicatorRef!r} in the files that `slo:` names")
        return []
    several = len(spec.objectives) > 1
    return [
        Slo(
            name=f"{name}:{number}" if several else name,
            title=one_line(one.metadata.displayName or name, 120),
            service=events.service,
            operation=events.operation,
            target=objective.share(),
            window_s=spec.timeWindow[0].seconds(),
        )
        for number, objective in enumerate(spec.objectives)
    ]
