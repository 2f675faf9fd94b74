"""What the store rejects, kept beside the rest: a `*.refused` segment and a JSON file with the reason.

A quarantined segment that is renamed to `*.ready` is loaded again, while the ingest role runs or at its next start.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from google.protobuf.message import DecodeError

from collectors.ingest_log.attributes import MESSAGES
from collectors.ingest_log.framing import records
from collectors.ingest_log.senders import read_senders, senders_path
from watchkeeper.errors import IngestLogError, NotFound
from watchkeeper.text import one_line

REFUSED: Final = ".refused"
MOST_NAMES: Final = 20  # services and senders that are named
UNKNOWN: Final = "not recorded"
_SERVICE: Final = re.compile(rb"service\.name\x12.\x0a([\x01-\x7f])", re.DOTALL)
_RESOURCES: Final = {"traces": "resource_spans", "logs": "resource_logs", "metrics": "resource_metrics"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """One quarantined segment. `refused_at` is Unix seconds; `size` bytes; `requests` how many it holds."""

    name: str
    signal: str
    requests: int
    size: int
    reason: str
    code: int
    senders: tuple[str, ...]
    services: tuple[str, ...]
    refused_at: float

    @property
    def subject(self) -> str:
        """Whose telemetry it is, in one line."""
        services = ", ".join(self.services) or "a service without a name"
        return f"{self.signal} of {services} from {', '.join(self.senders) or 'an unknown sender'}"

    @property
    def advice(self) -> str:
        """What happened and what to do, in one line."""
        return f"quarantined; see `watchkeeper ingest refused show {self.name}`. The store answered: {self.reason}"


def describe(path: Path, *, reason: str, code: int, now: float) -> Quarantined:
    """Look at a segment on its way into quarantine."""
    requests = records(path.read_bytes())
    signal = path.name.split(".")[1]
    return Quarantined(
        name=path.with_suffix("").name,
        signal=signal,
        requests=len(requests),
        size=path.stat().st_size,
        reason=one_line(reason, 1000),
        code=code,
        senders=_named(read_senders(path, len(requests))),
        services=services(signal, requests),
        refused_at=now,
    )


def services(signal: str, requests: Sequence[bytes]) -> tuple[str, ...]:
    """The services that requests name, as far as they can be read at all."""
    return _named(name for request in requests for name in _services(signal, request))


def set_aside(path: Path, segment: Quarantined) -> Path:
    """Move a sealed segment into quarantine; returns where it is. The reason is written first."""
    target = path.with_suffix(REFUSED)
    note = _note(target)
    draft = note.with_suffix(".draft")
    draft.write_text(json.dumps(asdict(segment), indent=1), encoding="utf-8")
    draft.replace(note)
    path.rename(target)
    return target


def listed(folder: Path) -> list[Quarantined]:
    """Everything in quarantine, oldest first."""
    segments = []
    for path in sorted(folder.glob(f"*{REFUSED}")):
        with contextlib.suppress(FileNotFoundError):  # somebody put it back meanwhile
            segments.append(_read(path))
    return segments


def retry(folder: Path, name: str) -> None:
    """Put one segment back before the loader."""
    path = _find(folder, name)
    _renamed(path, path.with_suffix(".ready"))
    _note(path).unlink(missing_ok=True)


def drop(folder: Path, name: str) -> None:
    """Delete one segment for good."""
    path = _find(folder, name)
    for each in (senders_path(path), _note(path), path):
        each.unlink(missing_ok=True)


def read_requests(folder: Path, name: str) -> tuple[Quarantined, list[bytes]]:
    """One quarantined segment and the requests in it."""
    path = _find(folder, name)
    return _read(path), records(path.read_bytes())


def _renamed(path: Path, target: Path) -> None:
    try:
        path.rename(target)
    except OSError as error:
        raise IngestLogError(f"{path} cannot be renamed to {target.name}: {error.strerror}") from error


def _find(folder: Path, name: str) -> Path:
    name = name.removesuffix(REFUSED)
    path = folder / f"{name}{REFUSED}"
    if path.parent != folder or not path.is_file():
        raise NotFound(f"nothing named {one_line(name)} is in quarantine; see `watchkeeper ingest refused list`")
    return path


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _read(path: Path) -> Quarantined:
    try:
        row = json.loads(_note(path).read_text(encoding="utf-8"))
        return Quarantined(**{**row, "senders": tuple(row["senders"]), "services": tuple(row["services"])})
    except (OSError, ValueError, KeyError, TypeError):  # from an earlier version, or by hand
        return describe(path, reason=UNKNOWN, code=0, now=path.stat().st_mtime)


def _services(signal: str, request: bytes) -> Iterator[str]:
    try:
        message = MESSAGES[signal].FromString(request)
        for resource in getattr(message, _RESOURCES[signal]):
            for pair in resource.resource.attributes:
                if pair.key == "service.name":
                    yield pair.value.string_value
    except (DecodeError, KeyError):
        for match in _SERVICE.finditer(request):  # what the bytes still hold
            yield request[match.end() : match.end() + match.group(1)[0]].decode(errors="replace")


def _named(names: Iterable[str]) -> tuple[str, ...]:
    seen = dict.fromkeys(one_line(name, 100) for name in names if name)
    return tuple(seen)[:MOST_NAMES]
