"""The loader: what fails is sent again for as long as it takes; only what is bad in itself is quarantined, alone."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from scripted_store import Answers, is_empty, loading, open_log, scripted_store, stored_records

from collectors.ingest_log import quarantine
from collectors.ingest_log.framing import framed, records
from collectors.ingest_log.loader import PROBE
from collectors.ingest_log.segments import IngestLog
from tests.waiting import until
from watchkeeper.problems import Problems

UNREADABLE = (500, "444", "Code: 444. DB::Exception: Protobuf messages are corrupted")


def append(log: IngestLog, *requests: bytes, sender: str = "10.0.0.9") -> None:
    """Append and wait until everything is on disk."""
    for done in [log.append("traces", request, sender=sender) for request in requests]:
        done.result(60)


def refused(folder: Path) -> list[bytes]:
    """Every quarantined record."""
    return [record for path in folder.glob("*.refused") for record in records(path.read_bytes())]


@pytest.mark.parametrize("guilty", [[0], [29], [3, 4, 17], [*range(0, 30, 2)], [*range(30)]])
def test_only_the_guilty_requests_of_a_segment_are_quarantined(tmp_path: Path, guilty: list[int]) -> None:
    """A segment that can't be read is divided until each guilty request is alone; the others are stored, once."""
    requests = [b"poison %d" % index if index in guilty else b"good %d" % index for index in range(30)]
    answers = Answers(lambda _, body: UNREADABLE if b"poison" in body else (200, "", ""))
    log = open_log(tmp_path, segment_bytes=1 << 20)
    append(log, *requests)
    log.close()
    problems = Problems(None)
    with scripted_store(answers) as store, loading(log, store, problems):
        until(lambda: is_empty(tmp_path))
    assert sorted(stored_records(answers)) == sorted(each for each in requests if b"good" in each)
    assert sorted(refused(tmp_path)) == sorted(each for each in requests if b"poison" in each)
    assert log.backlog_bytes == 0
    (problem,) = problems.current()
    assert (problem.loop, problem.count) == ("loader", len(guilty))
    assert "10.0.0.9" in problem.subject


def test_a_quarantined_request_names_its_sender_and_the_reason(tmp_path: Path) -> None:
    """Of several senders in a segment, the note names the guilty one, with the store's words."""
    answers = Answers(lambda _, body: UNREADABLE if b"poison" in body else (200, "", ""))
    log = open_log(tmp_path, segment_bytes=1 << 20)
    append(log, b"good 1", sender="10.0.0.1")
    append(log, b"poison", sender="10.0.0.2\nforged")
    append(log, b"good 2", sender="10.0.0.3")
    log.close()
    with scripted_store(answers) as store, loading(log, store):
        until(lambda: is_empty(tmp_path))
    (path,) = tmp_path.glob("*.refused.json")
    note = json.loads(path.read_text())
    assert (note["senders"], note["requests"], note["code"]) == (["10.0.0.2 forged"], 1, 444)
    assert "corrupted" in note["reason"]
    assert [each.name for each in quarantine.listed(tmp_path)] == [note["name"]]


@pytest.mark.parametrize(
    "code", ["242", "999", "319", "285", "60", "252", "243", "241", "159", "516", "54321", "", "x"]
)
def test_what_passes_is_waited_for(tmp_path: Path, code: str) -> None:
    """A store that refuses everything for a while, a balancer without a code, an unknown code: nothing is set aside."""
    answers = Answers(lambda *_: (502 if code in ("", "x") else 500, code, "DB::Exception: not now"))
    log = open_log(tmp_path)
    append(log, b"one", b"two", b"three")
    log.close()
    with scripted_store(answers) as store, loading(log, store):
        until(lambda: answers.tries >= 15)
        answers.rule = lambda *_: (200, "", "")
        until(lambda: is_empty(tmp_path))
    assert sorted(stored_records(answers)) == [b"one", b"three", b"two"]
    assert list(tmp_path.glob("*.refused*")) == []


def test_nothing_is_quarantined_while_the_store_reads_nothing_at_all(tmp_path: Path) -> None:
    """An upgrade that breaks every INSERT looks like bad data, but the empty segment is refused, too."""
    answers = Answers(lambda *_: UNREADABLE)
    problems = Problems(None)
    log = open_log(tmp_path)
    append(log, b"one", b"two")
    log.close()
    with scripted_store(answers) as store, loading(log, store, problems):
        until(lambda: answers.tries >= 15)
        assert [problem.subject for problem in problems.current()] == ["the telemetry store"]
        answers.rule = lambda *_: (200, "", "")
        until(lambda: is_empty(tmp_path))
        until(lambda: problems.current() == ())
    assert sorted(stored_records(answers)) == [b"one", b"two"]


@pytest.mark.parametrize("code", ["252", "159", "54321"])
def test_a_segment_that_fails_holds_up_no_other(tmp_path: Path, code: str) -> None:
    """Whatever comes after it is stored; it is kept, named, waited for by nothing, and stored in the end."""
    stuck = (500, code, "DB::Exception: not this one")
    answers = Answers(lambda _, body: stuck if b"stuck" in body else (200, "", ""))
    problems = Problems(None)
    log = open_log(tmp_path)
    append(log, b"stuck")
    with scripted_store(answers) as store, loading(log, store, problems):
        for index in range(15):
            append(log, b"later %d" % index)
            until(lambda: len(answers.stored) > index)  # noqa: B023 - called at once
            until(lambda: bool(answers.tries) and not [s for s in log.sealed() if s.size > 6])
        until(lambda: any("kept" in problem.reason for problem in problems.current()))
        assert log.complete_until("traces", 9e9) == 9e9
        answers.rule = lambda *_: (200, "", "")
        until(lambda: is_empty(tmp_path))
        until(lambda: problems.current() == ())
    assert (len(answers.stored), len(set(answers.stored))) == (16, 16)
    assert list(tmp_path.glob("*.refused*")) == []
    log.close()


def test_a_segment_that_failed_late_is_not_divided(tmp_path: Path) -> None:
    """If some of its rows are in the store already, it goes again whole under its own token, and nothing doubles."""

    def rule(sql: str, body: bytes) -> tuple[int, str, str]:
        if sql.startswith("SELECT"):
            return 200, "", "1\n"
        return (500, "54321", "DB::Exception: while pushing to view") if b"half" in body else (200, "", "")

    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(name="half", trace_id=b"1" * 16, span_id=b"2" * 8)
    answers = Answers(rule)
    segment = framed([request.SerializeToString(), b"\x0a\x00"])
    (tmp_path / f"{time.time_ns():020d}-0badc0de.traces.all.ready").write_bytes(segment)
    log = open_log(tmp_path)
    with scripted_store(answers) as store, loading(log, store):
        for index in range(10):
            append(log, b"\x0a\x00" * (2 + index))
            until(lambda: len(answers.stored) > index)  # noqa: B023 - called at once
        until(lambda: len(log.sealed()) == 1)
        answers.rule = lambda sql, _: (200, "", "1\n" if sql.startswith("SELECT") else "")
        until(lambda: is_empty(tmp_path))
    assert answers.stored[-1] == segment
    log.close()


def test_a_retry_is_noticed_while_the_loader_runs(tmp_path: Path) -> None:
    """Put back by command, a segment is loaded without a restart, and its problem is over; its size is counted once."""
    answers = Answers(lambda _, body: UNREADABLE if b"poison" in body else (200, "", ""))
    problems = Problems(None)
    log = open_log(tmp_path)
    append(log, b"poison", b"good")
    with scripted_store(answers) as store, loading(log, store, problems):
        until(lambda: bool(list(tmp_path.glob("*.refused"))) and len(answers.stored) == 1)
        answers.rule = lambda *_: (200, "", "")
        (found,) = quarantine.listed(tmp_path)
        quarantine.retry(tmp_path, found.name)
        until(lambda: len(answers.stored) == 2)
        until(lambda: problems.current() == ())
        until(lambda: log.backlog_bytes == 0)
    assert list(tmp_path.glob("*.refused*")) == []
    log.close()


def test_kinds_of_metric_that_are_stored_are_not_sent_again(tmp_path: Path) -> None:
    """Where the sums of a request can't be read, its gauges are stored once, and only the rest is quarantined."""
    answers = Answers(
        lambda sql, body: UNREADABLE if b"poison" in body and "otel_metrics_sum" in sql else (200, "", "")
    )
    log = open_log(tmp_path, segment_bytes=1 << 20)
    kinds = frozenset({"gauge", "sum", "histogram"})
    for done in [log.append("metrics", request, kinds) for request in (b"good 1", b"poison", b"good 2")]:
        done.result(60)
    log.close()
    with scripted_store(answers) as store, loading(log, store):
        until(lambda: is_empty(tmp_path))
    (path,) = tmp_path.glob("*.refused")
    assert (path.name.split(".")[2], records(path.read_bytes())) == ("sum", [b"poison"])
    stored = stored_records(answers)
    assert [stored.count(request) for request in (b"good 1", b"good 2", b"poison")] == [3, 3, 2]


def test_the_probe_is_a_request_with_nothing_in_it() -> None:
    """What tells whether the store takes others is a request that any signal can read."""
    assert records(PROBE) == [b"\x0a\x00"]


def test_a_segment_that_cannot_be_read_from_disk_holds_up_no_other(tmp_path: Path) -> None:
    """The oldest segment lies on a bad block: those behind it are stored, and the disk's error is reported."""
    answers, problems = Answers(), Problems(None)
    (tmp_path / "00000000000000000001-0badb10c.traces.all.ready").mkdir()
    log = open_log(tmp_path)
    append(log, b"good 1", b"good 2")
    log.close()
    with scripted_store(answers) as store, loading(log, store, problems):
        until(lambda: sorted(stored_records(answers)) == [b"good 1", b"good 2"])
        until(lambda: bool(problems.current()))
    (problem,) = problems.current()
    assert problem.subject == "00000000000000000001-0badb10c"
    assert "Is a directory" in problem.reason
