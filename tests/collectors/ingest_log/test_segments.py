"""The ingest log keeps what it acked, whatever happens, and takes no more than it can hold."""

from __future__ import annotations

import secrets
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting import until

from collectors.ingest_log.segments import LOAD_EVERY_S, IngestLog, OverloadedError, until_load_s, varint
from watchkeeper.errors import IngestLogError


def open_log(folder: Path, **changes: float) -> IngestLog:
    """A log with small limits, whose segments stay open until they are full or the log is closed."""
    size, backlog = int(changes.get("segment_bytes", 1 << 20)), int(changes.get("max_backlog_bytes", 1 << 20))
    scale = changes.get("load_scale", 1e6)
    return IngestLog(folder, segment_bytes=size, max_backlog_bytes=backlog, load_scale=scale)


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
    log = open_log(tmp_path, load_scale=0.05)
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
    with pytest.raises(OverloadedError) as raised:
        log.append("traces", b"x")
    assert raised.value.retry
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

    def append(own_names: list[bytes]) -> None:
        for record in own_names:
            log.append("traces", record).result(30)

    threads = [threading.Thread(target=append, args=(own_names,)) for own_names in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert sorted(records(log)) == sorted(record for own_names in names for record in own_names)


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


def test_a_sender_that_goes_away_takes_nobodys_ack_with_it(tmp_path: Path) -> None:
    """Who no longer waits cannot undo what is being written, nor stop the thread that writes."""
    log = open_log(tmp_path)
    gone = [log.append("traces", b"gone %d" % number) for number in range(20)]
    for done in gone:
        done.cancel()
    log.append("traces", b"stays").result(60)
    log.close()
    assert records(log)[-1] == b"stays"
    assert len(records(log)) == 21


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from watchkeeper.errors import IngestLogError
from collectors.ingest_log.segments import IngestLog

log = IngestLog(Path(sys.argv[1]), segment_bytes=1 << 20, max_backlog_bytes=1 << 20, load_scale=1e6)
log.append("traces", b"a" * 100).result(60)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (150, resource.RLIM_INFINITY))
try:
    log.append("traces", b"b" * 100).result(60)
except IngestLogError:
    print("refused")
log.close()
"""


def test_what_a_full_disk_took_only_in_part_is_not_acked(tmp_path: Path) -> None:
    """A disk that is nearly full takes half of a record without an error; what was acked before stays whole."""
    output = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, timeout=120, check=True
    )
    assert output.stdout == "refused\n"
    (path,) = tmp_path.glob("*.ready")
    assert split(path.read_bytes()) == [b"a" * 100]


def test_a_segment_that_cannot_be_sealed_is_reported(tmp_path: Path) -> None:
    """Somebody removes an open segment: the log refuses what comes next and says why, and nobody waits for ever."""
    log = open_log(tmp_path, load_scale=0.2)

    def removed() -> str | None:
        """Once more where it was sealed a moment before."""
        if not log.problem:
            with suppress(IngestLogError):
                log.append("traces", b"x").result(60)
            for path in tmp_path.glob("*.open"):
                path.unlink(missing_ok=True)
        return log.problem

    until(removed)
    assert "cannot be written" in (log.problem or "")
    with pytest.raises(IngestLogError, match="cannot be written"):
        log.append("traces", b"y").result(60)
    log.close()


@pytest.mark.parametrize("signal", sorted(LOAD_EVERY_S))
@pytest.mark.parametrize("after_s", [0.001, 1.3, 2.4, 2.6, 4.999, 7.2, 9.0])
def test_loads_are_aligned_with_the_buckets(signal: str, after_s: float) -> None:
    """What came until two seconds after the end of a signal's bucket is sent then, whenever its segment was opened."""
    bucket_end = 1_790_000_000.0
    opened = bucket_end + 2 - after_s
    load_at = opened + until_load_s(signal, opened)
    assert load_at <= bucket_end + 2 + 1e-6
    assert until_load_s(signal, bucket_end + 2) == LOAD_EVERY_S[signal]
    assert 0 < until_load_s(signal, opened, 0.04) <= 0.04 * LOAD_EVERY_S[signal]
