"""The verb `flag`: sets or unsets a flag of a service, by commands of its owner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent.refused import Refused
from agent.verbs.verb import switch
from watchkeeper.text import one_line

if TYPE_CHECKING:
    from agent.allowed import ServiceSection
    from agent.verbs.verb import Work


class SetFlag:
    """{"flag": "new-checkout", "value": true}."""

    allowed_by = "flags"
    repeats = True

    def is_allowed(self, section: ServiceSection) -> bool:
        return bool(section.flags)

    def check(self, service: str, section: ServiceSection, arguments: Mapping[str, Any]) -> None:
        flag, value = arguments.get("flag"), arguments.get("value")
        if set(arguments) != {"flag", "value"} or not isinstance(flag, str) or not isinstance(value, bool):
            raise Refused(422, 'flag takes {"flag": "…", "value": true or false} and nothing else')
        if flag not in section.flags:
            raise Refused(
                403,
                f"the flag {one_line(flag, 60)} is not allowed: services.{service}.flags of the agent's file has "
                f"{', '.join(section.flags)}",
            )

    def do(self, work: Work) -> dict[str, Any]:
        name, value = str(work.arguments["flag"]), bool(work.arguments["value"])
        what = f"the flag {name} is {'on' if value else 'off'}"
        return {"did": switch(work.section.flags[name], on=value, what=what), "value": value}
