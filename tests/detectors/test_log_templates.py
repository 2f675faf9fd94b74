"""Kinds of log lines: new, surging and vanished ones are told of; what is as usual is not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from seeing import seen

from detectors.detector import LogLines, Setup
from detectors.logs.new_templates import BUCKETS, MOST_ROWS, STEP_S, LogTemplates
from watchkeeper.vocabulary import Finding, utc

START = 1_800_000_000
Lines = list[tuple[str, str, int]]  # severity, body, how many


def usual(dice: np.random.Generator) -> Lines:
    """What one service logs in ten seconds when all is well, numbers and names of things included."""
    return [
        ("INFO", f"request {dice.integers(1e6)} took {dice.integers(90)} ms", int(dice.poisson(40))),
        ("INFO", f"user {dice.choice(['ana', 'bo', 'cy', 'di'])} signed in", int(dice.poisson(6))),
        ("WARN", f"cache miss for key item:{dice.integers(1e4)}", int(dice.poisson(4))),
    ]


def play(
    change: Callable[[int, Lines], Lines], buckets: int = 60, seed: int = 1, service: str = "goods"
) -> list[tuple[int, Finding]]:
    """Feed bucket after bucket; what was found, with the bucket's number."""
    dice = np.random.default_rng(seed)
    detector = LogTemplates(Setup())
    found = []
    for bucket in range(buckets):
        rows = [row for row in change(bucket, usual(dice)) if row[2] > 0]
        at = START + bucket * STEP_S
        table = pa.table(
            {
                "bucket": pa.array([at] * len(rows), pa.timestamp("s", "UTC")),
                "service": pa.array([service] * len(rows), pa.string()),
                "severity": pa.array([severity for severity, _, _ in rows], pa.string()),
                "body": pa.array([body for _, body, _ in rows], pa.string()),
                "lines": pa.array([lines for _, _, lines in rows], pa.int64()),
            }
        )
        lines = LogLines(table=table, newest=utc(float(at)))
        found += [(bucket, finding) for finding in detector.judge(seen(at + 2 * STEP_S, lines=lines))]
    return found


@pytest.mark.parametrize("seed", range(5))
def test_it_is_quiet_when_all_is_as_usual(seed: int) -> None:
    """Ten minutes of the same program are no news, whatever its values and counts; nor is three times the load."""
    assert play(lambda _, lines: lines, seed=seed) == []
    assert play(lambda bucket, lines: [(s, b, n * (3 if bucket > 40 else 1)) for s, b, n in lines], seed=seed) == []


def test_a_new_error_is_told_of_at_once() -> None:
    """A stack trace's first line that nobody saw before, from bucket 40 on."""
    error = ("ERROR", "KeyError: 'currency' in price()", 4)
    found = play(lambda bucket, lines: [*lines, error] if bucket >= 40 else lines)
    bucket, first = found[0]
    assert (bucket, first.key, first.severity) == (40, "logs:new:goods", "ticket")
    assert "KeyError" in first.summary
    assert abs(first.onset.timestamp() - (START + 40 * STEP_S)) <= STEP_S


def test_a_program_that_always_says_new_things_is_not_news() -> None:
    """A service that shows a new kind of line every other bucket shows another one: no ticket."""
    words = [
        f"{a} {b}" for a in ("alpha", "beta", "gamma", "delta", "kappa") for b in ("rose", "fell", "stood", "went")
    ]

    def chatty(bucket: int, lines: Lines) -> Lines:
        return [*lines, ("INFO", f"{words[bucket // 2 % len(words)]} number {bucket}", 4)]

    assert [finding for bucket, finding in play(chatty, buckets=38) if finding.key.startswith("logs:new")] == []


def test_a_surge_is_told_against_the_service_s_own_traffic() -> None:
    """Twelve times as many cache misses at the same traffic."""
    found = play(lambda bucket, lines: [*lines[:2], (*lines[2][:2], lines[2][2] * 12 if bucket >= 40 else lines[2][2])])
    keys = {finding.key for bucket, finding in found}
    assert keys == {"logs:surge:goods"}
    assert min(bucket for bucket, _ in found) <= 42


def test_a_vanished_template_is_told_of_and_a_silent_service_is_not() -> None:
    """Requests without the line that always came; a service that says nothing at all is silence's business."""
    found = play(lambda bucket, lines: lines[1:] * 4 if bucket >= 40 else lines)
    assert "logs:vanished:goods" in {finding.key for _, finding in found}
    assert play(lambda bucket, lines: [] if bucket >= 40 else lines) == []


def test_memory_is_bounded() -> None:
    """A hundred thousand kinds of lines in a minute: most are dropped, the known ones are still judged."""
    detector = LogTemplates(Setup())
    for part in range(5):
        count = 6_000
        table = pa.table(
            {
                "bucket": pa.array([START] * count, pa.timestamp("s", "UTC")),
                "service": pa.array([f"service-{part}-{i}" for i in range(count)], pa.string()),
                "severity": pa.array(["INFO"] * count, pa.string()),
                "body": pa.array(["hello"] * count, pa.string()),
                "lines": pa.array([1] * count, pa.int64()),
            }
        )
        detector.read(table, utc(float(START)))
    assert len(detector._names) == MOST_ROWS
    detector.read(table.slice(0, 0), utc(float(START + (BUCKETS + 1) * STEP_S)))
    assert detector._names == []


def test_a_clock_that_goes_back_changes_nothing() -> None:
    """An older bucket than the newest is placed where it belongs, and nothing is judged twice."""
    detector = LogTemplates(Setup())
    row = {"service": ["goods"], "severity": ["INFO"], "body": ["hello"], "lines": pa.array([3], pa.int64())}
    for at in (START, START - 100, START + 10_000, START + 5):
        stamp = pa.array([at // STEP_S * STEP_S], pa.timestamp("s", "UTC"))
        detector.read(pa.table({"bucket": stamp, **row}), utc(float(at)))
        assert detector.judge(seen(START + 10_000)) == []
