"""A runbook: when it fits, which steps it takes, what it may touch. One YAML file each, validated on reading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from runbooks.document import read_as
from runbooks.registry import step_registry, steps
from watchkeeper.errors import RunbookError
from watchkeeper.vocabulary import Mechanism

BUILT_IN = Path(__file__).with_name("books")


class _File(BaseModel):
    """The YAML file's keys."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, Field(pattern="^[a-z0-9-]+$")]
    title: str
    why: str
    mechanisms: tuple[Mechanism, ...]
    after_change: Literal["required", "any"] = "any"
    steps: Annotated[tuple[str, ...], Field(min_length=1)]
    blast_radius: str
    undo: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Runbook:
    """Ordered steps (names of registered steps) against one service.

    `mechanisms` are the diagnoses it is for; with `after_change` it is only for a suspect that was changed
    shortly before the onset. Texts may hold `{service}`.
    """

    id: str
    title: str
    why: str
    mechanisms: tuple[Mechanism, ...]
    after_change: bool
    steps: tuple[str, ...]
    blast_radius: str
    undo: str


def read_runbook(path: Path) -> Runbook:
    """One file.

    Raises:
        RunbookError: names the file, the key and what is wrong with it.
    """
    file, document = read_as(_File, path)
    for number, step in enumerate(file.steps):
        if step not in steps():
            reasons = [f" can be loaded ({part.reason})" for part in step_registry().broken if part.name == step]
            where = document.where(("steps", number))
            raise RunbookError(f"{where}: no step {step!r}{''.join(reasons)}; there are {', '.join(steps())}")
    return Runbook(
        id=file.id,
        title=file.title,
        why=file.why,
        mechanisms=file.mechanisms,
        after_change=file.after_change == "required",
        steps=file.steps,
        blast_radius=file.blast_radius,
        undo=file.undo,
    )


def read_runbooks(folder: Path | None = None) -> Mapping[str, Runbook]:
    """Every runbook of a folder by id; without a folder, the built-in ones.

    Raises:
        RunbookError: as `read_runbook`, of every file; also for a folder that is not there or holds no runbook.
    """
    place = folder or BUILT_IN
    try:
        names = sorted(place.iterdir())
    except OSError as error:
        raise RunbookError(f"{place}: cannot be read ({error.strerror}). Check the path.") from error
    library: dict[str, Runbook] = {}
    mistakes: list[str] = []
    for path in names:
        if path.suffix == ".yml":
            mistakes.append(f"{path}: is not read; rename it to {path.stem}.yaml")
        if path.suffix != ".yaml" or path.name == "policy.yaml":
            continue
        try:
            book = read_runbook(path)
        except RunbookError as error:
            mistakes.append(error.message)
            continue
        if book.id in library:
            mistakes.append(f"{path}: id: {book.id!r} is another runbook's in this folder; rename one")
        library[book.id] = book
    if not library and not mistakes:
        mistakes.append(f"{place}: holds no runbook (*.yaml). Check the path.")
    if mistakes:
        raise RunbookError("\n".join(mistakes))
    return MappingProxyType(library)
