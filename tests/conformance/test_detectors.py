"""Every registered detector passes the suite, and the suite refuses detectors that break its rules."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import count

import pytest

from detectors import conformance
from detectors.detector import Seen, Setup
from detectors.registry import accept
from detectors.simulated import Example, Simulated
from watchkeeper.conformance import detector_suite
from watchkeeper.vocabulary import Finding

TestDetectors = detector_suite()

_CALLS = count()


class Good:
    """A queue that holds more than a thousand messages."""

    version = "1"
    needs = ("metrics",)

    def __init__(self, setup: Setup) -> None:
        self._began: dict[str, Finding] = {}

    def judge(self, seen: Seen) -> list[Finding]:
        return self.full(seen, seen.complete["metrics"] - 1)

    def full(self, seen: Seen, column: int) -> list[Finding]:
        metrics = seen["metrics"]
        queues = zip(metrics.names(), metrics["value"][:, column].tolist(), strict=True)
        return [self.finding(seen, service, value) for (service, *_), value in queues if 1000 < value < 1e9]

    def finding(self, seen: Seen, service: str, value: float) -> Finding:
        return Finding(
            detector="queue.full",
            detector_version=self.version,
            kind="metric",
            service=service,
            summary=f"{service} has {value:.0f} messages waiting",
            onset=seen.now - timedelta(seconds=20),
            seen_at=seen.now,
            score=0.9,
            severity="ticket",
            key=f"queue:{service}",
        )

    @staticmethod
    def example() -> Example:
        """A queue that is full for ten minutes."""
        queue = {("mail", "queue"): lambda t: 5000.0 if 600 <= t < 1200 else 10.0}
        return Example(telemetry=Simulated(seconds=1900, metrics=queue), begins_s=600, ends_s=1200)


class Undescribed(Good):
    __doc__ = ""


class WithoutExample(Good):
    """Shows nothing."""

    example = None  # type: ignore[assignment]


class Nervous(Good):
    """Finds something wherever there is a queue."""

    def judge(self, seen: Seen) -> list[Finding]:
        return [self.finding(seen, name[0], 1.0) for name in seen["metrics"].names()]


class AfraidOfGaps(Good):
    """Takes a bucket without a point for trouble."""

    def judge(self, seen: Seen) -> list[Finding]:
        values = seen["metrics"]["value"][:, -12:-2]
        return [
            self.finding(seen, name[0], 1.0)
            for name, row in zip(seen["metrics"].names(), values.tolist(), strict=True)
            if row[-1] != row[-1] and row[0] == row[0]
        ]


class Afraid(Good):
    """Takes every change for trouble."""

    def judge(self, seen: Seen) -> list[Finding]:
        value = seen["metrics"]["value"]
        last = seen.complete["metrics"] - 1
        moved = abs(value[:, last] - value[:, last - 6]) > 1.0
        return [self.finding(seen, n[0], 1.0) for n, m in zip(seen["metrics"].names(), moved, strict=True) if m]


class Blind(Good):
    """Finds nothing."""

    def judge(self, seen: Seen) -> list[Finding]:
        return []


class NewKeys(Good):
    """Forgets what it said, every other minute."""

    def judge(self, seen: Seen) -> list[Finding]:
        return super().judge(seen) if seen.now.minute % 2 else []


class Stuck(Good):
    """Never lets go."""

    def judge(self, seen: Seen) -> list[Finding]:
        for finding in super().judge(seen):
            self._began[finding.key] = finding
        return list(self._began.values())


class Prophet(Good):
    """Dates its findings tomorrow."""

    def finding(self, seen: Seen, service: str, value: float) -> Finding:
        made = super().finding(seen, service, value)
        return Finding(
            **{name: getattr(made, name) for name in ("detector", "kind", "service", "summary", "score", "key")},
            detector_version="1",
            onset=seen.now + timedelta(days=1),
            seen_at=seen.now,
        )


class Moody(Good):
    """Says something else each time."""

    def finding(self, seen: Seen, service: str, value: float) -> Finding:
        return super().finding(seen, service, value + next(_CALLS))


class Hasty(Good):
    """Judges the bucket that has just begun."""

    def judge(self, seen: Seen) -> list[Finding]:
        return self.full(seen, -1)


class Fragile(Good):
    """Cannot stand a number that is none."""

    def judge(self, seen: Seen) -> list[Finding]:
        values = seen["metrics"]["value"][:, seen.complete["metrics"] - 1]
        if (abs(values) > 1e100).any():
            raise OverflowError("too large")
        return super().judge(seen)


class Anonymous(Good):
    """Speaks under another name."""

    def finding(self, seen: Seen, service: str, value: float) -> Finding:
        made = super().finding(seen, service, value)
        object.__setattr__(made, "detector", "red.latency")
        return made


REFUSED: list[tuple[type, Callable[..., None]]] = [
    (Undescribed, conformance.it_is_described_and_has_an_example),
    (WithoutExample, conformance.it_is_described_and_has_an_example),
    (Nervous, conformance.constant_input_is_quiet),
    (Afraid, conformance.wavy_input_is_quiet),
    (AfraidOfGaps, conformance.gaps_are_quiet),
    (Nervous, conformance.its_example_is_found_in_time_and_only_then),
    (Blind, conformance.its_example_is_found_in_time_and_only_then),
    (NewKeys, conformance.the_same_trouble_keeps_its_key),
    (Stuck, conformance.what_ended_clears),
    (Prophet, conformance.findings_are_of_this_tick),
    (Anonymous, conformance.findings_are_of_this_tick),
    (Moody, conformance.the_same_input_gives_the_same_findings),
    (Hasty, conformance.what_is_not_complete_changes_nothing),
    (Fragile, conformance.hostile_input_breaks_nothing),
]


@pytest.mark.parametrize(("broken", "check"), REFUSED)
def test_the_suite_refuses_a_detector_that_breaks_a_rule(broken: type, check: Callable[..., None]) -> None:
    """Each check can fail; a detector that keeps every rule passes it."""
    check(accept("queue", Good))
    with pytest.raises(AssertionError):
        check(accept("queue", broken))


def test_every_check_is_shown_to_fail() -> None:
    """A rule without a broken example would be a promise that nobody keeps."""
    assert set(conformance.CHECKS) == {check for _, check in REFUSED}


def test_the_suite_takes_classes_by_name() -> None:
    """As another package gives them."""
    suite = detector_suite({"queue": Good})
    assert [name for name in vars(suite) if name.startswith("test_")] == ["test_detector"]
