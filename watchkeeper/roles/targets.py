"""Whether each configured target answers, accepts the token, and has services of its own."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from watchkeeper.composite_target import CompositeTarget
from watchkeeper.config import Config
from watchkeeper.errors import TargetError
from watchkeeper.target import configured_target
from watchkeeper.text import one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenTarget:
    """One target: what was seen, and what to do about it; empty where all is well. `name` is empty for all of them."""

    name: str
    reached: bool
    seen: str
    advice: str = ""


def seen_targets(config: Config) -> list[SeenTarget]:
    """Ask every target for its services; it changes nothing. Takes ten seconds where one does not answer."""
    composite = configured_target(config)
    if not isinstance(composite, CompositeTarget):
        return []
    with closing(composite):
        try:
            services = composite.services()
        except TargetError:
            services = {}
        seen = [_seen(config, composite, name) for name in config.targets]
        doubles = [
            SeenTarget(
                name="",
                reached=True,
                seen=f"{service} is a service of several targets",
                advice=f"Write {' or '.join(names)}, or remove it from one: what names {service} alone is refused.",
            )
            for service, names in sorted(composite.ambiguous.items())
        ]
        breakable = sum(status.may_break for status in services.values())
        if services and not doubles:
            words = f"{len(services)} services in all; {breakable} may be broken by experiments"
            doubles = [SeenTarget(name="", reached=True, seen=words)]
    stuck = [
        SeenTarget(
            name=name.partition("/")[0] if "/" in name else "",
            reached=False,
            seen=status.stuck,
            advice="Repair on the host what it names: the agent tries again, and breaks nothing else meanwhile.",
        )
        for name, status in services.items()
        if status.stuck
    ]
    return seen + doubles + stuck


def _seen(config: Config, composite: CompositeTarget, name: str) -> SeenTarget:
    section = config.targets[name]
    if (reason := composite.unanswered.get(name)) is None:
        count = composite.count(name)
        words = f"{section.kind} answers; {count} services"
        advice = "" if count else "Add services to the target's own configuration: nothing can be done to it yet."
        return SeenTarget(name=name, reached=True, seen=words, advice=advice)
    if " 401 " in reason:
        variable = section.token_env or "token_env, which is not set"
        advice = f"Its server does not accept the token: compare it with {variable}."
    else:
        advice = f"Start it, or correct targets.{name}; runbooks and experiments cannot reach its services meanwhile."
    return SeenTarget(name=name, reached=False, seen=one_line(reason), advice=advice)
