"""A Docker container, through the daemon's Unix socket."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from agent.finder import Found, Note, WrongSetting, only, port, text
from agent.processes import PROC, seen, with_children
from agent.unix_http import ask
from watchkeeper.errors import AgentError

SOCKET: Final = "/var/run/docker.sock"
API: Final = "/v1.41"  # of Docker 20.10, and served by all that came after
ANSWERS_WITHIN_S: Final = 10.0
STARTS_WITHIN_S: Final = 35.0
CGROUPS: Final = Path("/sys/fs/cgroup")


class Docker:
    """The container `container`, by name or id, through the socket of Docker, or of another that speaks its API."""

    verbs = frozenset({"start", "stop", "restart"})
    restarts = True  # its restart policy may

    def __init__(self, settings: Mapping[str, Any]) -> None:
        only(settings, "container", "socket", "port")
        self._container = text(settings, "container")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", self._container):
            raise WrongSetting("container", "must be a container's name or id")
        self._socket = text(settings, "socket", SOCKET)
        self._port = port(settings)

    def lacks(self) -> str:
        if not os.access(self._socket, os.R_OK | os.W_OK):
            return f"this user can't use {self._socket}"
        try:
            self._inspected()
        except AgentError as error:
            return error.message
        return ""

    def find(self) -> tuple[Found, ...]:
        inspected = self._inspected()
        try:
            main = int(inspected["State"]["Pid"])
            image = str(inspected["Config"]["Image"])
        except (KeyError, TypeError, ValueError) as error:
            raise AgentError(f"Docker describes {self._container} in another form: {error!r}") from error
        if main == 0 or seen(main) is None:
            return ()
        return (Found(pids=with_children(main), port=self._port, cgroup=_cgroup(main), version=image),)

    def act(self, verb: str, note: Note, arguments: Mapping[str, Any], key: str) -> str:  # noqa: ARG002
        if verb not in self.verbs:
            raise AgentError(f"Docker does not take {verb!r}")
        # 304: it is so already.
        status = self._ask("POST", f"/{verb}", STARTS_WITHIN_S, ok=(204, 304))[0]
        if status == 304:
            return f"nothing: it {'runs' if verb == 'start' else 'does not run'}"
        return {"start": "started", "stop": "stopped", "restart": "restarted"}[verb] + f" container {self._container}"

    def _inspected(self) -> dict[str, Any]:
        answer = self._ask("GET", "/json", ANSWERS_WITHIN_S, ok=(200,))[1]
        if not isinstance(answer, dict):
            raise AgentError(f"Docker describes {self._container} in another form")
        return answer

    def _ask(self, method: str, what: str, within_s: float, ok: tuple[int, ...]) -> tuple[int, Any]:
        address = f"{API}/containers/{quote(self._container, safe='')}{what}"
        return ask(self._socket, method, address, who="Docker", within_s=within_s, ok=ok)


def _cgroup(pid: int) -> str:
    """The control group's folder of a process, in the one hierarchy or in that of processors; empty: not its own."""
    try:
        lines = (PROC / str(pid) / "cgroup").read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        number, controllers, group = line.split(":", 2)
        if group != "/" and (number == "0" or "cpu" in controllers.split(",")):
            folder = CGROUPS / ("" if number == "0" else controllers) / group.lstrip("/")
            if folder.is_dir():
                return str(folder)
    return ""
