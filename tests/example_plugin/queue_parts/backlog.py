"""A job queue that nobody empties.

Assumes a gauge `backlog` by service. Fails on a queue that is filled once a day on purpose: give it a higher `LARGE`.
"""

import numpy as np

from detectors.detector import Seen, Setup
from watchkeeper.vocabulary import Finding, utc

LARGE = 100.0  # jobs: an example's number; your queue has another
RISES = 2  # buckets of ten seconds in a row in which it must have grown


class Backlog:
    """A job queue that holds many jobs and still grows."""

    version = "1"
    needs = ("metrics",)

    def __init__(self, setup: Setup) -> None: ...

    def judge(self, seen: Seen) -> list[Finding]:
        metrics, complete = seen["metrics"], seen.complete["metrics"]
        starts = metrics.starts()
        findings = []
        for row, (service, metric, *_) in enumerate(metrics.names()):
            jobs = metrics["value"][row, :complete]
            rising = len(jobs) > RISES and (np.diff(jobs[-RISES - 1 :]) > 0).all()  # false where a bucket is empty
            if metric == "backlog" and rising and jobs[-1] > LARGE:
                findings.append(
                    Finding(
                        detector="backlog", detector_version=self.version, kind="metric", service=service,
                        summary=f"{service} holds {jobs[-1]:.0f} jobs, and more with every minute", signal="backlog",
                        onset=utc(float(starts[complete - RISES])), seen_at=seen.now, score=0.99, severity="page",
                        value=float(jobs[-1]), expected=float(np.nanmedian(jobs)), unit="jobs",
                    )
                )  # fmt: skip
        return findings
