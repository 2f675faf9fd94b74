"""The fault `command`."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from agent.faults.asked import choice
from agent.holders import marked
from agent.holders.put_back import stand_by
from agent.launch import CommandFailed, run
from watchkeeper.errors import AgentError

if TYPE_CHECKING:
    from agent.fault import Record
    from agent.instance import Instance

DO_WITHIN_S: Final = 120.0
UNDO_WITHIN_S: Final = 30.0
CHECK_WITHIN_S: Final = 5.0


class Command:
    """A command of the agent's file breaks, another one puts back: a bad deploy, a feature flag, whatever there is.

    Of each pair the file has `command.NAME.do` and `command.NAME.undo`, and perhaps `command.NAME.check`, which ends
    with status 0 while the fault holds and with 1 while it does not. `undo` may be run again, also where `do` was
    killed half way. It is not run where somebody repaired the service meanwhile: where the check saw the fault hold,
    and now ends with 1.
    """

    name = "command"
    description = "a command of its owner breaks it, such as a bad deploy or a flag"
    arguments: Mapping[str, float | str] = MappingProxyType({"command": ""})

    def lacks(self, instance: Instance) -> str:
        if _pairs(instance.settings):
            return ""
        return "the agent's file has no pair of commands; set `command.NAME.do` and `command.NAME.undo`"

    def plan(self, instance: Instance, seconds: float, arguments: Mapping[str, float | str]) -> dict[str, Any]:
        pairs = _pairs(instance.settings)
        name = choice(arguments, "command", *pairs) if arguments["command"] or len(pairs) > 1 else pairs[0]
        commands = {what: instance.settings.get(f"command.{name}.{what}", "") for what in ("do", "undo", "check")}
        return {"mark": marked.new_mark(), "command": name, "until": time.time() + seconds, **commands}

    def begin(self, record: Record) -> None:
        record.note(begun=True)
        facts = {name: record[name] for name in ("mark", "undo", "check", "begun")}
        left = record["until"] - time.time()
        stand_by(record["mark"], f"{__name__}:{type(self).__name__}", left, facts)
        run(_words(record["do"]), within_s=DO_WITHIN_S)
        record.note(done=True)

    def effect(self, record: Record) -> str:
        if record["check"]:
            if not _holds(record):
                return ""
            if not record.get("seen"):
                record.note(seen=True)
            return f"the check of {record['command']} says that it holds"
        return f"the command {record['command']} was run" if record.get("done") else ""

    def end(self, record: Record) -> None:
        if record.get("begun"):
            if not (record.get("seen") and _is_repaired(record)):
                run(_words(record["undo"]), within_s=UNDO_WITHIN_S)
            record.note(begun=False, done=False)
        marked.end(record["mark"])

    def remains(self, record: Record) -> tuple[str, ...]:
        left = marked.remaining(record["mark"])
        if record["check"] and _holds(record):
            return (*left, f"what the command {record['command']} did, says its check")
        return left


def _pairs(settings: Mapping[str, str]) -> tuple[str, ...]:
    """The names that have both commands."""
    keys = (key.removeprefix("command.") for key in settings if key.startswith("command."))
    names = (key.removesuffix(".do") for key in keys if key.endswith(".do"))
    return tuple(name for name in names if settings.get(f"command.{name}.undo"))


def _words(command: str) -> list[str]:
    """A command without a shell. Raises AgentError where its quotes do not match."""
    try:
        return shlex.split(command)
    except ValueError as error:
        raise AgentError(f"the command {command!r} of the agent's file cannot be read: {error}") from error


def _holds(record: Record) -> bool:
    try:
        run(_words(record["check"]), within_s=CHECK_WITHIN_S)
    except AgentError:
        return False
    return True


def _is_repaired(record: Record) -> bool:
    """Whether the check says so; one that cannot be run says nothing."""
    try:
        run(_words(record["check"]), within_s=CHECK_WITHIN_S)
    except CommandFailed as error:
        return error.status == 1
    except AgentError:
        return False
    return False
