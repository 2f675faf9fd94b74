"""The agent's log of bodies: order, places, torn ends, damage, bounds, and disks that fail."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.telemetry.body import Body, framed, packed
from agent.telemetry.body_log import BodyLog, Bounds, NotTaken

NOW = 1_000_000.0
BOUNDS = Bounds(bytes=4 << 20, age_s=3600, keep_free_bytes=0)


class Reports(list[str]):
    def __call__(self, what: str) -> None:
        self.append(what)


def body(text: str, at: float = NOW) -> Body:
    return Body(signal="logs", data=text.encode(), at=at)


def with_log(folder: Path, use: Callable[[BodyLog], Awaitable[None]], bounds: Bounds = BOUNDS) -> Reports:
    """Open the log, use it, close it; what it reported."""
    reports = Reports()

    async def run() -> None:
        log = BodyLog(folder, bounds, reports, clock=lambda: NOW)
        try:
            await use(log)
        finally:
            await log.close()

    asyncio.run(run())
    return reports


def append(folder: Path, *texts: str, bounds: Bounds = BOUNDS) -> Reports:
    async def use(log: BodyLog) -> None:
        for text in texts:
            await log.append(body(text))

    return with_log(folder, use, bounds)


def drain(folder: Path, most: int = 10_000) -> tuple[list[str], Reports]:
    """What comes out, each marked as sent."""
    out: list[str] = []

    async def use(log: BodyLog) -> None:
        while len(out) < most and (queued := log.next()):
            data = queued.body.data
            out.append((zlib.decompress(data, 31) if queued.body.encoding else data).decode())
            log.sent(queued)

    reports = with_log(folder, use)
    return out, reports


def segments(folder: Path) -> list[Path]:
    return sorted((folder / "bodies").glob("*.bodies"))


def test_what_goes_in_comes_out_in_order_and_once(tmp_path: Path) -> None:
    """Over restarts between any two of them."""
    append(tmp_path, "a", "b")
    assert drain(tmp_path, most=1) == (["a"], [])
    append(tmp_path, "c", "d" * 1000)
    assert drain(tmp_path, most=2) == (["b", "c"], [])
    assert drain(tmp_path) == (["d" * 1000], [])
    assert drain(tmp_path) == ([], [])


@given(cut=st.integers(1, 60))
def test_a_torn_end_is_cut(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    """A kill in the middle of a write: what was answered stays, and what comes next stands after it."""
    folder = tmp_path_factory.mktemp("log")
    append(folder, "a", "b")
    torn = framed(body("c" * 40))[: min(cut, len(framed(body("c" * 40))) - 1)]
    with segments(folder)[-1].open("ab") as file:
        file.write(torn)
    reports = append(folder, "d")
    assert reports == [f"cut {len(torn)} bytes that were half written when the agent ended; nobody was answered"]
    assert drain(folder) == (["a", "b", "d"], [])


@settings(max_examples=40)
@given(places=st.lists(st.integers(0, 2000), min_size=1, max_size=4))
def test_damage_costs_the_bodies_that_it_hit(tmp_path_factory: pytest.TempPathFactory, places: list[int]) -> None:
    """Bytes that changed on the disk: every other body comes out, in order, and people are told and keep a copy."""
    folder = tmp_path_factory.mktemp("log")
    texts = [f"{number:02} " + "x" * 50 for number in range(20)]
    append(folder, *texts)
    (path,) = segments(folder)
    data = bytearray(path.read_bytes())
    size = len(data) // 20
    hit = {place % len(data) for place in places if place % len(data) < len(data) - size}
    for place in hit:
        data[place] ^= 0x55
    path.write_bytes(data)
    reports = append(folder, "after")
    out, more = drain(folder)
    reports += more
    assert out == [*(text for number, text in enumerate(texts) if number not in {at // size for at in hit}), "after"]
    assert bool(reports) == bool(hit)
    assert all("is damaged" in report for report in reports)
    assert len(list((folder / "aside").glob("*.damaged"))) == bool(hit)


def test_a_segment_without_a_whole_body_is_set_aside(tmp_path: Path) -> None:
    """It holds nothing up."""
    append(tmp_path, *("x" * 100 for _ in range(3)))
    segments(tmp_path)[0].write_bytes(b"\0" * 5000)
    append(tmp_path, "after")  # cut as a torn end: nothing whole is in it
    out, _ = drain(tmp_path)
    assert out == ["after"]


def test_a_lost_place_costs_that_something_is_sent_twice(tmp_path: Path) -> None:
    """And nothing else."""
    append(tmp_path, "a", "b")
    drain(tmp_path, most=1)
    (tmp_path / "bodies" / "place").write_bytes(b"torn")
    assert drain(tmp_path) == (["a", "b"], [])


def test_segments_that_somebody_removed_take_nothing_with_them(tmp_path: Path) -> None:
    """What comes later gets a place of its own, also if the agent is killed before it sent any of it."""
    append(tmp_path, *("x" * 150 for _ in range(20)))
    drain(tmp_path, most=15)
    for path in segments(tmp_path):
        path.unlink()
    texts = [f"{number:02} " + "y" * 150 for number in range(30)]
    append(tmp_path, *texts)
    assert drain(tmp_path) == (texts, [])


def test_segments_that_were_sent_are_removed(tmp_path: Path) -> None:
    """The disk has what waits, and one segment more at most."""
    noise = [f"{number}" + zlib.compress(bytes([number] * 9), 0).hex() * 5000 for number in range(40)]
    append(tmp_path, *noise, bounds=Bounds(bytes=64 << 20, age_s=3600, keep_free_bytes=0))
    assert drain(tmp_path)[0] == noise
    assert len(segments(tmp_path)) == 1


def test_it_refuses_when_it_is_full_by_bytes_and_takes_again(tmp_path: Path) -> None:
    """A share is kept for the agent's own readings."""

    async def use(log: BodyLog) -> None:
        large = Body(signal="logs", data=b"x" * 10_000, at=NOW, encoding="gzip")
        for _ in range(99):
            await log.append(large)
        with pytest.raises(NotTaken, match="the log is full: 1 MiB wait for the platform"):
            await log.append(large)
        await log.append(body("own"), is_own=True)
        for _ in range(10):
            queued = log.next()
            assert queued
            log.sent(queued)
        await log.append(body("again"))

    with_log(tmp_path, use, Bounds(bytes=1 << 20, age_s=3600, keep_free_bytes=0))


def test_it_refuses_when_the_oldest_is_too_old(tmp_path: Path) -> None:
    """Also right after a restart, before anything was sent."""

    async def old(log: BodyLog) -> None:
        await log.append(body("old", at=NOW - 4000))
        with pytest.raises(NotTaken, match="waits for over 1 h"):
            await log.append(body("new"))

    with_log(tmp_path, old)

    async def again(log: BodyLog) -> None:
        with pytest.raises(NotTaken, match="waits for over 1 h"):
            await log.append(body("new"))
        queued = log.next()
        assert queued
        log.sent(queued)
        await log.append(body("new"))

    with_log(tmp_path, again)


def test_it_leaves_the_disk_to_others(tmp_path: Path) -> None:
    """Below the free space that the file wants kept, nothing is taken."""

    async def use(log: BodyLog) -> None:
        with pytest.raises(NotTaken, match="the disk is nearly full"):
            await log.append(body("a"))

    with_log(tmp_path, use, Bounds(bytes=1 << 20, age_s=3600, keep_free_bytes=1 << 60))


def test_a_disk_that_fails_is_told_and_recovers(tmp_path: Path) -> None:
    """Whoever sent it is refused, and the next body is taken when the folder is back."""
    reports = Reports()

    async def run() -> None:
        log = BodyLog(tmp_path, BOUNDS, reports, clock=lambda: NOW)
        (tmp_path / "bodies").rename(tmp_path / "away")
        with pytest.raises(NotTaken, match="cannot be written: No such file"):
            await log.append(body("a"))
        (tmp_path / "away").rename(tmp_path / "bodies")
        await log.append(body("b"))
        await log.close()

    asyncio.run(run())
    assert len(reports) == 1
    assert drain(tmp_path) == (["b"], [])


def test_many_at_once_are_written_together(tmp_path: Path) -> None:
    """Each is on the disk when it is answered, and none waits for a sync of its own."""

    async def use(log: BodyLog) -> None:
        await asyncio.gather(*(log.append(body(f"{number}")) for number in range(500)))

    with_log(tmp_path, use)
    assert sorted(drain(tmp_path)[0], key=int) == [str(number) for number in range(500)]


def test_what_is_set_aside_is_bounded(tmp_path: Path) -> None:
    """The newest stay."""

    async def use(log: BodyLog) -> None:
        for number in range(30):
            await log.append(Body(signal="logs", data=bytes(20_000) + bytes([number]), at=NOW, encoding="gzip"))
            queued = log.next()
            assert queued
            log.refuse(queued, f"400 number {number}")

    with_log(tmp_path, use, Bounds(bytes=1 << 20, age_s=3600, keep_free_bytes=0))
    kept = sorted((tmp_path / "aside").iterdir())
    assert 1 <= len(kept) <= 7
    assert b"number 29" in kept[-1].read_bytes()


def test_a_body_is_packed_once(tmp_path: Path) -> None:
    """What its sender packed stays as it is; the same bytes become the same bytes, so that a repeat is known."""
    plain = body("x" * 1000)
    assert packed(packed(plain)) == packed(plain)
    assert len(packed(plain).data) < 100
    assert packed(body("short")) == body("short")
