"""The fault `crash_loop`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from agent.faults.asked import number
from agent.finder import finder_of
from agent.holders import marked
from agent.processes import is_alive
from watchkeeper.errors import AgentError

if TYPE_CHECKING:
    from agent.fault import Record
    from agent.instance import Instance

RUNS_WITHIN_S: Final = 30.0  # whoever starts it again waits longer after each crash
LOOK_EVERY_S: Final = 0.1


class CrashLoop:
    """The service's processes are killed (SIGKILL) again and again, as often as somebody starts them.

    Each instance lives for `every_s` seconds. Needs a supervisor that starts it again.
    """

    name = "crash_loop"
    description = "it crashes again soon after every start"
    arguments: Mapping[str, float | str] = MappingProxyType({"every_s": 3.0})

    def lacks(self, instance: Instance) -> str:
        if not instance.pids:
            return "it does not run"
        if finder_of(instance.finder).restarts or instance.settings.get("supervised", "").lower() in {"yes", "true"}:
            return ""
        return "nobody starts it again when it crashes; set `supervised: true` of its finder where somebody does"

    def plan(self, instance: Instance, seconds: float, arguments: Mapping[str, float | str]) -> dict[str, Any]:
        return {
            "mark": marked.new_mark(),
            "service": instance.service,
            "finder": dict(instance.finder),
            "first": [instance.pid, instance.born],
            "every_s": number(arguments, "every_s", 0.2, 600.0),
            "until": time.time() + seconds,
        }

    def begin(self, record: Record) -> None:
        asked = {name: record[name] for name in ("finder", "every_s")}
        marked.start("crash_again", record["mark"], seconds=record["until"] - time.time(), **asked)

    def effect(self, record: Record) -> str:
        if is_alive(*record["first"]):
            return ""
        found = finder_of(record["finder"]).find()
        now = f"process {found[0].pids[0]} runs in its place for now" if found else "nothing runs in its place yet"
        return f"process {record['first'][0]} of {record['service']} was killed; {now}"

    def end(self, record: Record) -> None:
        marked.end(record["mark"])
        finder = finder_of(record["finder"])
        until = time.monotonic() + RUNS_WITHIN_S
        while not finder.find():
            if time.monotonic() > until:
                raise AgentError(f"{record['service']} crashed, and whoever starts it again has not done so yet")
            if "start" in finder.verbs and finder.restarts:  # its supervisor may have given up
                finder.act("start", lambda pid, identity: record.note(started=[pid, identity]), {}, "")
            time.sleep(LOOK_EVERY_S)

    def remains(self, record: Record) -> tuple[str, ...]:
        left = marked.remaining(record["mark"])
        return left if finder_of(record["finder"]).find() else (*left, f"{record['service']}, which does not run")
