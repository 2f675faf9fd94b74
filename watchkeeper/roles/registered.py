"""Every registered part of every kind, and whether a configuration uses it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final, Literal

from watchkeeper.config import Config
from watchkeeper.parts import BrokenPart, Part, Registry
from watchkeeper.problems import Problems

LOOP: Final = "parts"  # of the problems that are about them
# `offline`: for recorded incidents only, no live diagnosis has what it reads.
Use = Literal["yes", "no", "offline", "broken"]
# Kind → the module and the function that read its registry. Modules are imported when their kind is asked for.
REGISTRIES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "source": ("collectors.registry", "sources"),
        "detector": ("detectors.registry", "detectors"),
        "evidence": ("rca.registry", "read_evidence"),
        "channel": ("alerting.channels.registry", "channel_registry"),
        "step": ("runbooks.registry", "step_registry"),
        "target": ("watchkeeper.target", "target_registry"),
        "fault": ("chaos.registry", "fault_registry"),
        "agent_fault": ("agent.registry", "fault_registry"),
        "agent_finder": ("agent.finder", "finder_registry"),
        "page": ("dashboard.registry", "page_registry"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedPart:
    """One row of the list. `reason` says why a part is broken, or why it is not used; empty otherwise."""

    kind: str
    name: str
    version: str
    origin: str
    summary: str
    used: Use
    reason: str = ""


def registry_of(kind: str) -> Registry[Any]:
    """The registered parts of one kind."""
    module, function = REGISTRIES[kind]
    registry: Registry[Any] = getattr(import_module(module), function)()
    return registry


def broken_parts(*kinds: str) -> tuple[BrokenPart, ...]:
    """The parts of these kinds that cannot be loaded; of every kind, if none is given."""
    return tuple(part for kind in kinds or REGISTRIES for part in registry_of(kind).broken)


def report_broken(problems: Problems, broken: Iterable[BrokenPart]) -> None:
    """Report the parts that a role goes on without; what it reported before and is well now, is over."""
    problems.solved(LOOP)
    for part in broken:
        problems.report(LOOP, f"{part.kind} {part.name} of {part.origin}", part.reason)


def listed_parts(config: Config, kind: str | None = None) -> Iterator[ListedPart]:
    """Every part of one kind, or of all, in the order of the kinds; the broken ones of a kind last."""
    for each in REGISTRIES if kind is None else (kind,):
        registry = registry_of(each)
        use_of = _USES[each](config)
        for part in registry.parts.values():
            used, reason = use_of(part)
            yield ListedPart(
                kind=part.kind,
                name=part.name,
                version=part.version,
                origin=part.origin,
                summary=part.summary,
                used=used,
                reason=reason,
            )
        for broken in registry.broken:
            yield ListedPart(
                kind=broken.kind,
                name=broken.name,
                version="",
                origin=broken.origin,
                summary="",
                used="broken",
                reason=broken.reason,
            )


Answer = tuple[Use, str]
UseOf = Callable[[Part[Any]], Answer]
_USED: Final[Answer] = ("yes", "")


def _always(_config: Config) -> UseOf:
    return lambda _part: _USED


def _sources(config: Config) -> UseOf:
    def answer(part: Part[Any]) -> Answer:
        is_used = part.value.is_configured(config)
        return _USED if is_used else ("no", f"the configuration holds no {part.value.section}")

    return answer


def _evidence(_config: Config) -> UseOf:
    return lambda part: ("offline", part.value.offline) if part.value.offline else _USED


def _channels(config: Config) -> UseOf:
    from alerting.channels.registry import kinds_in_use

    kinds = set(kinds_in_use(config).values())
    return lambda part: _USED if part.name in kinds else ("no", "`channels:` does not name it")


def _steps(config: Config) -> UseOf:
    from runbooks.preflight import readable_runbooks

    books = readable_runbooks(config.runbooks.dir, Problems(None)).books
    named = {step for book in books.values() for step in book.steps}
    return lambda part: _USED if part.name in named else ("no", "no runbook names it")


def _targets(config: Config) -> UseOf:
    kinds = {section.kind for section in config.targets.values()}
    return lambda part: _USED if part.name in kinds else ("no", "no entry of `targets:` is of this kind")


def _faults(config: Config) -> UseOf:
    """Faults are injected on request, by `watchkeeper chaos run`, where there is something to break."""
    answer: Answer = _USED if config.targets else ("no", "no target is configured")
    return lambda _part: answer


def _on_hosts(_config: Config) -> UseOf:
    """Agents have files of their own, on their hosts."""
    return lambda _part: ("no", "an agent uses it where its own file names it")


# Kind → from a configuration to whether it uses a part.
_USES: Final[Mapping[str, Callable[[Config], UseOf]]] = MappingProxyType(
    {
        "source": _sources,
        "detector": _always,
        "evidence": _evidence,
        "channel": _channels,
        "step": _steps,
        "target": _targets,
        "fault": _faults,
        "agent_fault": _on_hosts,
        "agent_finder": _on_hosts,
        "page": _always,
    }
)
