"""Which of several instances differs, from counts and durations alone."""

from __future__ import annotations

import numpy as np

from rca.case import text
from rca.live.instances import Odd, Served, odd_one

ONSET = 1_790_000_000.0
Row = tuple[str, bool, float, float, float, float]  # instance, late, calls, errors, seconds a call, last


def odd(*rows: Row) -> Odd | None:
    """Each row is one instance's only operation on one side of the onset."""
    instance, late, calls, errors, mean, last = zip(*rows, strict=True)
    n = np.array(calls, dtype=np.float64)
    return odd_one(
        Served(
            instance=text(list(instance)),
            operation=text(["GET /"] * len(rows)),
            late=np.array(late, dtype=bool),
            calls=n,
            errors=np.array(errors, dtype=np.float64),
            log_mean=np.log(np.array(mean) * 1e9),
            log_var=np.full(len(rows), 0.1),
            busy=np.array(mean) * n,
            first=np.where(late, ONSET, ONSET - 120.0),
            last=ONSET + np.array(last, dtype=np.float64),
        )
    )


def test_the_one_that_serves_no_more_is_gone() -> None:
    """Two others go on; the sentence contains since when."""
    found = odd(
        ("a", False, 400, 0, 0.01, 0),
        ("b", False, 400, 0, 0.01, 0),
        ("c", False, 400, 0, 0.01, -2),
        ("a", True, 60, 0, 0.01, 20),
        ("b", True, 60, 0, 0.01, 20),
    )
    assert found is not None
    assert found.instance == "c"
    assert found.gone
    assert found.sentence.endswith("a, b still do")


def test_a_roll_out_replaces_instances_and_accuses_none() -> None:
    """Every old instance stops and new ones serve: nobody that served beside the old ones still does."""
    assert (
        odd(
            ("old-1", False, 400, 0, 0.01, 0),
            ("old-2", False, 400, 0, 0.01, -1),
            ("new-1", True, 60, 0, 0.01, 20),
            ("new-2", True, 60, 0, 0.01, 20),
        )
        is None
    )


def test_a_successor_that_overlapped_for_a_moment_leaves_nobody_gone() -> None:
    """A restart starts the new process first; the old one, drained and stopped, has done nothing wrong."""
    assert odd(("old", False, 400, 0, 0.01, 0.3), ("new", True, 100, 0, 0.01, 20)) is None


def test_an_instance_that_always_was_slower_is_not_the_odd_one() -> None:
    """What it already did before the onset is no change."""
    assert (
        odd(
            ("a", False, 400, 0, 0.01, 0),
            ("b", False, 400, 0, 0.03, 0),
            ("a", True, 100, 0, 0.05, 20),
            ("b", True, 100, 0, 0.15, 20),
        )
        is None
    )


def test_a_new_instance_among_old_ones_can_be_the_odd_one() -> None:
    """A canary that fails is named although it has no past."""
    found = odd(
        ("old-1", False, 400, 2, 0.01, 0),
        ("old-1", True, 100, 1, 0.01, 20),
        ("canary", True, 40, 28, 0.01, 20),
    )
    assert found is not None
    assert (found.instance, found.sentence) == ("canary", "instance canary fails 70% of its requests, the others 1.0%")


def test_few_calls_name_nobody() -> None:
    """One failure among three calls proves nothing."""
    assert odd(("a", True, 3, 1, 0.01, 20), ("b", True, 100, 0, 0.01, 20)) is None
