"""A runbook: when it fits, which steps it takes, what it may touch. One YAML file each, validated on reading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from runbooks.document import read_as
from runbooks.program import RUN_TIMEOUT_S, Program
from runbooks.step_items import LONGEST_S, StepItem, expand, read_items, whole_mistakes
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
    timeout_s: Annotated[float, Field(gt=0, le=LONGEST_S)] = RUN_TIMEOUT_S
    steps: Annotated[list[Any], Field(min_length=1)]
    blast_radius: str
    undo: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Runbook:
    """Ordered steps against one service, or against those that its steps name.

    `mechanisms` are the diagnoses it is for; with `after_change` it is only for a suspect that was changed
    shortly before the onset. Texts may hold `{service}`.
    """

    id: str
    title: str
    why: str
    mechanisms: tuple[Mechanism, ...]
    after_change: bool
    program: Program
    blast_radius: str
    undo: str

    @property
    def steps(self) -> tuple[str, ...]:
        """The names of its steps."""
        return self.program.kinds


def read_runbook(path: Path) -> Runbook:
    """One file that includes no other.

    Raises:
        RunbookError: names the file, the key and what is wrong with it.
    """
    file, items = _read(path)
    return _complete(file, {file.id: items})


def _read(path: Path) -> tuple[_File, tuple[StepItem, ...]]:
    file, document = read_as(_File, path)
    return file, read_items(document, file.steps)


def _complete(file: _File, items_of: Mapping[str, tuple[StepItem, ...]]) -> Runbook:
    items = expand(file.id, items_of)
    if mistakes := list(whole_mistakes(items)):
        raise RunbookError("\n".join(mistakes))
    return Runbook(
        id=file.id,
        title=file.title,
        why=file.why,
        mechanisms=file.mechanisms,
        after_change=file.after_change == "required",
        program=Program(steps=tuple(item.spec for item in items), timeout_s=file.timeout_s),
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
    files: dict[str, _File] = {}
    items_of: dict[str, tuple[StepItem, ...]] = {}
    mistakes: list[str] = []
    for path in names:
        if path.suffix == ".yml":
            mistakes.append(f"{path}: is not read; rename it to {path.stem}.yaml")
        if path.suffix != ".yaml" or path.name == "policy.yaml":
            continue
        try:
            file, items = _read(path)
        except RunbookError as error:
            mistakes.append(error.message)
            continue
        if file.id in files:
            mistakes.append(f"{path}: id: {file.id!r} is another runbook's in this folder; rename one")
        files[file.id], items_of[file.id] = file, items
    if not files and not mistakes:
        mistakes.append(f"{place}: holds no runbook (*.yaml). Check the path.")
    library: dict[str, Runbook] = {}
    for name, file in files.items() if not mistakes else ():
        try:
            library[name] = _complete(file, items_of)
        except RunbookError as error:
            mistakes += [line for line in error.message.splitlines() if line not in mistakes]
    if mistakes:
        raise RunbookError("\n".join(mistakes))
    return MappingProxyType(library)
