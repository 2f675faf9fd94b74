"""One segment into two, so that a kill at any moment neither loses nor doubles a record.

1. Both parts are written and synced, as `<token>-0.….part` and `<token>-1.….part`.
2. The segment is renamed from `.ready` to `.split`: from here on the parts count, before it the whole.
3. The parts are renamed to `.ready`, and the `.split` is removed.

A part's token is made of the whole's, so a part that the store has already is known to it. Nothing of the whole may
be in the store when it is split.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from google.protobuf.message import DecodeError

from collectors.ingest_log.attributes import MESSAGES
from collectors.ingest_log.framing import framed, records
from collectors.ingest_log.senders import read_senders, senders_path, write_senders

_ITEMS: Final = {
    "traces": ("resource_spans", "scope_spans", "spans"),
    "logs": ("resource_logs", "scope_logs", "log_records"),
    "metrics": ("resource_metrics", "scope_metrics", "metrics", None, "data_points"),
}


def split_records(path: Path) -> bool:
    """Divide a sealed segment between its records; False if it holds only one."""
    requests = records(path.read_bytes())
    if len(requests) < 2:
        return False
    names = read_senders(path, len(requests))
    middle = _middle([len(record) for record in requests])
    _replace(path, [(requests[:middle], names[:middle]), (requests[middle:], names[middle:])])
    return True


def split_request(path: Path, signal: str) -> bool:
    """Divide a segment of one request between that request's items; False if there is one, or it is unreadable."""
    requests = records(path.read_bytes())
    if len(requests) != 1:
        return False
    names = read_senders(path, 1)
    parts = halves(signal, requests[0])
    if parts is None:
        return False
    _replace(path, [([part], names) for part in parts])
    return True


def halves(signal: str, request: bytes) -> tuple[bytes, bytes] | None:
    """Two requests that together hold what one holds, each with half of its resources, else scopes, else items."""
    try:
        first, second = MESSAGES[signal].FromString(request), MESSAGES[signal].FromString(request)
    except DecodeError:
        return None
    left, right = first, second
    for name in _ITEMS[signal]:
        if name is None:
            kind = left.WhichOneof("data")
            if kind is None:
                return None
            left, right = getattr(left, kind), getattr(right, kind)
            continue
        items, others = getattr(left, name), getattr(right, name)
        if len(items) > 1:
            middle = len(items) // 2
            del items[middle:]
            del others[:middle]
            return first.SerializeToString(), second.SerializeToString()
        if not items:
            return None
        left, right = items[0], others[0]
    return None


def finish_splits(folder: Path) -> None:
    """Complete what a crash left half divided."""
    for whole in folder.glob("*.split"):
        _release(whole)
    for part in folder.glob("*.part"):  # the whole is still there, undivided
        senders_path(part).unlink(missing_ok=True)
        part.unlink()


def _middle(sizes: Sequence[int]) -> int:
    """Where to cut so that both sides are about as large, and none is empty."""
    half, seen = sum(sizes) / 2, 0
    for index, size in enumerate(sizes[:-1], 1):
        seen += size
        if seen >= half:
            return index
    return len(sizes) - 1


def _parts(path: Path) -> list[Path]:
    token, rest = path.name.split(".", 1)
    return [path.with_name(f"{token}-{index}.{rest}").with_suffix(".part") for index in (0, 1)]


def _replace(path: Path, parts: Sequence[tuple[Sequence[bytes], Sequence[str]]]) -> None:
    for target, (requests, names) in zip(_parts(path), parts, strict=True):
        with target.open("wb") as file:
            file.write(framed(requests))
            file.flush()
            os.fsync(file.fileno())
        write_senders(target, names)
    _sync(path.parent)
    whole = path.with_suffix(".split")
    path.rename(whole)
    _sync(path.parent)
    _release(whole)


def _release(whole: Path) -> None:
    for part in _parts(whole):
        if part.exists():
            part.rename(part.with_suffix(".ready"))
    _sync(whole.parent)
    senders_path(whole).unlink(missing_ok=True)
    whole.unlink()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
