"""A bounded log of OTLP bodies on the disk: what the agent acked is here until the platform has acked it.

    bodies/00000000000000000012.bodies   a segment: bodies one after the other, each with a checksum
    bodies/place                         what was sent last: segment and offset
    aside/                               what the platform refused for good, and segments that were damaged

One thread writes whatever has gathered and syncs it once; only then are its senders answered. A segment is removed when
all of it was sent. After kill -9 a torn end is cut: nobody was told that it was taken. A checksum that is wrong before
the end is damage: the bodies around it are sent, and a copy is kept in `aside`.
"""

from __future__ import annotations

import asyncio
import os
import struct
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from agent.records import sync_folder
from agent.telemetry.aside import Aside
from agent.telemetry.body import LARGEST_BYTES, Body, body_at, framed, next_whole, packed
from agent.telemetry.section import LogSection
from watchkeeper.errors import AgentError

SEGMENT_BYTES: Final = 8 << 20
OWN_SHARE: Final = 0.05  # of the log is for the agent's own readings alone: they are small, and say why it is full
SYNC_PLACE_EVERY_S: Final = 1.0  # after a loss of power, what was sent since is sent again
LOOK_AT_DISK_EVERY_S: Final = 1.0
RETRY_AFTER_S: Final = 5
_PLACE: Final = struct.Struct(">QQBI")
_SUFFIX: Final = ".bodies"


class NotTaken(AgentError):
    """A body was not taken, and its sender must keep it."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retry=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much the log may hold.

    Attributes:
        bytes: of bodies that were not sent yet, as they are on the disk.
        age_s: how old the oldest may become.
        keep_free_bytes: of the file system, for everybody else.
    """

    bytes: int
    age_s: float
    keep_free_bytes: int

    @classmethod
    def of(cls, section: LogSection) -> Bounds:
        """The bounds that the agent's file sets."""
        return cls(bytes=section.mib << 20, age_s=section.hours * 3600, keep_free_bytes=section.keep_free_mib << 20)

    @property
    def segment_bytes(self) -> int:
        return max(64 << 10, min(SEGMENT_BYTES, self.bytes // 8))

    @property
    def aside_bytes(self) -> int:
        """Of what was set aside."""
        return max(self.bytes // 16, self.segment_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """The oldest body that was not sent, and where it stands."""

    body: Body
    segment: int
    begin: int
    end: int


@dataclass(slots=True)
class _Segment:
    number: int
    path: Path
    size: int  # what is synced; the rest is nobody's yet


@dataclass(slots=True)
class _Waiting:
    body: Body
    done: asyncio.Future[None] = field(repr=False)


class BodyLog:
    """The log in one folder. `append` belongs to one event loop; `next`, `sent` and `refuse` to one other thread.

    Args:
        report: called with what a human should know: damage, a torn end, a disk that fails.
    """

    def __init__(
        self,
        folder: Path,
        bounds: Bounds,
        report: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.bounds = bounds
        self.refused_full = 0  # bodies that were not taken
        self.aside = Aside(folder / "aside", bounds.aside_bytes)
        self._folder = folder / "bodies"
        self._report = report
        self._clock = clock
        self._lock = threading.Lock()
        self._segments: list[_Segment] = []
        self._active: tuple[_Segment, BinaryIO] | None = None
        self._reading: tuple[int, BinaryIO] | None = None
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = 0
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="body-log")
        self._flushing: asyncio.Task[None] | None = None
        self._arrived = asyncio.Event()
        self._oldest_at: float | None = None
        self._free: tuple[float, int] = (0.0, 0)
        self._failure = ""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._open()
        except OSError as error:
            raise AgentError(f"{self._folder} cannot be used: {error.strerror or error}") from error

    def _open(self) -> None:
        self._place_file = os.open(self._folder / "place", os.O_RDWR | os.O_CREAT, 0o600)
        self._place_synced = time.monotonic()
        segment, self._offset, self._damaged = _place_in(os.pread(self._place_file, _PLACE.size, 0))
        paths = {int(path.stem): path for path in self._folder.glob(f"*{_SUFFIX}") if path.stem.isdecimal()}
        for number in [each for each in paths if each < segment]:  # sent, and killed before they were removed
            paths.pop(number).unlink(missing_ok=True)
        self._next_number = max([segment, *(number + 1 for number in paths)])
        if paths:
            self._cut_torn(paths[max(paths)])
        self._segments = [_Segment(number, paths[number], paths[number].stat().st_size) for number in sorted(paths)]
        self._at = segment
        if segment not in paths:
            self._at, self._offset, self._damaged = (min(paths) if paths else self._next_number), 0, False
            self._keep_place(sync=True)  # a segment that gets this number must not be taken for one that was sent
        self.next()  # how old the oldest is decides whether the log is full

    def _cut_torn(self, path: Path) -> None:
        """Cut what a kill left half written at the end; damage before the end stays for whoever reads it."""
        with path.open("r+b") as file:
            end, size = 0, os.fstat(file.fileno()).st_size
            while end < size:
                read = body_at(file, end)
                if read:
                    end = read[1]
                elif (whole := next_whole(file, end)) is not None:
                    end = whole
                else:
                    break
            if end < size:
                file.truncate(end)
                os.fsync(file.fileno())
                self._report(f"cut {size - end} bytes that were half written when the agent ended; nobody was answered")

    @property
    def queued_bytes(self) -> int:
        """What was taken and not sent, in bytes on the disk."""
        with self._lock:
            sent = min(self._offset, self._segments[0].size) if self._segments and self._is_first(self._at) else 0
            return sum(segment.size for segment in self._segments) - sent

    @property
    def oldest_at(self) -> float | None:
        """When the oldest body that was not sent was taken, Unix seconds; None where all were sent."""
        return self._oldest_at

    def full(self, size: int, *, is_own: bool = False) -> str:
        """Why a body of so many bytes is not taken now; empty: it is."""
        most = self.bounds.bytes if is_own else int(self.bounds.bytes * (1 - OWN_SHARE))
        if self.queued_bytes + self._waiting_bytes + size > most:
            return f"the log is full: {self.bounds.bytes >> 20} MiB wait for the platform (telemetry.log.mib)"
        if self._oldest_at is not None and self._clock() - self._oldest_at > self.bounds.age_s:
            return (
                f"the log is full: the oldest body waits for over {self.bounds.age_s / 3600:g} h (telemetry.log.hours)"
            )
        if self._free_bytes() - size < self.bounds.keep_free_bytes:
            return (
                f"the disk is nearly full: {self.bounds.keep_free_bytes >> 20} MiB stay free (telemetry.log."
                "keep_free_mib)"
            )
        return ""

    def _free_bytes(self) -> int:
        at, free = self._free
        if not at or time.monotonic() - at > LOOK_AT_DISK_EVERY_S:
            try:
                status = os.statvfs(self._folder)
            except OSError:  # the write will fail, and say why
                return self.bounds.keep_free_bytes + LARGEST_BYTES
            free = status.f_bavail * status.f_frsize
            self._free = (time.monotonic(), free)
        return free

    async def append(self, body: Body, *, is_own: bool = False) -> None:
        """Take a body; when this returns, the disk has it.

        Raises:
            NotTaken: the log is full, or the disk fails.
        """
        if why := self.full(len(body.data), is_own=is_own):
            self.refused_full += 1
            raise NotTaken(why)
        waiting = _Waiting(body, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._waiting_bytes += len(body.data)
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())
        # What is written is written, whether or not its sender still waits.
        await asyncio.shield(waiting.done)

    async def _flush(self) -> None:
        """Write what has gathered, again and again: what comes during one sync goes with the next."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                failure = await loop.run_in_executor(self._writer, self._write, [each.body for each in batch])
            except Exception as error:  # noqa: BLE001 - whatever it is, their senders must be answered
                failure = f"{self._folder} cannot be written: {type(error).__name__}: {error}"
            self._waiting_bytes -= sum(len(each.body.data) for each in batch)
            for each in batch:
                if failure:
                    self.refused_full += 1
                    each.done.set_exception(NotTaken(failure))
                    each.done.exception()  # its sender may be gone
                else:
                    each.done.set_result(None)
            self._arrived.set()
        self._flushing = None

    def _write(self, bodies: list[Body]) -> str:
        """Write and sync; why that failed, or nothing."""
        data = b"".join(framed(packed(body)) for body in bodies)
        try:
            segment, file = self._segment()
            try:
                left = memoryview(data)
                while left:
                    left = left[os.write(file.fileno(), left) :]
                os.fdatasync(file.fileno())
            except OSError:
                self._active = None  # after a failed sync nobody knows what the disk has: begin another
                with suppress(OSError):
                    os.ftruncate(file.fileno(), segment.size)
                with suppress(OSError):
                    file.close()
                raise
        except OSError as error:
            why = f"{self._folder} cannot be written: {error.strerror or error}"
            if why != self._failure:
                self._report(why)
            self._failure = why
            return why
        self._failure = ""
        with self._lock:
            segment.size += len(data)
            if self._oldest_at is None:
                self._oldest_at = bodies[0].at
        return ""

    def _segment(self) -> tuple[_Segment, BinaryIO]:
        """The segment to write to; a new one after the last has its size."""
        if self._active and self._active[0].size >= self.bounds.segment_bytes:
            self._active[1].close()
            self._active = None
        if self._active is None:
            path = self._folder / f"{self._next_number:020d}{_SUFFIX}"
            file = path.open("xb", buffering=0)
            self._active = (_Segment(self._next_number, path, 0), file)
            with self._lock:
                self._segments.append(self._active[0])
                self._next_number += 1
            sync_folder(self._folder)
        return self._active

    async def wait(self, timeout_s: float) -> None:
        """Until something may have arrived."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._arrived.wait()
        self._arrived.clear()

    def next(self) -> Queued | None:
        """The oldest body that was not sent; None where all were. Blocks for the disk."""
        while True:
            with self._lock:
                segment = next((each for each in self._segments if each.number >= self._at), None)
                size = segment.size if segment else 0
                is_last = segment is None or segment is self._segments[-1]
                if segment is None or (segment.number == self._at and self._offset >= size and is_last):
                    self._oldest_at = None
                    return None
            if segment.number != self._at:
                self._at, self._offset = segment.number, 0
            if self._offset >= size:
                self._finish(segment)
                continue
            try:
                read = body_at(self._file(segment), self._offset)
                whole = None if read else next_whole(self._file(segment), self._offset)
            except OSError as error:
                self._report(f"{segment.path.name} cannot be read ({error.strerror or error}) and is set aside")
                self._damaged, self._offset = True, size
                continue
            if read and read[1] <= size:
                body, end = read
                self._oldest_at = body.at
                return Queued(body=body, segment=segment.number, begin=self._offset, end=end)
            self._skip(segment, size if whole is None else min(whole, size))

    def _skip(self, segment: _Segment, to: int) -> None:
        self._report(
            f"{segment.path.name} is damaged: {to - self._offset} bytes at {self._offset} cannot be read; the "
            f"bodies around them are sent, and the file will be kept in {self.aside.folder}"
        )
        self._damaged, self._offset = True, to
        self._keep_place()

    def _file(self, segment: _Segment) -> BinaryIO:
        if self._reading and self._reading[0] == segment.number:
            return self._reading[1]
        self._close_reading()
        self._reading = (segment.number, segment.path.open("rb", buffering=0))
        return self._reading[1]

    def _close_reading(self) -> None:
        if self._reading:
            self._reading[1].close()
            self._reading = None

    def sent(self, queued: Queued) -> None:
        """The platform has acked it: it is never sent again."""
        self._offset = queued.end
        self._keep_place()
        self.next()

    def refuse(self, queued: Queued, reason: str) -> None:
        """The platform will never take it: set it aside, with the reason, and go on."""
        try:
            self.aside.keep_body(f"{queued.segment:020d}-{queued.begin:010d}", queued.body, reason)
        except OSError as error:  # it must not hold up the others
            self._report(f"a body that the platform refused could not be kept: {error.strerror or error}")
        self.sent(queued)

    def _finish(self, segment: _Segment) -> None:
        """All of a segment was sent: note that first, then remove it."""
        damaged, self._damaged = self._damaged, False
        self._at, self._offset = segment.number + 1, 0
        self._keep_place(sync=True)
        self._close_reading()
        if damaged:
            self.aside.keep_segment(segment.path)
        segment.path.unlink(missing_ok=True)
        with self._lock:
            self._segments.remove(segment)

    def _keep_place(self, *, sync: bool = False) -> None:
        """One write within one page: a kill leaves the old place or the new one."""
        fields = _PLACE.pack(self._at, self._offset, self._damaged, 0)[:-4]
        try:
            os.pwrite(self._place_file, fields + zlib.crc32(fields).to_bytes(4), 0)
            if sync or time.monotonic() - self._place_synced > SYNC_PLACE_EVERY_S:
                os.fdatasync(self._place_file)
                self._place_synced = time.monotonic()
        except OSError as error:  # an old place costs that something is sent twice
            self._report(f"{self._folder / 'place'} cannot be written: {error.strerror or error}")

    def _is_first(self, number: int) -> bool:
        return self._segments[0].number == number

    async def close(self) -> None:
        """Write what has gathered, and let go of the files."""
        if self._flushing:
            await self._flushing
        await asyncio.to_thread(self._writer.shutdown)
        if self._active:
            self._active[1].close()
        self._close_reading()
        os.close(self._place_file)


def _place_in(data: bytes) -> tuple[int, int, bool]:
    """Segment, offset, and whether the segment is damaged; the beginning where nothing usable was kept."""
    if len(data) == _PLACE.size:
        segment, offset, damaged, checksum = _PLACE.unpack(data)
        if zlib.crc32(data[:-4]) == checksum:
            return segment, offset, bool(damaged)
    return 0, 0, False
