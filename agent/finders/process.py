"""A process by its command line, its listening port, or both."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from agent import bare
from agent.bare import COUNT
from agent.finder import SCALE, Found, Note, WrongSetting, command, only, port, text
from agent.listening import listeners, ports_of, sockets_listening
from agent.processes import with_children


class Process:
    """A process without a supervisor, by a pattern of its command line, by the port where it listens, or by both.

    With both, a process that matches counts if it listens on the port, or on nothing yet.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        only(settings, "pattern", "port", SCALE, *bare.KEYS)
        self._commands = bare.commands_in(settings)
        self._port = port(settings)
        self._scale = command(settings, SCALE)
        if self._scale and not any(COUNT in word for word in self._scale):
            raise WrongSetting(SCALE, f"must have {COUNT} in it, for the number of instances")
        self._pattern = None
        if "pattern" in settings:
            try:
                self._pattern = re.compile(text(settings, "pattern"))
            except re.error as error:
                raise WrongSetting("pattern", f"is no regular expression: {error}") from error
        if self._pattern is None and not self._port:
            raise WrongSetting("", "needs a `pattern` of the command line, a `port`, or both")

    @property
    def restarts(self) -> bool:
        return self._commands.supervised

    @property
    def verbs(self) -> frozenset[str]:
        return self._commands.verbs | ({SCALE} if self._scale else set())

    def lacks(self) -> str:
        return ""

    def find(self) -> tuple[Found, ...]:
        if self._pattern is None:
            mains = listeners(self._port)
            mains = tuple(pid for pid in mains if not bare.is_of_an_agent(bare.command_line(pid)))
            return (self._found(mains[0]),) if mains else ()
        mains = bare.matching(self._pattern)
        if self._port:
            sockets = sockets_listening()
            ports = {pid: ports_of(with_children(pid), sockets) for pid in mains}
            here = [pid for pid, its in ports.items() if self._port in its]
            mains = tuple(here or [pid for pid, its in ports.items() if not its])
        return tuple(self._found(pid) for pid in mains)

    def _found(self, pid: int) -> Found:
        pids = with_children(pid) or (pid,)
        return Found(pids=pids, port=self._port or next(iter(ports_of(pids)), 0))

    def act(self, verb: str, note: Note, arguments: Mapping[str, Any], key: str) -> str:  # noqa: ARG002
        if verb == SCALE and self._scale:
            return bare.scale(self._scale, int(arguments["count"]), self._commands, self.find, note)
        return bare.act(verb, self._commands, self.find, note, self._port)
