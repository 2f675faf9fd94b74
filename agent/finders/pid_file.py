"""A process whose id is in a file that it writes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent import bare
from agent.finder import Found, Note, only, port, text
from agent.listening import ports_of
from agent.processes import with_children
from watchkeeper.errors import AgentError


class PidFile:
    """The process whose id is in the file `path`, as daemons write it.

    `pattern` must be in the command line: so another process that got the id later is not taken for it.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        only(settings, "path", "pattern", "port", *bare.KEYS)
        self._commands = bare.commands_in(settings)
        self._path = Path(text(settings, "path"))
        self._pattern = text(settings, "pattern", "") if "pattern" in settings else ""
        self._port = port(settings)

    @property
    def restarts(self) -> bool:
        return self._commands.supervised

    @property
    def verbs(self) -> frozenset[str]:
        return self._commands.verbs

    def lacks(self) -> str:
        if self._path.exists() and not os.access(self._path, os.R_OK):
            return f"{self._path} cannot be read by this user"
        return ""

    def find(self) -> tuple[Found, ...]:
        try:
            pid = int(self._path.read_text(encoding="ascii").split()[0])
        except (FileNotFoundError, IndexError):
            return ()
        except (OSError, ValueError) as error:
            raise AgentError(f"{self._path} holds no process id: {error}") from error
        line = bare.command_line(pid)
        pids = with_children(pid)
        if pid < 2 or not pids or self._pattern not in line or bare.is_of_an_agent(line):
            return ()
        return (Found(pids=pids, port=self._port or next(iter(ports_of(pids)), 0)),)

    def act(self, verb: str, note: Note, arguments: Mapping[str, Any], key: str) -> str:  # noqa: ARG002
        return bare.act(verb, self._commands, self.find, note, self._port)
