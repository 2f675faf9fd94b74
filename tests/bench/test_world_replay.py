"""A recording answers as the store would: the same rows as other simulated telemetry, at every moment."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from bench.worlds.replay import Replay
from chaos.worlds.recording import Recording
from collectors.releases import Releases
from detectors.simulated import ARRIVES_S, START, Requests, Simulated
from rca.live.diagnose import read_case
from rca.live.incident import LiveIncident
from rca.live.traces import read_traces
from tests.bench.small_recording import recording, resources
from watchkeeper.store.diagnosis_queries import SPANS, TRACES
from watchkeeper.vocabulary import Window, utc

SECONDS = 600


def simulated() -> Simulated:
    return Simulated(
        seconds=SECONDS,
        requests={
            ("cart", "GET /"): lambda t: Requests(per_s=9 + t // 100, mean_ms=20 + t / 60),
            ("cart", "POST /"): lambda t: Requests(per_s=2 if t < 300 else 0, failing=0.5),
            ("pay", "POST /"): lambda t: Requests(per_s=4, failing=0.25 if t > 200 else 0.0),
        },
        metrics={("pay", "queue.length"): lambda t: t if t < 400 else None, ("cart", "threads"): lambda _: 12.0},
        lines={
            ("pay", "ERROR", "cannot pay order #"): lambda t: 0.4 if t > 300 else 0.0,
            ("cart", "INFO", "served # items"): lambda _: 3.0,
        },
        calls={("cart", "pay"): lambda t: 4.0 + t // 200},
        offsets={("cart", "pay"): lambda _: 30.0},
    )


def as_recorded(telemetry: Simulated) -> Recording:
    """The same numbers in the tables of a recording."""
    everything = Window(start=utc(float(START)), end=utc(float(START + SECONDS)))
    edges = telemetry.edges(everything, 5)
    unknown = pa.array(np.full(edges.num_rows, np.nan))
    metrics = telemetry.metric_series(everything, 5)
    red = telemetry.red_levels(everything)
    return replace(
        recording(seconds=SECONDS),
        start=START,
        red=red,
        latency=telemetry.red(everything, 30),
        edges=edges.append_column("source", pa.array(["span"] * edges.num_rows))
        .append_column("client_mean_ms", unknown)
        .append_column("server_mean_ms", unknown),
        metrics=metrics.append_column("kind", pa.array(["gauge"] * metrics.num_rows)),
        logs=telemetry.log_bodies(everything, 5),
        clocks_s={"pay": 30.0},
    )


def rows(table: pa.Table, columns: list[str]) -> list[tuple[object, ...]]:
    plain = [[round(v, 9) if isinstance(v, float) else v for v in table[name].to_pylist()] for name in columns]
    return sorted(zip(*plain, strict=True), key=repr)


@pytest.mark.parametrize("now_s", [0, 3, 47, 60, 305, 599, 700])
@pytest.mark.parametrize(("low", "high"), [(0, 600), (40, 95), (290, 330), (595, 720), (-200, 10)])
def test_it_has_the_rows_of_simulated_telemetry(now_s: int, low: int, high: int) -> None:
    """Only the clock that is ahead makes rows known earlier, so it is set right where rows are compared."""
    numbers = replace(simulated(), now_s=now_s)
    replay = Replay(replace(as_recorded(simulated()), clocks_s={}))
    replay.now = START + now_s + ARRIVES_S
    window = Window(start=utc(float(START + low)), end=utc(float(START + high)))
    ten = Window(start=utc(float(START + low // 10 * 10)), end=utc(float(START + -(-high // 10) * 10)))
    for own, other in (
        (replay.red_levels(window), numbers.red_levels(window)),
        (replay.log_counts(window), numbers.log_counts(window)),
        (replay.newest("spans", window).drop_columns(["rows"]), numbers.newest("spans", window).drop_columns(["rows"])),
        (replay.served("pay", "", window), numbers.served("pay", "", window)),
        (replay.served("cart", "POST /", window), numbers.served("cart", "POST /", window)),
        (replay.edges(ten, 10), numbers.edges(ten, 10)),
    ):
        columns = other.column_names
        assert rows(own, columns) == rows(other, columns)
    shapes = Window(start=utc(float(START + low // 30 * 30)), end=utc(float(START + -(-high // 30) * 30)))
    assert rows(replay.red(shapes, 30), ["bucket", "p95_ms"]) == rows(numbers.red(shapes, 30), ["bucket", "p95_ms"])


def test_metrics_and_log_lines_come_in_larger_buckets() -> None:
    """A level is the mean of its points; lines that differ in numbers alone are counted together."""
    replay = Replay(as_recorded(simulated()))
    replay.now = float(START + SECONDS + 10)
    window = Window(start=utc(START + 310.0), end=utc(START + 320.0))
    metrics = {row["metric"]: row["value"] for row in replay.metric_series(window, 10).to_pylist()}
    assert metrics == {"queue.length": 312.5, "threads": 12.0}
    assert replay.metric_series(window, 10, "pay").num_rows == 1
    bodies = replay.log_bodies(window, 10).to_pylist()
    assert [(row["service"], row["lines"]) for row in bodies] == [("cart", 30), ("pay", 4)]
    assert replay.log_bodies(window, 10, 1).num_rows == 1
    with pytest.raises(ValueError, match="buckets of 10 s"):
        replay.log_bodies(window, 7)


def test_a_skewed_clock_shows_between_the_two_sides_of_a_call() -> None:
    replay = Replay(as_recorded(simulated()))
    replay.now = float(START + 300)
    window = Window(start=utc(START + 100.0), end=utc(START + 320.0))
    (offset,) = replay.call_offsets(window).to_pylist()
    assert (offset["caller"], offset["callee"], offset["offset_s"]) == ("cart", "pay", 30.0)
    newest = {row["service"]: row["newest"] for row in replay.newest("spans", window).to_pylist()}
    assert newest["pay"] - newest["cart"] == timedelta(seconds=25)  # as far as the window goes


def test_late_telemetry_is_not_there_before_it_arrives() -> None:
    late = replace(as_recorded(simulated()), clocks_s={}, delays_s={"pay": 60.0})
    replay = Replay(late)
    window = Window(start=utc(START + 100.0), end=utc(START + 105.0))
    replay.now = START + 107.0
    assert set(replay.red_levels(window)["service"].to_pylist()) == {"cart"}
    replay.now = START + 166.9
    assert set(replay.red_levels(window)["service"].to_pylist()) == {"cart"}
    replay.now = START + 167.0
    assert set(replay.red_levels(window)["service"].to_pylist()) == {"cart", "pay"}


def test_a_diagnosis_reads_everything_of_a_case() -> None:
    """Requests, calls, unanswered calls, heartbeats, metrics and log lines, none of them from the future."""
    lines = {"stock": [("ERROR", "cannot reach 10.0.0.7", 3), ("INFO", "fine", 9)]}
    told = recording(seconds=900, bodies=lambda service, at: lines.get(service, []) if at >= 600 else [])
    missing = {
        "bucket": [told.start + at for at in (595, 605, 610)],
        "caller": ["orders"] * 3,
        "callee": ["stock"] * 3,
        "calls": [5, 7, 8],
        "waited_s": [5.0, 7.0, 8.0],
        "refused": [0, 7, 0],
        "timed_out": [0, 0, 8],
    }
    table = pa.table(missing)
    bucket = table["bucket"].cast(pa.timestamp("s", "UTC"))
    replay = Replay(replace(told, unanswered=table.set_column(0, "bucket", bucket)))
    replay.now = told.start + 642.0
    case = read_case(replay, LiveIncident(onset=utc(told.start + 605.0), now=utc(replay.now)))
    assert case.candidates == ("front", "orders", "prices", "stock")
    assert case.calls == {("front", "orders"), ("orders", "stock"), ("stock", "prices")}
    assert case.flows is not None
    assert case.flows.time.max() == told.start + 635.0
    assert case.unanswered is not None
    assert [*case.unanswered.calls, *case.unanswered.refused, *case.unanswered.timed_out] == [15.0, 7.0, 8.0]
    assert case.unanswered.usual == pytest.approx(0.0405, rel=0.05)
    assert case.heartbeats is not None
    assert set(case.heartbeats.node) == set(case.candidates)
    assert case.series is not None
    assert set(case.series.metric) == {"process.memory.usage"}
    assert case.logs is not None
    assert list(case.logs.template) == ["cannot reach #.#.#.#"]
    assert case.logs.after.tolist() == [24.0]


def test_a_deploy_that_nobody_announced_shows_in_the_resources() -> None:
    replay = Replay(recording(seconds=900, resources=resources({0: "1.0", 600: "1.1"})))
    releases = Releases()
    changes = []
    for at in range(300, 700, 15):
        replay.now = START + at + 0.5
        changes += releases.look(replay, replay.now, ())
    assert {change.service for change in changes} == {"front", "orders", "stock", "prices"}
    assert {(change.kind, change.title) for change in changes} == {("deploy", "service.version 1.0 → 1.1")}
    assert {change.at for change in changes} == {utc(START + 600.0)}


def test_a_diagnosis_reads_whole_traces() -> None:
    """A share of those that have ended, each under a number of its own; calls to databases are no calls to services."""

    def draw(begin_s: float, end_s: float, limit: int) -> pa.Table:
        begun = np.arange(begin_s, end_s, 0.5) + START
        count = len(begun)
        spans = {
            "trace": [f"{number:032x}" for number in range(count)],
            "span_id": [f"{begin_s}-{number}" for number in range(count)],
            "parent_span_id": [""] * count,
            "service": ["orders", "front"] * (count // 2),
            "span_name": ["query"] * count,
            "kind": ["Client"] * count,
            "start_ns": (begun * 1e9).astype(np.int64),
            "duration_ns": [2_000_000_000] * count,
            "status": ["Unset"] * count,
            "attributes": ['{"db.system": "mysql"}', "{}"] * (count // 2),
        }
        assert limit > 0
        return pa.table(spans)

    replay = Replay(recording(seconds=900, delays_s={"orders": 60.0}), draw)
    replay.now = START + 700.0
    asked = {"start": utc(START + 500.0), "end": utc(START + 750.0)}
    assert replay.query(SPANS, asked)["spans"].to_pylist() == [196 + 137]
    table = replay.query(TRACES, asked | {"share": 1024, "most": 60_000})
    assert len(set(table["trace"].to_pylist())) == table.num_rows == 333
    rows = table.to_pylist()
    assert {row["outgoing"] for row in rows if row["service"] == "front"} == {True}
    assert {row["outgoing"] for row in rows if row["service"] == "orders"} == {False}
    assert max(row["timestamp"] for row in rows) == (START + 695.5) * 1e9
    half = replay.query(TRACES, asked | {"share": 512, "most": 60_000}).num_rows
    assert 100 < half < 234
    spans, _ = read_traces(replay, START + 500.0, START + 600.0, START + 700.0)
    assert spans is not None
    assert spans.nodes == ("orders", "front")


def test_an_unknown_query_says_where_to_teach_it() -> None:
    with pytest.raises(KeyError, match="no answer to this query"):
        Replay(recording(seconds=60)).query("SELECT 1")
