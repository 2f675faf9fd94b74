"""The `steps` of a runbook file: names, or mappings of a name to inputs with options beside it.

- restart
- scale: {to: 4, back_to: 2}
  id: more
  when: {mechanism: traffic}
  timeout_s: 60
  retries: {times: 2, pause_s: 5}
- runbook: restart-service        another one's steps, here
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from runbooks.bound import bind
from runbooks.condition import condition_mistakes
from runbooks.placeholders import PLACEHOLDER, placeholder_mistakes
from runbooks.program import MOST_STEPS, Retries, StepSpec
from runbooks.registry import step_registry, steps
from watchkeeper.config_messages import plain
from watchkeeper.errors import RunbookError
from watchkeeper.yaml_file import Document

RUNBOOK: Final = "runbook"  # stands where a step's name would
DEEPEST: Final = 5  # runbooks within runbooks
LONGEST_S: Final = 7 * 86_400.0


class _Retries(BaseModel):
    model_config = ConfigDict(extra="forbid")

    times: Annotated[int, Field(ge=1, le=20)]
    pause_s: Annotated[float, Field(gt=0, le=3600)] = 2.0
    factor: Annotated[float, Field(ge=1, le=10)] = 2.0


class _Options(BaseModel):
    """What stands beside a step's name."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, Field(pattern="^[a-z0-9_-]{1,50}$")] = ""
    when: dict[str, Any] | None = None
    service: Annotated[str, Field(max_length=200)] = ""
    timeout_s: Annotated[float, Field(gt=0, le=LONGEST_S)] | None = None
    retries: _Retries | None = None

    @field_validator("service")
    @classmethod
    def _is_a_name(cls, service: str) -> str:
        if PLACEHOLDER.search(service):
            raise ValueError("must be a service's own name: a placeholder could lead anywhere")
        return service


@dataclass(frozen=True, slots=True, kw_only=True)
class StepItem:
    """One item of the list, before other runbooks are inserted: a step, or `includes` names a runbook."""

    spec: StepSpec
    where: str
    includes: str = ""


def read_items(document: Document, items: list[Any]) -> tuple[StepItem, ...]:
    """The items of a file's `steps`.

    Raises:
        RunbookError: one line a mistake, each with file, line and key.
    """
    read: list[StepItem] = []
    mistakes: list[str] = []
    for number, item in enumerate(items):
        earlier = frozenset(each.spec.id for each in read if each.spec.id)
        includes_more = any(each.includes for each in read)
        try:
            one = _item(document, number, item)
        except RunbookError as error:
            mistakes.append(error.message)
            continue
        if one.spec.id and one.spec.id in earlier:
            mistakes.append(f"{one.where}.id: {one.spec.id!r} is an earlier step's; choose another")
        # What a runbook that stands before it brings is known only when all are read: it is checked then.
        if not includes_more:
            mistakes += reference_mistakes(one, earlier)
        read.append(one)
    if mistakes:
        raise RunbookError("\n".join(mistakes))
    return tuple(read)


def reference_mistakes(item: StepItem, earlier: frozenset[str]) -> Iterator[str]:
    """Conditions and placeholders that are about no earlier step."""
    if item.spec.when is not None:
        yield from (f"{item.where}.when: {why}" for why in condition_mistakes(item.spec.when, earlier))
    for why in placeholder_mistakes(item.spec.inputs, earlier):
        yield f"{item.where}.{item.spec.kind}: {why}"


def _item(document: Document, number: int, item: Any) -> StepItem:
    location = ("steps", number)
    where = document.where(location)
    if isinstance(item, str):
        item = {item: None}
    if not isinstance(item, dict):
        raise RunbookError(f"{where}: must be a step's name, or a mapping that begins with it")
    names = [key for key in item if key not in _Options.model_fields]
    if len(names) != 1:
        found = f"found {', '.join(map(str, names))}" if names else "found none"
        raise RunbookError(f"{where}: must name one step beside {', '.join(_Options.model_fields)}; {found}")
    kind, inputs = str(names[0]), item[names[0]]
    try:
        beside = _Options.model_validate({key: value for key, value in item.items() if key != names[0]})
    except ValidationError as error:
        lines = [f"{document.where((*location, *each['loc']))}: {plain(each)}" for each in error.errors()]
        raise RunbookError("\n".join(lines)) from error
    retries = Retries(**beside.retries.model_dump()) if beside.retries else Retries()
    spec = StepSpec(
        kind=kind,
        id=beside.id,
        when=beside.when,
        service=beside.service,
        timeout_s=beside.timeout_s,
        retries=retries,
    )
    if kind == RUNBOOK:
        if not isinstance(inputs, str):
            raise RunbookError(f"{document.where((*location, RUNBOOK))}: must be the id of a runbook of this folder")
        if spec != StepSpec(kind=kind, when=beside.when):
            raise RunbookError(f"{where}: beside `runbook` only `when` may stand")
        return StepItem(spec=spec, where=where, includes=inputs)
    _check_kind(kind, where)
    inputs = {} if inputs is None else inputs
    if not isinstance(inputs, Mapping):
        raise RunbookError(f"{document.where((*location, kind))}: must be a mapping of inputs, such as {{}}")
    try:
        bind(kind, inputs, steps())
    except RunbookError as error:
        lines = [_placed(document, location, kind, line) for line in error.message.split("; ")]
        raise RunbookError("\n".join(lines)) from error
    return StepItem(spec=replace(spec, inputs=inputs), where=where)


def _placed(document: Document, location: tuple[int | str, ...], kind: str, mistake: str) -> str:
    """A step's own mistake, `scale.to: must be …`, with its line."""
    key, _, why = mistake.partition(": ")
    parts = key.split(".")
    if why and parts[0] == kind:
        return f"{document.where((*location, *parts))}: {why}"
    return f"{document.where((*location, kind))}: {mistake}"


def _check_kind(kind: str, where: str) -> None:
    if kind not in steps():
        reasons = [f" can be loaded ({part.reason})" for part in step_registry().broken if part.name == kind]
        raise RunbookError(f"{where}: no step {kind!r}{''.join(reasons)}; there are {', '.join(steps())}")


def expand(book: str, items_of: Mapping[str, tuple[StepItem, ...]], path: tuple[str, ...] = ()) -> list[StepItem]:
    """A runbook's steps with those of the runbooks that it includes, in order.

    Raises:
        RunbookError: one includes itself, or none of the folder, or too many.
    """
    expanded: list[StepItem] = []
    for item in items_of[book]:
        if not item.includes:
            expanded.append(item)
            continue
        chain = (*path, book)
        if item.includes in chain:
            raise RunbookError(f"{item.where}: includes itself: {' → '.join((*chain, item.includes))}")
        if item.includes not in items_of:
            others = ", ".join(name for name in items_of if name != book)
            raise RunbookError(f"{item.where}: no runbook {item.includes!r} in this folder; there are {others}")
        if len(chain) >= DEEPEST:
            raise RunbookError(f"{item.where}: more than {DEEPEST} runbooks within each other; write the steps out")
        for inner in expand(item.includes, items_of, chain):
            both = [when for when in (item.spec.when, inner.spec.when) if when is not None]
            when = {"all": both} if len(both) > 1 else (both[0] if both else None)
            expanded.append(replace(inner, spec=replace(inner.spec, when=when)))
        if len(expanded) > MOST_STEPS:
            raise RunbookError(f"{item.where}: more than {MOST_STEPS} steps in all; that is no runbook")
    return expanded


def whole_mistakes(items: list[StepItem]) -> Iterator[str]:
    """What is wrong with a runbook once all its steps are there: ids that occur twice, references to no step."""
    ids: dict[str, str] = {}
    for item in items:
        yield from reference_mistakes(item, frozenset(ids))
        if item.spec.id in ids:
            yield f"{item.where}.id: {item.spec.id!r} is also a step's at {ids[item.spec.id]}; rename one"
        if item.spec.id:
            ids[item.spec.id] = item.where
