"""The fault `hang`."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agent.processes import STOPPED, born, seen, send, with_children

if TYPE_CHECKING:
    from agent.fault import Record
    from agent.instance import Instance


class Hang:
    """The service's processes stop (SIGSTOP): they accept connections and never answer. SIGCONT at the end."""

    name = "hang"
    description = "its processes hang: they take requests and never answer"
    arguments: Mapping[str, float | str] = MappingProxyType({})

    def lacks(self, instance: Instance) -> str:
        if not instance.pids:
            return "it does not run"
        if any(_is_stopped(pid) for pid in instance.pids):
            return "one of its processes is stopped already, and not by the agent"
        return ""

    def plan(self, instance: Instance, seconds: float, arguments: Mapping[str, float | str]) -> dict[str, Any]:  # noqa: ARG002
        return {"service": instance.service, "processes": [[pid, born(pid)] for pid in instance.pids]}

    def begin(self, record: Record) -> None:
        """Stop the main process first: then it starts no others while those that it has are stopped."""
        done: set[int] = set()
        while new := [each for each in record["processes"] if each[0] not in done]:
            for pid, identity in new:
                send(pid, identity, signal.SIGSTOP)
                done.add(pid)
            children = [pid for pid in with_children(record["processes"][0][0]) if pid not in done]
            if children:
                record.note(processes=[*record["processes"], *([pid, born(pid)] for pid in children)])

    def effect(self, record: Record) -> str:
        pid, identity = record["processes"][0]
        if born(pid) == identity and _is_stopped(pid):
            return f"process {pid} of {record['service']} is stopped"
        return ""

    def end(self, record: Record) -> None:
        # The main process last: whoever it waits for goes on already.
        for pid, identity in reversed(record["processes"]):
            send(pid, identity, signal.SIGCONT)

    def remains(self, record: Record) -> tuple[str, ...]:
        return tuple(
            f"process {pid}, which is stopped"
            for pid, identity in record["processes"]
            if born(pid) == identity and _is_stopped(pid)
        )


def _is_stopped(pid: int) -> bool:
    process = seen(pid)
    return process is not None and process.state in STOPPED
