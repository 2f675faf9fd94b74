"""Who sent each record of a segment: a file beside it, `<token>.<signal>.senders`, written as well as may be.

A line holds a number of records and their sender. The file is written when its segment is sealed, and not synced: after
a crash, the records of the last seconds have an unknown sender. Nothing but messages to humans depends on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from watchkeeper.text import one_line

SUFFIX: Final = ".senders"
LONGEST_SENDER: Final = 200  # characters; a longer one is shortened


def senders_path(segment: Path) -> Path:
    """Where the senders of a segment's records are written, whatever state the segment is in."""
    token, signal = segment.name.split(".")[:2]
    return segment.with_name(f"{token}.{signal}{SUFFIX}")


def render(senders: Iterable[str]) -> str:
    """The lines for records that follow each other."""
    runs = [(len(list(run)), name) for name, run in groupby(senders)]
    return "".join(f"{count}\t{one_line(name, LONGEST_SENDER) if name else ''}\n" for count, name in runs)


def read_senders(segment: Path, records: int) -> list[str]:
    """The sender of each of a segment's `records`; empty text for an unknown one."""
    names: list[str] = []
    try:
        for line in senders_path(segment).read_text(encoding="utf-8", errors="replace").splitlines():
            count, _, name = line.partition("\t")
            if not count.isdecimal() or len(names) >= records:
                break
            names += [name] * min(int(count), records)
    except OSError:
        pass
    return (names + [""] * records)[:records]


def write_senders(segment: Path, senders: Sequence[str]) -> None:
    """Write the senders of a whole segment; nothing if none is known."""
    if any(senders):
        senders_path(segment).write_text(render(senders), encoding="utf-8")
