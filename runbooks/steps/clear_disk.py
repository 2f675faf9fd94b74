"""The step `clear-disk`."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from runbooks.step import Call, Done, Inputs, TypedStep
from watchkeeper.target import ServiceStatus


class ClearDiskInputs(Inputs):
    """Files by pattern, older than some hours. The target allows folders; this names files in them.

    `below`: stop when the file system is used to less than this share (0 to 1); 0: clear all that match. `keep`: move
    them to the target's trash, so that the undo brings them back. `dry_run`: only list them.
    """

    pattern: Annotated[str, Field(min_length=1, max_length=500)]
    older_than_hours: Annotated[float, Field(ge=0, le=87_600)] = 24.0
    below: Annotated[float, Field(ge=0, le=1)] = 0.0
    keep: bool = False
    dry_run: bool = False

    @field_validator("pattern")
    @classmethod
    def _names_files(cls, pattern: str) -> str:
        path = PurePosixPath(pattern)
        if not path.is_absolute() or ".." in path.parts or "\x00" in pattern:
            raise ValueError("must be an absolute path without `..`, such as /var/log/shop/*.log.gz")
        if (
            len(path.parts) < 4
            or set(path.name) <= {"*", "?"}
            or any(set("*?[") & set(part) for part in path.parts[:3])
        ):
            raise ValueError("is too wide: name two folders, and more of the files than `*`")
        return pattern


class ClearDisk(TypedStep[ClearDiskInputs]):
    """Delete old files by pattern, the oldest first, through the target's verb `clear-disk`.

    The target clears only what its own file allows. What is deleted, nothing brings back; with `keep`, the undo does.
    """

    inputs = ClearDiskInputs
    example: ClassVar = {"pattern": "/var/log/shop/*.log.gz", "older_than_hours": 48, "keep": True}

    def needs(self, given: ClearDiskInputs) -> frozenset[str]:
        return frozenset({"clear-disk", "restore-disk"} if _undoable(given) else {"clear-disk"})

    def plan(self, given: ClearDiskInputs, service: str, status: ServiceStatus | None) -> str:
        del status
        verb = "list" if given.dry_run else "move to the trash" if given.keep else "delete"
        until = f", until its file system is used to less than {100 * given.below:g} %" if given.below else ""
        return f"{verb} {given.pattern} of {service} where older than {given.older_than_hours:g} hours{until}"

    def run(self, call: Call[ClearDiskInputs]) -> Done:
        given = call.given
        arguments: dict[str, object] = {"pattern": given.pattern, "older_than_hours": given.older_than_hours}
        if given.below:
            arguments["below"] = given.below
        if given.dry_run:
            arguments["dry_run"] = True
        if given.keep:
            arguments |= {"keep": True, "batch": _batch(call)}
        return Done(text=call.target.act(call.service, "clear-disk", key=call.key, arguments=arguments))

    def undo_plan(self, given: ClearDiskInputs, service: str) -> str:
        return f"bring back what was moved to the trash of {service}" if _undoable(given) else ""

    def undo(self, call: Call[ClearDiskInputs]) -> str:
        if not _undoable(call.given):
            return super().undo(call)
        return call.target.act(call.service, "restore-disk", key=call.key, arguments={"batch": _batch(call)})


def _undoable(given: ClearDiskInputs) -> bool:
    return given.keep and not given.dry_run


def _batch(call: Call[ClearDiskInputs]) -> str:
    """What run and undo of one step of one run have in common: their keys but for what comes after its number."""
    return ":".join(call.key.removesuffix(":undo").split(":")[:2])
