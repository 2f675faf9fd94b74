"""A systemd unit, through `systemctl`."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from agent.finder import Found, Note, WrongSetting, only, port, text
from agent.launch import run
from agent.listening import ports_of
from agent.processes import seen
from watchkeeper.errors import AgentError

ANSWERS_WITHIN_S: Final = 10.0
STARTS_WITHIN_S: Final = 35.0
CGROUPS: Final = Path("/sys/fs/cgroup")
PROPERTIES: Final = "LoadState,ActiveState,MainPID,ControlGroup,Restart"


class Systemd:
    """The systemd unit `unit`: its main process and all in its control group. `user: true` asks the user's own."""

    verbs = frozenset({"start", "stop", "restart"})
    restarts = True  # a stopped unit stays down, whatever its Restart= says

    def __init__(self, settings: Mapping[str, Any]) -> None:
        only(settings, "unit", "user", "port", "systemctl")
        self._unit = text(settings, "unit")
        if not re.fullmatch(r"[A-Za-z0-9:_.\\@-]+", self._unit) or self._unit.startswith("-"):
            raise WrongSetting("unit", "must be a unit's name, such as orders.service")
        self._port = port(settings)
        self._systemctl = text(settings, "systemctl", "systemctl")
        self._options = ["--user"] if settings.get("user") is True else []

    def lacks(self) -> str:
        if not shutil.which(self._systemctl):
            return "this host has no systemctl"
        try:
            state = self._properties().get("LoadState", "")
        except AgentError as error:
            return error.message
        return "" if state == "loaded" else f"systemd has no unit {self._unit} ({state or 'no answer'})"

    def find(self) -> tuple[Found, ...]:
        properties = self._properties()
        main = int(properties.get("MainPID") or 0)
        if seen(main) is None:
            return ()
        group = properties.get("ControlGroup", "")
        folder = next((each for each in _folders(group) if (each / "cgroup.procs").exists()), None)
        pids = _members(folder, main) if folder else (main,)
        return (
            Found(
                pids=pids,
                port=self._port or next(iter(ports_of(pids)), 0),
                cgroup=str(folder) if folder else "",
            ),
        )

    def act(self, verb: str, note: Note, arguments: Mapping[str, Any], key: str) -> str:  # noqa: ARG002
        if verb not in self.verbs:
            raise AgentError(f"systemd does not take {verb!r}")
        run([self._systemctl, *self._options, verb, "--", self._unit], within_s=STARTS_WITHIN_S)
        return {"start": "started", "stop": "stopped", "restart": "restarted"}[verb] + f" {self._unit}"

    def _properties(self) -> dict[str, str]:
        shown = run(
            [self._systemctl, *self._options, "show", f"--property={PROPERTIES}", "--", self._unit],
            within_s=ANSWERS_WITHIN_S,
        )
        return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)


def _folders(group: str) -> tuple[Path, ...]:
    """Where a control group is: in the one hierarchy, or in systemd's own of several."""
    if not group or group == "/":  # everything is in the root's, so that a fault in it would hit everything
        return ()
    return (CGROUPS / group.lstrip("/"), CGROUPS / "systemd" / group.lstrip("/"))


def _members(folder: Path, main: int) -> tuple[int, ...]:
    """Every process of a control group and of those inside it, the main one first."""
    found = {main}
    for path in [folder / "cgroup.procs", *folder.rglob("cgroup.procs")]:
        try:
            found.update(int(pid) for pid in path.read_text().split() if pid != "0")
        except OSError:
            continue
    return (main, *sorted(found - {main}))
