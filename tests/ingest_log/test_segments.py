"""The ingest log keeps what it acked, whatever happens, and takes no more than it can hold."""

from __future__ import annotations

import secrets
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.errors import IngestLogError
from watchkeeper.ingest_log.segments import IngestLog, OverloadedError, varint


def open_log(folder: Path, **changes: float) -> IngestLog:
    """A log with small limits, whose segments stay open until they are full or the log is closed."""
    size, backlog = int(changes.get("segment_bytes", 1 << 20)), int(changes.get("max_backlog_bytes", 1 << 20))
    scale = changes.get("open_scale", 1000)
    return IngestLog(folder, segment_bytes=size, max_backlog_bytes=backlog, open_scale=scale)


def records(log: IngestLog) -> list[bytes]:
    """Every record in the sealed segments, in order."""
    return [record for segment in log.sealed() for record in split(segment.path.read_bytes())]


def split(data: bytes) -> list[bytes]:
    """Length-delimited records; each here is shorter than 128 bytes."""
    found = []
    while data:
        found.append(data[1 : 1 + data[0]])
        data = data[1 + data[0] :]
    return found


def test_it_works(tmp_path: Path) -> None:
    """What was appended is on disk when the future is done, and sealed in order after closing."""
    log = open_log(tmp_path)
    for record in (b"one", b"two"):
        log.append("traces", record).result(5)
    (path,) = tmp_path.glob("*.traces.open")
    assert split(path.read_bytes()) == [b"one", b"two"]
    log.close()
    assert records(log) == [b"one", b"two"]


def test_a_segment_is_sealed_when_it_is_old(tmp_path: Path) -> None:
    """Without further requests, a segment still gets to the loader soon."""
    log = open_log(tmp_path, open_scale=0.05)
    log.append("traces", b"x").result(5)
    log.wait_for_sealed(5)
    assert records(log) == [b"x"]
    log.close()


def test_a_segment_is_sealed_when_it_is_full(tmp_path: Path) -> None:
    """At segment_bytes the next request starts another one."""
    log = open_log(tmp_path, segment_bytes=100)
    for _ in range(3):
        log.append("traces", b"x" * 60).result(5)
    log.close()
    assert [segment.size for segment in log.sealed()] == [61 * 2, 61]


def test_signals_and_kinds_are_kept_apart(tmp_path: Path) -> None:
    """Each signal has segments of its own; one of metrics says which kinds are in it."""
    log = open_log(tmp_path)
    log.append("logs", b"l").result(5)
    log.append("metrics", b"m", frozenset({"sum"})).result(5)
    log.append("metrics", b"m", frozenset({"exponential_histogram"})).result(5)
    log.close()
    found = {(segment.signal, segment.kinds) for segment in log.sealed()}
    assert found == {("logs", ()), ("metrics", ("exponential_histogram", "sum"))}


def test_a_full_backlog_refuses_until_it_is_loaded(tmp_path: Path) -> None:
    """Above the limit nothing more is acked; when the loader has removed a segment, appending works again."""
    log = open_log(tmp_path, segment_bytes=50, max_backlog_bytes=100)
    for _ in range(2):
        log.append("traces", b"x" * 60).result(5)
    with pytest.raises(OverloadedError) as told:
        log.append("traces", b"x")
    assert told.value.retry
    log.remove(log.sealed())
    log.append("traces", b"x").result(5)
    log.close()


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    """Two logs in one folder would load each other's open segments."""
    log = open_log(tmp_path)
    with pytest.raises(IngestLogError, match="another ingest process"):
        open_log(tmp_path)
    log.close()


def test_a_disk_that_fails_acks_nothing(tmp_path: Path) -> None:
    """When the folder is gone the append fails, and so does every later one."""
    folder = tmp_path / "log"
    log = open_log(folder)
    (folder / "lock").unlink()
    folder.rmdir()
    with pytest.raises(IngestLogError, match="cannot be written"):
        log.append("traces", b"x").result(5)
    with pytest.raises(IngestLogError, match="cannot be written"):
        log.append("traces", b"x")
    log.close()


def test_many_threads_share_a_log(tmp_path: Path) -> None:
    """Every acked record is there once, however many append at a time."""
    log = open_log(tmp_path, segment_bytes=500)
    names = [[f"{thread}-{n}".encode() for n in range(50)] for thread in range(8)]

    def append(mine: list[bytes]) -> None:
        for record in mine:
            log.append("traces", record).result(30)

    threads = [threading.Thread(target=append, args=(mine,)) for mine in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert sorted(records(log)) == sorted(record for mine in names for record in mine)


def test_complete_until_waits_for_the_oldest_segment(tmp_path: Path) -> None:
    """What is still on its way to the store holds the horizon back, for its own signal only."""
    log = open_log(tmp_path)
    log.append("traces", b"x").result(5)
    assert log.complete_until("traces", 9e9) < 9e9
    assert log.complete_until("logs", 9e9) == 9e9
    log.close()
    assert log.complete_until("traces", 9e9) < 9e9
    log.remove(log.sealed())
    assert log.complete_until("traces", 9e9) == 9e9


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(1, 400), min_size=1, max_size=6), cut=st.floats(0, 1), junk=st.binary(max_size=20))
def test_a_torn_tail_is_cut_and_the_rest_kept(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], cut: float, junk: bytes
) -> None:
    """After a crash at any byte, the whole records before it are kept and nothing else is."""
    folder = tmp_path_factory.mktemp("torn")
    bodies = [b"\x0a" + bytes([65 + index]) * size for index, size in enumerate(sizes)]
    framed = [varint(len(body)) + body for body in bodies]
    data = b"".join(framed)
    kept = data[: int(len(data) * cut)]
    whole, at = 0, 0
    while whole < len(framed) and at + len(framed[whole]) <= len(kept):
        at += len(framed[whole])
        whole += 1
    torn = kept + (b"\x7f" + junk if at == len(kept) else b"")
    (folder / f"{1:020d}-{secrets.token_hex(4)}.traces.open").write_bytes(torn)
    log = IngestLog(
        folder, segment_bytes=1000, max_backlog_bytes=1000, is_valid=lambda _, record: record.startswith(b"\x0a")
    )
    log.close()
    assert data[:at] == b"".join(segment.path.read_bytes() for segment in log.sealed())
