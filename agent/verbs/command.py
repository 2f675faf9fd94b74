"""The verb `command`: what `commands` lists is run by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent.launch import run
from agent.refused import Refused
from watchkeeper.text import one_line

if TYPE_CHECKING:
    from agent.allowed import ServiceSection
    from agent.verbs.verb import Work


class RunCommand:
    """{"name": "flush"}. Nobody knows whether it may be run twice, so it never is."""

    allowed_by = "commands"
    repeats = False

    def is_allowed(self, section: ServiceSection) -> bool:
        return bool(section.commands)

    def check(self, service: str, section: ServiceSection, arguments: Mapping[str, Any]) -> None:
        if set(arguments) != {"name"} or not isinstance(arguments["name"], str):
            raise Refused(422, 'command takes {"name": "…"} and nothing else')
        if arguments["name"] not in section.commands:
            raise Refused(
                403,
                f"the command {one_line(arguments['name'], 60)} is not allowed: services.{service}.commands of the "
                f"agent's file has {', '.join(section.commands)}",
            )

    def do(self, work: Work) -> dict[str, Any]:
        command = work.section.commands[str(work.arguments["name"])]
        folder = str(command.folder) if command.folder else None
        output = run(command.run, within_s=command.seconds, folder=folder, user=command.user)
        return {"did": f"ran {work.arguments['name']}", "output": output[-4000:]}
