"""What marks a silence or an override as the configuration file's: nothing but the file changes it."""

from __future__ import annotations

from typing import Final

from watchkeeper.errors import Conflict

PREFIX: Final = "file-"  # of the ids
OWNER: Final = "the configuration file"


def refuse_owned(what: str, name: str, section: str) -> None:
    """Refuse a change of something that the file owns.

    Raises:
        Conflict: says where it is changed.
    """
    if name.startswith(PREFIX):
        raise Conflict(
            f"{what} {name} is owned by {OWNER}: change `{section}` there, then run `watchkeeper oncall apply`"
        )
