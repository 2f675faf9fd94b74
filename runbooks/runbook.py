"""A runbook: when it fits, which steps it takes, what it may touch. One YAML file each, validated on reading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runbooks.steps import STEPS
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
    """Ordered steps (names in runbooks.steps) against one service.

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
    try:
        file = _File.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError) as error:
        raise RunbookError(f"{path}: cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise RunbookError(f"{path}: {where}: {first['msg']}") from error
    unknown = [step for step in file.steps if step not in STEPS]
    if unknown:
        raise RunbookError(f"{path}: steps: no step {unknown[0]!r}; there are {', '.join(STEPS)}")
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
    """Every runbook of a folder by id; without a folder, the built-in ones."""
    books = [read_runbook(path) for path in sorted((folder or BUILT_IN).glob("*.yaml")) if path.name != "policy.yaml"]
    library = {book.id: book for book in books}
    if len(library) < len(books):
        raise RunbookError(f"{folder or BUILT_IN}: two runbooks have the same id")
    return MappingProxyType(library)
