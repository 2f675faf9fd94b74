"""The verbs `drain` and `undrain`: a service gets no new requests, and finishes those that it has."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from agent.refused import Refused
from agent.verbs.verb import switch
from watchkeeper.errors import AgentError

if TYPE_CHECKING:
    from agent.allowed import ServiceSection
    from agent.verbs.verb import Work

LOOK_EVERY_S: Final = 0.05


class Drain:
    """By the commands of `drain`, else by the proxy: it refuses new connections, and open ones finish.

    By the proxy, it holds until `undrain`, whoever is restarted meanwhile.
    """

    allowed_by = "drain"
    repeats = True

    def __init__(self, *, begins: bool) -> None:
        self._begins = begins

    def is_allowed(self, section: ServiceSection) -> bool:
        return section.drain is not None

    def check(self, service: str, section: ServiceSection, arguments: Mapping[str, Any]) -> None:  # noqa: ARG002
        if arguments:
            raise Refused(422, f"{'drain' if self._begins else 'undrain'} takes no arguments")

    def do(self, work: Work) -> dict[str, Any]:
        section = work.section.drain
        if section is None:
            raise AgentError(f"{work.service} has no `drain` in the agent's file")
        if section.do:
            state = "gets no new requests" if self._begins else "gets requests again"
            return {"did": switch(section, on=self._begins, what=f"{work.service} {state}")}
        was = work.proxied.is_drained(work.service)
        work.proxied.drain(work.service, begins=self._begins)
        if not self._begins:
            return {"did": "callers are let through again" if was else "nothing: callers are let through"}
        deadline = time.monotonic() + section.seconds
        while (left := work.proxied.connections(work.service)) and time.monotonic() < deadline:
            time.sleep(LOOK_EVERY_S)
        finished = "and every open one has finished" if not left else f"and {left} are still open"
        return {"did": f"new connections are refused, {finished}", "connections": left}
