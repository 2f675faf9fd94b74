"""A job queue that nobody empties.

Assumes a gauge `backlog` by service. Pages falsely for a queue that is filled on purpose: give it a higher `LARGE`.
"""

import numpy as np

from detectors.detector import Seen, Setup
from detectors.simulated import Example, Simulated
from watchkeeper.vocabulary import Finding, utc

LARGE = 100.0  # jobs: an example's number; your queue has another


class Backlog:
    """A job queue that holds many jobs and still grows. Pages."""

    version = "1"
    needs = ("metrics",)

    def __init__(self, setup: Setup) -> None: ...

    def judge(self, seen: Seen) -> list[Finding]:
        metrics, complete, findings = seen["metrics"], seen.complete["metrics"], []
        for row, (service, metric, *_) in enumerate(metrics.names()):
            before, last, now = [np.nan, np.nan, np.nan, *metrics["value"][row, :complete]][-3:]
            if metric == "backlog" and before < last < now and now > LARGE:  # false where a bucket is empty
                onset = utc(float(metrics.starts()[complete - 2]))
                summary = f"{service} holds {now:.0f} jobs, and more with every minute"
                findings.append(
                    Finding(
                        detector="backlog", detector_version=self.version, kind="metric", service=service,
                        summary=summary, onset=onset, seen_at=seen.now, score=0.99, signal="backlog", value=float(now),
                    )
                )  # fmt: skip
        return findings

    @staticmethod
    def example() -> Example:
        growing = Simulated(
            seconds=1400, metrics={("emails", "backlog"): lambda t: 3.0 + 4.0 * max(t - 600, 0) * (t < 720)}
        )
        return Example(telemetry=growing, begins_s=600, ends_s=720)
