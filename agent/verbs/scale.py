"""The verb `scale`: another number of instances, as far as the finder can and the file allows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent.finder import SCALE, no_note
from agent.refused import Refused

if TYPE_CHECKING:
    from agent.allowed import ServiceSection
    from agent.verbs.verb import Work


class Scale:
    """{"replicas": 3}: so many run afterwards."""

    allowed_by = "scale"
    repeats = True

    def is_allowed(self, section: ServiceSection) -> bool:
        return section.scale is not None

    def check(self, service: str, section: ServiceSection, arguments: Mapping[str, Any]) -> None:
        wanted = arguments.get("replicas")
        if set(arguments) != {"replicas"} or isinstance(wanted, bool) or not isinstance(wanted, int):
            raise Refused(422, 'scale takes {"replicas": a whole number} and nothing else')
        bounds = section.scale
        if bounds and not bounds.least <= wanted <= bounds.most:
            raise Refused(
                403,
                f"{wanted} instances of {service} are not allowed: services.{service}.scale of the agent's file allows "
                f"{bounds.least} to {bounds.most}",
            )

    def do(self, work: Work) -> dict[str, Any]:
        wanted = int(work.arguments["replicas"])
        did = work.finder.act(SCALE, no_note, {"count": wanted}, work.key)
        return {"did": did, "instances": len(work.finder.find())}
