"""Prometheus scrapes: read a target's /metrics and hand it on as OTLP, like any other telemetry."""

from __future__ import annotations

import math
import re
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

import httpx
import structlog
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client import Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from collectors.otlp import accept
from watchkeeper.config import ScrapeConfig
from watchkeeper.errors import CollectorError, IngestLogError
from watchkeeper.ingest_log.segments import IngestLog

SCRAPES = Counter("watchkeeper_scrapes_total", "Scrapes, by job and outcome.", ["job", "outcome"])

ACCEPT: Final = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
LARGEST_PAGE: Final = 32 << 20
CUMULATIVE: Final = 2
_SCHEME: Final = re.compile(r"^https?://")


def scrape(job: ScrapeConfig, target: str, client: httpx.Client) -> ExportMetricsServiceRequest:
    """Read one target once.

    Raises:
        CollectorError: unreachable, not 200, or not in a Prometheus format; says which target.
    """
    url = (target if _SCHEME.match(target) else f"http://{target}") + job.path
    try:
        answer = client.get(url, timeout=job.timeout_s, headers={"Accept": ACCEPT})
    except httpx.HTTPError as error:
        raise CollectorError(f"scrape of {url} failed: {error}", retry=True) from error
    if answer.status_code != 200:
        raise CollectorError(f"scrape of {url} failed: HTTP {answer.status_code}", retry=True)
    if len(answer.content) > LARGEST_PAGE:
        raise CollectorError(f"scrape of {url} gave over {LARGEST_PAGE >> 20} MiB; scrape less")
    is_open = "openmetrics" in answer.headers.get("content-type", "")
    try:
        families = list((parse_openmetrics if is_open else parse_text)(answer.text))
    except (ValueError, KeyError, IndexError) as error:
        raise CollectorError(f"{url} is not in a Prometheus format: {error}") from error
    request = to_otlp(families, _resource(job, target), time.time_ns())
    _up(request, 1)
    return request


def down(job: ScrapeConfig, target: str) -> ExportMetricsServiceRequest:
    """What is stored of a target that could not be read: `up` is 0, as in Prometheus."""
    request = to_otlp((), _resource(job, target), time.time_ns())
    _up(request, 0)
    return request


def _resource(job: ScrapeConfig, target: str) -> dict[str, str]:
    return {"service.name": job.job, "service.instance.id": target, **job.labels}


def _up(request: ExportMetricsServiceRequest, value: int) -> None:
    metric = request.resource_metrics[0].scope_metrics[0].metrics.add(name="up", description="The target answered.")
    metric.gauge.data_points.add(as_int=value, time_unix_nano=time.time_ns())


def to_otlp(families: Iterable[Any], resource: dict[str, str], at_ns: int) -> ExportMetricsServiceRequest:
    """Metric families as one OTLP request; counters are cumulative sums, histograms keep their buckets."""
    request = ExportMetricsServiceRequest()
    scoped = request.resource_metrics.add()
    for key, value in resource.items():
        _attribute(scoped.resource.attributes, key, value)
    metrics = scoped.scope_metrics.add()
    metrics.scope.name = "prometheus"
    for family in families:
        if family.type in ("histogram", "summary"):
            _distribution(metrics, family, at_ns)
        else:
            _numbers(metrics, family, at_ns)
    return request


def _numbers(metrics: Any, family: Any, at_ns: int) -> None:
    samples = [s for s in family.samples if not s.name.endswith("_created")]
    if not samples:
        return
    metric = metrics.metrics.add(name=samples[0].name, description=family.documentation, unit=family.unit or "")
    if family.type == "counter":
        metric.sum.is_monotonic = True
        metric.sum.aggregation_temporality = CUMULATIVE
    points = metric.sum.data_points if family.type == "counter" else metric.gauge.data_points
    for sample in samples:
        point = points.add(as_double=sample.value, time_unix_nano=_stamp(sample, at_ns))
        for key, value in sample.labels.items():
            _attribute(point.attributes, key, value)


def _distribution(metrics: Any, family: Any, at_ns: int) -> None:
    """One point per set of labels, from the `_bucket` (or quantile), `_sum` and `_count` samples."""
    groups: dict[tuple[tuple[str, str], ...], list[Any]] = defaultdict(list)
    for sample in family.samples:
        labels = {key: value for key, value in sample.labels.items() if key not in ("le", "quantile")}
        groups[tuple(sorted(labels.items()))].append(sample)
    metric = metrics.metrics.add(name=family.name, description=family.documentation, unit=family.unit or "")
    is_histogram = family.type == "histogram"
    if is_histogram:
        metric.histogram.aggregation_temporality = CUMULATIVE
    for identity, samples in groups.items():
        points = metric.histogram.data_points if is_histogram else metric.summary.data_points
        point = points.add(time_unix_nano=_stamp(samples[0], at_ns))
        for key, value in identity:
            _attribute(point.attributes, key, value)
        below = 0
        for sample in samples:
            if sample.name.endswith("_bucket"):
                bound = float(sample.labels["le"])
                if not math.isinf(bound):
                    point.explicit_bounds.append(bound)
                point.bucket_counts.append(max(0, int(sample.value) - below))
                below = int(sample.value)
            elif sample.name.endswith("_sum"):
                point.sum = sample.value
            elif sample.name.endswith("_count"):
                point.count = int(sample.value)
            elif "quantile" in sample.labels and not is_histogram:
                point.quantile_values.add(quantile=float(sample.labels["quantile"]), value=sample.value)


def _stamp(sample: Any, at_ns: int) -> int:
    return int(float(sample.timestamp) * 1e9) if sample.timestamp else at_ns


def _attribute(attributes: Any, key: str, value: str) -> None:
    attributes.add(key=key).value.string_value = value


class Scraper:
    """Scrapes every target of every job at its interval, one thread a job; a bad target does not stop the others."""

    def __init__(self, jobs: Iterable[ScrapeConfig], log: IngestLog) -> None:
        self._stopping = threading.Event()
        self._log = log
        self._logger = structlog.get_logger()
        self._threads = [threading.Thread(target=self._run, args=(job,), name=f"scrape-{job.job}") for job in jobs]
        self._down: set[str] = set()

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _run(self, job: ScrapeConfig) -> None:
        due = time.monotonic()
        with httpx.Client(trust_env=False) as client:
            while not self._stopping.wait(max(0.0, due - time.monotonic())):
                due = max(due + job.interval_s, time.monotonic())  # a slow target skips turns, it does not queue them
                for target in job.targets:
                    self._once(job, target, client)

    def _once(self, job: ScrapeConfig, target: str, client: httpx.Client) -> None:
        try:
            try:
                request = scrape(job, target, client)
            except CollectorError:
                accept(self._log, "metrics", down(job, target).SerializeToString())
                raise
            accept(self._log, "metrics", request.SerializeToString())
        except (CollectorError, IngestLogError) as error:
            SCRAPES.labels(job.job, "failed").inc()
            if target not in self._down:  # told once, not at every turn
                self._down.add(target)
                self._logger.warning("scrape.failed", job=job.job, target=target, error=error.message)
            return
        SCRAPES.labels(job.job, "ok").inc()
        if target in self._down:
            self._down.discard(target)
            self._logger.info("scrape.recovered", job=job.job, target=target)
