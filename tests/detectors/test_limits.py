"""Limits that will be reached: told in time, and quiet on what only looks like it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from seeing import seen

from detectors.detector import Setup
from detectors.history import History
from detectors.levels.limits import role_of, uses
from detectors.levels.running_out import RunningOut
from watchkeeper.vocabulary import Finding, utc

START = 1_800_000_000
STEP = 10
MB = 1e6
Floats = npt.NDArray[np.float64]
Series = dict[tuple[str, str, str], Floats]


def play(series: Series) -> list[tuple[float, Finding]]:
    """Feed (service, metric, attributes) → values, bucket by bucket; what fired, with the seconds since the start."""
    history = History(
        "test-limits",
        keys=("service", "metric", "attributes"),
        values={"value": float("nan")},
        buckets=180,
        step_s=STEP,
    )
    detector = RunningOut(Setup())
    out = []
    for bucket in range(len(next(iter(series.values())))):
        at = START + bucket * STEP
        rows = [(*name, values[bucket]) for name, values in series.items() if np.isfinite(values[bucket])]
        columns = list(zip(*rows, strict=True)) if rows else [(), (), (), ()]
        table = {name: pa.array(column, pa.string()) for name, column in zip(NAMES, columns, strict=False)}
        times = pa.array([at] * len(rows), pa.timestamp("s", "UTC"))
        history.advance(utc(float(at)))
        history.place(pa.table({"bucket": times, **table, "value": pa.array(columns[3], pa.float64())}))
        out += [((bucket + 1) * STEP, finding) for finding in detector.judge(seen(at + STEP, metrics=history))]
    return out


NAMES = ("service", "metric", "attributes")


def first(found: list[tuple[float, Finding]], severity: str) -> float | None:
    return next((at for at, finding in found if finding.severity == severity), None)


def heap(used: Floats, limit: float) -> Series:
    return {
        ("stock", "runtime.heap.used", '{"space":"old"}'): used,
        ("stock", "runtime.heap.limit", '{"space":"old"}'): np.full(len(used), limit),
    }


def times(seconds: int) -> Floats:
    return np.arange(0, seconds, STEP, dtype=np.float64)


def saw(t: Floats, low: float, high: float, period: float) -> Floats:
    return low + (high - low) * ((t % period) / period)


def noisy(values: Floats, share: float = 0.01, seed: int = 3) -> Floats:
    return values * np.exp(share * np.random.default_rng(seed).normal(size=len(values)))


@pytest.mark.parametrize("per_s", [1.0, 2.5, 5.0])
def test_a_leak_that_ends_in_minutes_is_a_ticket_early_and_a_page_before_the_limit(per_s: float) -> None:
    """Towards 512 MB, above a sawtooth."""
    t = times(1600)
    used = saw(t, 50 * MB, 70 * MB, 40) + np.clip(t - 1200, 0, None) * per_s * MB
    ends = 1200 + (512 - 70) / per_s
    found = play(heap(noisy(used), 512 * MB))
    ticket, page = first(found, "ticket"), first(found, "page")
    assert ticket is not None
    assert page is not None
    assert 1200 < ticket <= page < ends - 15
    words = next(finding for at, finding in found if at == page)
    assert words.summary.startswith("stock: used runtime heap")
    assert "of 512 MB" in words.summary


def test_a_leak_of_hours_is_a_ticket_and_a_page_when_half_an_hour_is_left() -> None:
    """From 40 % to the limit in two hours."""
    t = times(3 * 3600)
    share = 0.4 + 0.6 * np.clip(t - 3600, 0, None) / 7200 + saw(t, -0.03, 0.03, 90)
    found = play(heap(noisy(share * 1e9, 0.003), 1e9))
    ticket, page = first(found, "ticket"), first(found, "page")
    assert ticket is not None
    assert 3600 < ticket < 3600 + 2400
    assert page is not None
    assert 10_800 - 2400 < page < 10_800 - 900


CALM: dict[str, Callable[[Floats], Floats]] = {
    "a short sawtooth": lambda t: saw(t, 0.2, 0.6, 50),
    "a sawtooth of minutes": lambda t: saw(t, 0.3, 0.85, 400),
    "a sawtooth of a quarter of an hour": lambda t: saw(t, 0.3, 0.7, 900),
    "small sawteeth on a large one": lambda t: saw(t, 0.3, 0.6, 1300) + saw(t, -0.1, 0.1, 60),
    "a warm-up that settles": lambda t: 0.7 - 0.4 * np.exp(-t / 500),
    "a step, as of a batch job": lambda t: 0.3 + 0.35 * ((t > 3000) & (t < 4200)),
    "a load wave": lambda t: 0.5 + 0.2 * np.sin(t / 600),
    "a burst that is over in a minute and a half": lambda t: 0.3 + 0.3 * np.clip((t - 3000) / 90, 0, 1) * (t < 4000),
    "nearly full all the time": lambda t: 0.93 + 0.0 * t,
}


@pytest.mark.parametrize("shape", CALM)
def test_it_pages_nobody_for_what_comes_back_by_itself(shape: str) -> None:
    """A short ticket at most."""
    t = times(6000)
    found = play(heap(noisy(CALM[shape](t) * 1e9, 0.02), 1e9))
    assert first(found, "page") is None
    assert len({at for at, _ in found}) <= 40, [finding.summary for _, finding in found][-1:]


def test_what_grows_without_a_known_limit_is_a_ticket() -> None:
    """It says that the limit is unknown; a limit that moves along with the use is none."""
    t = times(8000)
    used = 2e8 * (1 + np.clip(t - 3000, 0, None) / 2000)
    series = {
        ("stock", "process.memory.usage", "{}"): noisy(used),
        ("stock", "process.memory.limit", "{}"): used * 1.4,
    }
    found = play(series)
    assert {finding.severity for _, finding in found} == {"ticket"}
    assert "its limit is unknown" in found[0][1].summary


def test_a_full_disk_a_leaking_pool_and_descriptors_are_seen() -> None:
    """Shares, what is left, and a count beside its maximum."""
    t = times(5400)
    grown = np.clip(t - 2400, 0, None) / 3300
    series = {
        ("files", "system.filesystem.utilization", '{"mountpoint":"/data"}'): 0.4 + 0.6 * grown,
        ("db", "node_filesystem_avail_bytes", '{"mountpoint":"/"}'): 8e10 * (1 - grown),
        ("cart", "db.client.connection.count", '{"pool":"x","state":"used"}'): np.round(4 + 46 * grown),
        ("cart", "db.client.connection.max", '{"pool":"x"}'): np.full(len(t), 50.0),
        ("web", "process_open_fds", "{}"): np.round(100 + 924 * grown),
        ("web", "process_max_fds", "{}"): np.full(len(t), 1024.0),
    }
    found = play(series)
    assert {finding.key for _, finding in found if finding.severity == "page"} == {
        "limits:files:disk",
        "limits:db:disk",
        "limits:cart:pool",
        "limits:web:file descriptors",
    }


def test_a_certificate_is_a_ticket_a_week_before_it_ends_and_a_page_at_last() -> None:
    """As a time, and as days that are left."""
    t = times(200)
    far, near = START + 90 * 86_400.0, START + 3 * 86_400.0
    found = play({("web", "x509_cert_not_after", "{}"): np.full(len(t), far)})
    assert found == []
    found = play({("web", "x509_cert_not_after", "{}"): np.full(len(t), near)})
    assert {finding.severity for _, finding in found} == {"ticket"}
    found = play({("web", "tls.certificate.days_left", "{}"): np.full(len(t), 0.01)})
    assert {finding.severity for _, finding in found} == {"page"}


def test_it_ends_when_the_leak_is_gone() -> None:
    """A restart gives the memory back."""
    t = times(2400)
    used = 60 * MB + np.clip(t - 1200, 0, None) * 3 * MB * (t < 1310)
    found = play(heap(used, 512 * MB))
    assert max(at for at, _ in found) <= 1340


@pytest.mark.parametrize(
    ("metric", "attributes", "role"),
    [
        ("jvm.memory.used", '{"jvm.memory.pool.name":"G1 Old Gen"}', ("memory", "used")),
        ("container_memory_working_set_bytes", "{}", ("memory", "used")),
        ("process.runtime.cpython.memory", '{"type":"rss"}', ("memory", "used")),
        ("hikaricp_connections_max", "{}", ("pool", "limit")),
        ("db.client.connections.usage", '{"state":"idle"}', ("pool", "free")),
        ("db.client.connections.idle.max", "{}", None),
        ("heap.space.available_size", "{}", None),
        ("system.disk.io_time", "{}", None),
        ("http.server.request.duration", "{}", None),
    ],
)
def test_it_knows_roles_by_ordinary_words(metric: str, attributes: str, role: object) -> None:
    """Whichever library named the metric."""
    assert role_of(metric, attributes) == role


def test_a_use_finds_the_limit_that_is_most_alike() -> None:
    """Of the same kind of memory, and of the same pool."""
    names = [
        ("a", "heap.used", '{"space":"old"}'),
        ("a", "heap.limit", '{"space":"new"}'),
        ("a", "heap.limit", '{"space":"old"}'),
        ("a", "container_memory_usage_bytes", "{}"),
        ("a", "container_spec_memory_limit_bytes", "{}"),
        ("b", "heap.limit", '{"space":"old"}'),
    ]
    assert {use.row: use.limit for use in uses(names)} == {0: 2, 3: 4}
