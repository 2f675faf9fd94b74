"""Inputs that people reported elsewhere, as files: sent over the wire to real roles, and looked up in the real store.

Their kinds are tested where they belong, with inputs of our own; this reads the recorded ones where they are at hand.
"""

from __future__ import annotations

import gzip
import re
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.own_roles import OwnRoles
from detectors.templates.miner import TemplateMiner
from tests.waiting import until

CASES = Path(__file__).parents[3] / "shared" / "cases"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("reported"),
    pytest.mark.skipif(not CASES.is_dir(), reason="the recorded inputs are not at hand"),
]
_TIME = re.compile(r"@NOW(?:-(\d+)(ms|s))?")
_UNIT_NS = {"ms": 10**6, "s": 10**9}
_FIXED = re.compile(rb"\x09(.{8})", re.DOTALL)
JSON = {"Content-Type": "application/json"}


def _is_recent(raw: bytes) -> bool:
    return 1.7e18 < struct.unpack("<Q", raw)[0] < 2e18


def case(name: str) -> bytes:
    """A recorded input with its times filled in."""
    raw = (CASES / name).read_bytes()
    now = time.time_ns()
    if name.endswith(".pb"):  # times as fixed64 in field 1: those of the recording's years become now
        return _FIXED.sub(lambda m: b"\x09" + struct.pack("<Q", now) if _is_recent(m[1]) else m[0], raw)
    return _TIME.sub(lambda m: str(now - int(m[1] or 0) * _UNIT_NS.get(m[2] or "s", 0)), raw.decode()).encode()


@pytest.fixture(scope="module")
def roles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRoles]:
    """A store and an ingest of their own."""
    with OwnRoles(tmp_path_factory.mktemp("reported"), {"ingest": {"segment_seconds": 0.1}}) as own:
        own.start("store", "ingest")
        yield own


def send(roles: OwnRoles, signal: str, body: bytes, **headers: str) -> httpx.Response:
    """Post it as an exporter would."""
    with httpx.Client(trust_env=False, timeout=120) as client:
        return client.post(f"{roles.otlp_url}/v1/{signal}", content=body, headers={**JSON, **headers})


def rows(roles: OwnRoles, sql: str, expected: int = 1) -> list[dict[str, Any]]:
    """The rows, once there are as many as expected."""
    found: list[dict[str, Any]] = []

    def enough() -> bool:
        found[:] = roles.telemetry.query(sql).to_pylist()
        return len(found) >= expected

    until(enough, moving=lambda: len(found), what=sql)
    return found


def test_a_latin_1_byte_costs_one_character(roles: OwnRoles) -> None:
    """Ten of ten lines are kept."""
    kind = {"Content-Type": "application/x-protobuf"}
    answer = send(roles, "logs", case("03-otlp-proto-invalid-utf8/logs.pb"), **kind)
    assert answer.status_code == 200
    bodies = [row["Body"] for row in rows(roles, "SELECT Body FROM otel_logs WHERE ServiceName = 'c03'", 10)]
    assert len(bodies) == 10
    assert sum("\ufffd" in body for body in bodies) == 1


def test_the_last_of_equal_keys_is_read(roles: OwnRoles) -> None:
    """As OpenTelemetry says."""
    assert send(roles, "traces", case("05-otlp-duplicate-keys/traces.json")).status_code == 200
    sql = "SELECT SpanAttributes['mode'] AS mode FROM otel_traces WHERE ServiceName = 'c05' AND SpanName = 'node'"
    assert {row["mode"] for row in rows(roles, sql)} == {"second"}


def test_a_parent_of_zeros_is_no_parent(roles: OwnRoles) -> None:
    """Each root counts as an entry point."""
    assert send(roles, "traces", case("06-otlp-zero-parent/traces.json")).status_code == 200
    sql = "SELECT operation, sum(calls) AS calls FROM red WHERE service = 'c06' GROUP BY operation"
    assert {row["operation"]: row["calls"] for row in rows(roles, sql)}["nightly job"] == 1


@pytest.mark.parametrize("signal", ["traces"])
def test_members_of_gzip_are_one_stream(roles: OwnRoles, signal: str) -> None:
    """All spans of both halves, or a refusal; never half of them."""
    body = case("13-otlp-duplicate-batch/traces.json").replace(b"c13", b"c07")
    half = len(body) // 2
    zipped = gzip.compress(body[:half]) + gzip.compress(body[half:])
    assert send(roles, signal, zipped, **{"Content-Encoding": "gzip"}).status_code == 200
    assert len(rows(roles, "SELECT SpanId FROM otel_traces WHERE ServiceName = 'c07'", 5)) == 5
    assert send(roles, signal, zipped + b"tail", **{"Content-Encoding": "gzip"}).status_code == 400


@pytest.mark.parametrize("encoding", ["br", "compress", "lzma"])
def test_an_encoding_that_cannot_be_read_is_415(roles: OwnRoles, encoding: str) -> None:
    """With the list of those that can."""
    answer = send(roles, "traces", b"x", **{"Content-Encoding": encoding})
    assert answer.status_code == 415
    assert "gzip" in answer.headers["accept-encoding"]


def test_a_point_without_a_value_is_no_zero(roles: OwnRoles) -> None:
    """A stale marker leaves no point in the series that detectors read."""
    assert send(roles, "metrics", case("09-otlp-no-recorded-value/metrics.json")).status_code == 200
    sql = "SELECT Value FROM otel_metrics_gauge WHERE ServiceName = 'c09' AND MetricName = 'queue_depth' AND Flags = 0"
    assert 0 not in {row["Value"] for row in rows(roles, sql, 2)}


def test_an_exponential_histogram_is_a_series(roles: OwnRoles) -> None:
    """As the explicit one beside it is."""
    assert send(roles, "metrics", case("10-otlp-exponential-histogram/metrics.json")).status_code == 200
    from datetime import UTC, datetime

    from watchkeeper.vocabulary import Window

    def series() -> set[str]:
        window = Window.last(600, until=datetime.now(UTC))
        return {row["metric"] for row in roles.telemetry.metric_series(window).to_pylist() if row["service"] == "c10"}

    until(lambda: "lat_exp" in series(), what="the exponential histogram's series")


@pytest.mark.parametrize("name", ["backwards", "huge", "nostart", "zero-log", "days"])
def test_a_silly_time_is_an_answer_and_not_a_loss(roles: OwnRoles, name: str) -> None:
    """Taken, in part with a reason, or refused with one."""
    signal = "logs" if name in ("zero-log", "days") else "traces"
    answer = send(roles, signal, case(f"12-otlp-odd-times/{name}.json"))
    assert answer.status_code in (200, 400)
    if answer.status_code == 400:
        assert answer.json()["message"]


def test_a_span_without_a_start_does_not_ruin_the_mean(roles: OwnRoles) -> None:
    """Its duration is unknown, not decades."""
    send(roles, "traces", case("12-otlp-odd-times/nostart.json"))
    sql = "SELECT max(duration_ns_max) AS longest FROM red WHERE service = 'c12b' HAVING count() > 0"
    assert rows(roles, sql)[0]["longest"] < 60e9


def test_the_same_batch_twice_counts_once(roles: OwnRoles) -> None:
    """An exporter that got no answer in time sends it again, byte for byte."""
    body = case("13-otlp-duplicate-batch/traces.json")
    assert [send(roles, "traces", body).status_code for _ in range(3)] == [200] * 3
    # The roll-up gets a block after the spans do.
    rows(roles, "SELECT sum(calls) AS calls FROM red WHERE service = 'c13' HAVING calls >= 5")
    assert len(rows(roles, "SELECT SpanId FROM otel_traces WHERE ServiceName = 'c13'", 5)) == 5
    assert rows(roles, "SELECT sum(calls) AS calls FROM red WHERE service = 'c13'")[0]["calls"] == 5


@pytest.mark.parametrize(
    ("plain", "coloured"),
    [("plain", "level-coloured"), ("plain", "whole-line-coloured"), ("rust-plain", "rust")],
)
def test_colours_change_no_template(plain: str, coloured: str) -> None:
    """The recorded logs of one program, with and without escape codes."""
    miners = [TemplateMiner(), TemplateMiner()]
    files = [CASES / "35-logs-ansi" / f"{name}.log" for name in (plain, coloured)]
    ids = [miner.add_many(file.read_text().splitlines()).tolist() for miner, file in zip(miners, files, strict=True)]
    assert ids[0] == ids[1]
    assert miners[0].templates() == miners[1].templates()
