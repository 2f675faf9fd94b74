"""The step `clear-disk`."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from runbooks.step import Call, Done, Inputs, TypedStep
from watchkeeper.target import ServiceStatus


class ClearDiskInputs(Inputs):
    """Files by pattern, older than some hours. The target allows folders; this names files in them."""

    pattern: Annotated[str, Field(min_length=1, max_length=500)]
    older_than_hours: Annotated[float, Field(ge=0, le=87_600)] = 24.0

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
    """Delete old files by pattern, through the target's verb `clear-disk`.

    The target deletes only what its own file allows. Nothing brings them back.
    """

    inputs = ClearDiskInputs
    example: ClassVar = {"pattern": "/var/log/shop/*.log.gz", "older_than_hours": 48}

    def needs(self, given: ClearDiskInputs) -> frozenset[str]:
        del given
        return frozenset({"clear-disk"})

    def plan(self, given: ClearDiskInputs, service: str, status: ServiceStatus | None) -> str:
        del status
        return f"delete {given.pattern} of {service} where older than {given.older_than_hours:g} hours"

    def run(self, call: Call[ClearDiskInputs]) -> Done:
        arguments = {"pattern": call.given.pattern, "older_than_hours": call.given.older_than_hours}
        return Done(text=call.target.act(call.service, "clear-disk", key=call.key, arguments=arguments))
