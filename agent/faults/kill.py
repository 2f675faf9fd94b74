"""The fault `kill`."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agent.finder import finder_of
from agent.processes import born, is_alive, send
from watchkeeper.errors import AgentError

if TYPE_CHECKING:
    from agent.fault import Record
    from agent.instance import Instance

RUNS_WITHIN_S = 20.0


class Kill:
    """The service's process is killed (SIGKILL), and stays down. It is started again at the end.

    A supervisor that would start it again is told to stop it.
    """

    name = "kill"
    description = "its process is killed and does not come back by itself"
    arguments: Mapping[str, float | str] = MappingProxyType({})

    def lacks(self, instance: Instance) -> str:
        if not instance.pids:
            return "it does not run"
        finder = finder_of(instance.finder)
        lacking = {"start", *(["stop"] if finder.restarts else [])} - finder.verbs
        return f"the way it is found has no {' and no '.join(sorted(lacking))}" if lacking else ""

    def plan(self, instance: Instance, seconds: float, arguments: Mapping[str, float | str]) -> dict[str, Any]:  # noqa: ARG002
        return {
            "service": instance.service,
            "finder": dict(instance.finder),
            "processes": [[pid, born(pid)] for pid in instance.pids],
        }

    def begin(self, record: Record) -> None:
        for pid, identity in record["processes"]:
            send(pid, identity, signal.SIGKILL)
        finder = finder_of(record["finder"])
        if finder.restarts:
            finder.act("stop", lambda *_: None, {}, "")

    def effect(self, record: Record) -> str:
        main = record["processes"][0][0]
        if any(is_alive(*each) for each in record["processes"]) or finder_of(record["finder"]).find():
            return ""
        return f"process {main} of {record['service']} is gone, and nothing runs in its place"

    def end(self, record: Record) -> None:
        finder = finder_of(record["finder"])
        started = record.get("started")
        if not (started and is_alive(*started)):  # a killed end may have started it already
            finder.act("start", lambda pid, identity: record.note(started=[pid, identity]), {}, "")
        deadline = time.monotonic() + RUNS_WITHIN_S
        while not finder.find():
            if time.monotonic() > deadline:
                raise AgentError(f"{record['service']} was started and does not run")
            time.sleep(0.05)

    def remains(self, record: Record) -> tuple[str, ...]:
        return () if finder_of(record["finder"]).find() else (f"{record['service']}, which does not run",)
