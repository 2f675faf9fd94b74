"""A program of supervisord, by XML-RPC over its Unix socket."""

from __future__ import annotations

import os
import time
import xmlrpc.client
from collections.abc import Mapping
from typing import Any, Final

from agent.finder import SCALE, Found, Note, only, port, text
from agent.listening import ports_of
from agent.processes import seen, with_children
from agent.unix_http import UnixConnection
from watchkeeper.errors import AgentError

ANSWERS_WITHIN_S: Final = 35.0  # a start is answered when the program has run for its `startsecs`
ENDS_WITHIN_S: Final = 20.0
# Codes of supervisord's faults (supervisor/xmlrpc.py).
ALREADY_STARTED: Final = 60
NOT_RUNNING: Final = 70
BAD_NAME: Final = 10
RUNS: Final = ("RUNNING", "STARTING")


class Supervisord:
    """The program `program` (or `group:program`, or `group:*`) of the supervisord behind the Unix socket `socket`.

    It scales within what supervisord has: the first so many processes of it run, the others are stopped. `numprocs` of
    the program, or the programs of the group, are the most.
    """

    verbs = frozenset({"start", "stop", "restart", SCALE})
    restarts = True

    def __init__(self, settings: Mapping[str, Any]) -> None:
        only(settings, "socket", "program", "port")
        self._socket = text(settings, "socket")
        self._program = text(settings, "program")
        self._port = port(settings)

    def lacks(self) -> str:
        if not os.access(self._socket, os.R_OK | os.W_OK):
            return f"this user can't use {self._socket}, or supervisord does not run"
        try:
            return "" if self._processes() else f"supervisord has no program {self._program}"
        except AgentError as error:
            return error.message

    def find(self) -> tuple[Found, ...]:
        pids = [int(each["pid"]) for each in self._processes() if each["statename"] in RUNS and each["pid"]]
        trees = [with_children(pid) for pid in pids if seen(pid)]
        return tuple(Found(pids=tree, port=self._port or next(iter(ports_of(tree)), 0)) for tree in trees if tree)

    def act(self, verb: str, note: Note, arguments: Mapping[str, Any], key: str) -> str:  # noqa: ARG002
        if verb not in self.verbs:
            raise AgentError(f"supervisord does not take {verb!r}")
        names = [f"{each['group']}:{each['name']}" for each in self._processes()]
        if not names:
            raise AgentError(f"supervisord has no program {self._program}")
        if verb == SCALE:
            return self._scale(sorted(names), int(arguments["count"]))
        did = []
        for name in names:
            if verb in ("stop", "restart"):
                did.append("stopped" if self._do("stopProcess", name, NOT_RUNNING) else "nothing: it does not run")
            if verb in ("start", "restart"):
                did.append("started" if self._do("startProcess", name, ALREADY_STARTED) else "nothing: it runs")
        return f"restarted {self._program}" if verb == "restart" else f"{did[0]} {self._program}"

    def _scale(self, names: list[str], count: int) -> str:
        if count > len(names):
            raise AgentError(
                f"supervisord has {len(names)} processes of {self._program}, not {count}: raise its `numprocs`"
            )
        started = [name for name in names[:count] if self._do("startProcess", name, ALREADY_STARTED)]
        stopped = [name for name in names[count:] if self._do("stopProcess", name, NOT_RUNNING)]
        if not started and not stopped:
            return f"nothing: {count} of {self._program} run already"
        return (
            f"{count} of {len(names)} processes of {self._program} run; started {len(started)}, stopped {len(stopped)}"
        )

    def _do(self, method: str, name: str, already: int) -> bool:
        """Whether it was done; False where it was so already."""
        try:
            self._call(method, name, True)
        except _SupervisordError as error:
            if error.code != already:
                raise
            return False
        # What was told to stop while it waited for another start is still on its way.
        deadline = time.monotonic() + ENDS_WITHIN_S
        while method == "stopProcess" and self._call("getProcessInfo", name)["statename"] in (*RUNS, "STOPPING"):
            if time.monotonic() > deadline:
                raise AgentError(f"{name} does not stop")
            time.sleep(0.05)
        return True

    def _processes(self) -> list[dict[str, Any]]:
        group, _, name = self._program.rpartition(":")
        return [
            each
            for each in self._call("getAllProcessInfo")
            if name in ("*", each["name"]) and (group or each["group"]) == each["group"]
        ]

    def _call(self, method: str, *arguments: Any) -> Any:
        try:
            with xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=_Transport(self._socket)) as server:
                return getattr(server.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as error:
            raise _SupervisordError(error.faultCode, f"supervisord refuses {method}: {error.faultString}") from error
        except (OSError, xmlrpc.client.Error, ValueError) as error:
            raise AgentError(f"supervisord does not answer on {self._socket}: {error}", retry=True) from error


class _SupervisordError(AgentError):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> UnixConnection:
        connection = UnixConnection(self._path, ANSWERS_WITHIN_S)
        self._connection = host, connection  # where `close` looks for it
        return connection
