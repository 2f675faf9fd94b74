"""A segment is divided so that a kill at any moment neither loses nor doubles a record."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from scripted_store import open_log

from collectors.ingest_log.framing import framed, records
from collectors.ingest_log.senders import read_senders, write_senders
from collectors.ingest_log.splitting import halves, split_records, split_request

NAME = f"{7:020d}-0badc0de.traces.all"
RECORDS = [b"one", b"two", b"three"]


def whole(folder: Path) -> Path:
    """A sealed segment of three records with senders."""
    path = folder / f"{NAME}.ready"
    path.write_bytes(framed(RECORDS))
    write_senders(path, ["a", "b", "b"])
    return path


def ready(folder: Path) -> list[bytes]:
    """Every record that waits, by token."""
    return [record for path in sorted(folder.glob("*.ready")) for record in records(path.read_bytes())]


def test_it_works(tmp_path: Path) -> None:
    """Both parts together hold every record once, in order, each with its sender; the whole is gone."""
    assert split_records(whole(tmp_path))
    assert ready(tmp_path) == RECORDS
    assert {path.suffix for path in tmp_path.iterdir()} == {".ready", ".senders"}
    senders = [read_senders(path, len(records(path.read_bytes()))) for path in sorted(tmp_path.glob("*.ready"))]
    assert [name for names in senders for name in names] == ["a", "b", "b"]


def test_one_record_is_not_divided(tmp_path: Path) -> None:
    """A lone record stays where it is."""
    path = tmp_path / f"{NAME}.ready"
    path.write_bytes(framed([b"one"]))
    assert not split_records(path)
    assert ready(tmp_path) == [b"one"]


@pytest.mark.parametrize("moment", range(7))
def test_a_kill_at_any_moment_loses_and_doubles_nothing(tmp_path: Path, moment: int) -> None:
    """Whatever a crash leaves between the steps, the next start has each record once, under the same tokens."""
    done = tmp_path / "done"
    done.mkdir()
    split_records(whole(done))
    first, second = sorted(done.glob("*.ready"))
    folder = tmp_path / "crashed"
    folder.mkdir()

    def put(source: Path, suffix: str) -> None:
        shutil.copy(source, folder / source.with_suffix(suffix).name)

    before = whole(tmp_path)
    match moment:
        case 0:  # one part half written
            put(before, ".ready")
            (folder / first.with_suffix(".part").name).write_bytes(first.read_bytes()[:2])
        case 1:  # both parts written
            put(before, ".ready")
            put(first, ".part")
            put(second, ".part")
        case 2:  # the whole renamed
            put(before, ".split")
            put(first, ".part")
            put(second, ".part")
        case 3:  # one part released
            put(before, ".split")
            put(first, ".ready")
            put(second, ".part")
        case 4:  # both released
            put(before, ".split")
            put(first, ".ready")
            put(second, ".ready")
        case 5:  # one of them loaded already
            put(before, ".split")
            put(second, ".ready")
        case _:  # done
            put(first, ".ready")
            put(second, ".ready")
    open_log(folder).close()
    expected = records(second.read_bytes()) if moment == 5 else RECORDS
    assert ready(folder) == expected
    assert not [path for path in folder.iterdir() if path.suffix in (".part", ".split", ".senders")]
    if moment > 1:
        assert {path.name for path in folder.glob("*.ready")} <= {first.name, second.name}


def test_a_request_is_divided_by_its_resources_scopes_and_items() -> None:
    """Halving goes on until each part holds one item; together they hold them all, each with its resource."""
    request = ExportTraceServiceRequest()
    for resource_index in range(2):
        resource = request.resource_spans.add()
        resource.resource.attributes.add(key="r").value.int_value = resource_index
        for _ in range(2):
            scope = resource.scope_spans.add()
            for _ in range(3):
                scope.spans.add(name=f"span of {resource_index}")
    pending, single = [request.SerializeToString()], []
    while pending:
        part = pending.pop()
        parts = halves("traces", part)
        if parts is None:
            single.append(ExportTraceServiceRequest.FromString(part))
        else:
            pending += parts
    assert len(single) == 12
    for each in single:
        (resource,) = each.resource_spans
        (span,) = resource.scope_spans[0].spans
        assert span.name == f"span of {resource.resource.attributes[0].value.int_value}"


def test_the_points_of_one_metric_are_divided(tmp_path: Path) -> None:
    """A request with one metric of many points becomes two with half of them each."""
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="m")
    for index in range(5):
        metric.gauge.data_points.add(as_int=index)
    path = tmp_path / f"{7:020d}-0badc0de.metrics.gauge.ready"
    path.write_bytes(framed([request.SerializeToString()]))
    assert split_request(path, "metrics")
    parts = [ExportMetricsServiceRequest.FromString(record) for record in ready(tmp_path)]
    metrics = [part.resource_metrics[0].scope_metrics[0].metrics[0] for part in parts]
    assert [(metric.name, [p.as_int for p in metric.gauge.data_points]) for metric in metrics] == [
        ("m", [0, 1]),
        ("m", [2, 3, 4]),
    ]


@pytest.mark.parametrize("request_bytes", [b"", b"\x0a\x00", b"\xff", b"\x0a\x02\x12\x00"])
def test_a_request_with_nothing_to_divide_stays(request_bytes: bytes) -> None:
    """Empty requests, empty resources and bytes that are no request are left whole."""
    assert halves("traces", request_bytes) is None
