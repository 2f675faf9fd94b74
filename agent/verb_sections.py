"""What the agent's file says of verbs that no finder has: each is allowed by a section of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, model_validator

from watchkeeper.config_sections import Section
from watchkeeper.config_values import FilePath, Text

Words = Annotated[tuple[str, ...], Field(min_length=1)]
Seconds = Annotated[float, Field(ge=0.1, le=3600, allow_inf_nan=False)]
Hours = Annotated[float, Field(ge=0, le=87_600, allow_inf_nan=False)]
FEWEST_PARTS: Final = 3  # of a folder that may be cleared: `/var/log`, never `/var`


class CommandSection(Section):
    """A command of the user's that may be run by its name. No shell, and no argument from outside."""

    run: Words
    seconds: Seconds = 60.0
    folder: FilePath | None = None
    user: Text | None = None


class FlagSection(Section):
    """A flag: `do` sets it, `undo` unsets it, and `check` ends with status 0 while it is set and 1 while it is not.

    Each may be run again at any time.
    """

    do: Words
    undo: Words
    check: Words | None = None
    seconds: Seconds = 20.0
    folder: FilePath | None = None
    user: Text | None = None


class DrainSection(Section):
    """How a service gets no new requests: by two commands, or, where there are none, by the agent's proxy.

    `seconds` is how long the open connections are waited for.
    """

    do: Words | None = None
    undo: Words | None = None
    check: Words | None = None
    seconds: Annotated[float, Field(ge=0, le=25, allow_inf_nan=False)] = 20.0  # whoever asks waits for 30
    folder: FilePath | None = None
    user: Text | None = None

    @model_validator(mode="after")
    def _is_a_pair(self) -> DrainSection:
        if (self.do is None) != (self.undo is None):
            raise ValueError("needs both `do` and `undo`, or none of them to drain by the proxy")
        if self.check and not self.do:
            raise ValueError("`check` needs `do` and `undo`")
        return self


class ScaleSection(Section):
    """How many instances of a service there may be."""

    most: Annotated[int, Field(ge=1, le=1000)]
    least: Annotated[int, Field(ge=0, le=1000)] = 1

    @model_validator(mode="after")
    def _is_a_range(self) -> ScaleSection:
        if self.least > self.most:
            raise ValueError("`least` must not be more than `most`")
        return self


class ClearDiskSection(Section):
    """Folders in which old files may be deleted by pattern, and where they are kept for a while instead.

    A trash must be on another file system: moving files within one frees nothing.
    """

    folders: Annotated[tuple[FilePath, ...], Field(min_length=1)]
    least_age_hours: Hours = 1.0
    most_files: Annotated[int, Field(ge=1, le=100_000)] = 1000
    trash: FilePath | None = None
    trash_hours: Annotated[float, Field(gt=0, le=8760, allow_inf_nan=False)] = 24.0

    @model_validator(mode="after")
    def _is_narrow(self) -> ClearDiskSection:
        for folder in self.folders:
            if len(folder.parts) < FEWEST_PARTS or ".." in folder.parts:
                raise ValueError(f"{folder} is too wide; name a folder such as /var/log/orders")
        if self.trash and any(_overlap(self.trash, folder) for folder in self.folders):
            raise ValueError("`trash` must be outside of what may be cleared")
        return self

    def holds(self, path: Path) -> bool:
        """Whether a folder of the agent's own is, or is in, one that may be cleared, or the other way round."""
        return any(_overlap(path, folder) for folder in self.folders)


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)
