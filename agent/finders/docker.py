"""A Docker container, through the daemon's Unix socket."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from agent.finder import SCALE, Found, Note, WrongSetting, only, port, text
from agent.processes import PROC, seen, with_children
from agent.unix_http import ask
from watchkeeper.errors import AgentError

SOCKET: Final = "/var/run/docker.sock"
API: Final = "/v1.41"  # of Docker 20.10, and served by all that came after
ANSWERS_WITHIN_S: Final = 10.0
STARTS_WITHIN_S: Final = 35.0
CGROUPS: Final = Path("/sys/fs/cgroup")


class Docker:
    """The container `container`, by name or id, or all with the label `label`, such as `com.example.service=orders`.

    Through the socket of Docker, or of another that speaks its API. With a label it scales within the containers that
    there are: the first so many run, by name, and the others are stopped.
    """

    restarts = True  # its restart policy may

    def __init__(self, settings: Mapping[str, Any]) -> None:
        only(settings, "container", "label", "socket", "port")
        if ("container" in settings) == ("label" in settings):
            raise WrongSetting("", "needs a `container`, or a `label` of several")
        self._label = text(settings, "label") if "label" in settings else ""
        self._container = text(settings, "container") if "container" in settings else ""
        if self._container and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", self._container):
            raise WrongSetting("container", "must be a container's name or id")
        self._socket = text(settings, "socket", SOCKET)
        self._port = port(settings)

    @property
    def verbs(self) -> frozenset[str]:
        return frozenset({"start", "stop", "restart", *([SCALE] if self._label else [])})

    def lacks(self) -> str:
        if not os.access(self._socket, os.R_OK | os.W_OK):
            return f"this user can't use {self._socket}"
        try:
            names = self._names()
            for name in names:
                self._inspected(name)
        except AgentError as error:
            return error.message
        return "" if names else f"Docker has no container with the label {self._label}"

    def find(self) -> tuple[Found, ...]:
        return tuple(found for name in self._names() for found in self._found(name))

    def _found(self, name: str) -> tuple[Found, ...]:
        inspected = self._inspected(name)
        try:
            main = int(inspected["State"]["Pid"])
            image = str(inspected["Config"]["Image"])
        except (KeyError, TypeError, ValueError) as error:
            raise AgentError(f"Docker describes {name} in another form: {error!r}") from error
        if main == 0 or seen(main) is None:
            return ()
        return (Found(pids=with_children(main), port=self._port, cgroup=_cgroup(main), version=image),)

    def act(self, verb: str, note: Note, arguments: Mapping[str, Any], key: str) -> str:  # noqa: ARG002
        if verb not in self.verbs:
            raise AgentError(f"Docker does not take {verb!r}")
        names = self._names()
        if not names:
            raise AgentError(f"Docker has no container with the label {self._label}")
        if verb == SCALE:
            return self._scale(names, int(arguments["count"]))
        done = [name for name in names if self._did(verb, name)]
        if not done:
            return f"nothing: it {'runs' if verb == 'start' else 'does not run'}"
        return {"start": "started", "stop": "stopped", "restart": "restarted"}[verb] + f" container {', '.join(done)}"

    def _scale(self, names: list[str], count: int) -> str:
        if count > len(names):
            raise AgentError(
                f"there are {len(names)} containers with the label {self._label}, not {count}: create more of them"
            )
        started = [name for name in names[:count] if self._did("start", name)]
        stopped = [name for name in names[count:] if self._did("stop", name)]
        if not started and not stopped:
            return f"nothing: {count} of {self._label} run already"
        return f"{count} of {len(names)} containers run; started {len(started)}, stopped {len(stopped)}"

    def _did(self, verb: str, name: str) -> bool:
        """Whether it was done; False where it was so already (304)."""
        address = f"{API}/containers/{quote(name, safe='')}/{verb}"
        return self._ask("POST", address, STARTS_WITHIN_S, ok=(204, 304))[0] == 204

    def _names(self) -> list[str]:
        """The containers that are meant, in the order of their names."""
        if not self._label:
            return [self._container]
        filters = quote(json.dumps({"label": [self._label]}), safe="")
        rows = self._ask("GET", f"{API}/containers/json?all=true&filters={filters}", ANSWERS_WITHIN_S, ok=(200,))[1]
        try:
            return sorted(str(row["Names"][0]).lstrip("/") for row in rows)
        except (IndexError, KeyError, TypeError) as error:
            raise AgentError(f"Docker lists containers in another form: {error!r}") from error

    def _inspected(self, name: str) -> dict[str, Any]:
        address = f"{API}/containers/{quote(name, safe='')}/json"
        answer = self._ask("GET", address, ANSWERS_WITHIN_S, ok=(200,))[1]
        if not isinstance(answer, dict):
            raise AgentError(f"Docker describes {name} in another form")
        return answer

    def _ask(self, method: str, address: str, within_s: float, ok: tuple[int, ...]) -> tuple[int, Any]:
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
