"""One scrape of a page, and what became of it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from collectors.scrape.exposition import Exposition
from collectors.scrape.prometheus import scrape
from tests.collectors.pages import Target
from watchkeeper.config import ScrapeConfig

TEXT = """\
# HELP http_requests_total Requests.
# TYPE http_requests_total counter
http_requests_total{code="200",path="/a\\"b"} 1027
http_requests_total{code="500"} 3 1395066363000
# TYPE temperature gauge
temperature 21.5
# TYPE latency_seconds histogram
latency_seconds_bucket{le="0.1"} 5
latency_seconds_bucket{le="1"} 7
latency_seconds_bucket{le="+Inf"} 8
latency_seconds_sum 3.5
latency_seconds_count 8
# TYPE rpc_seconds summary
rpc_seconds{quantile="0.5"} 0.2
rpc_seconds_sum 9
rpc_seconds_count 40
untyped_thing 4
weird_value NaN
"""
FINE = "# TYPE fine gauge\nfine 7\n"


def once(address: str, **changes: Any) -> Exposition:
    """One scrape."""
    job = ScrapeConfig(job="shop", targets=("a.invalid:1",), labels={"team": "blue"}, **changes)

    async def run() -> Exposition:
        with ThreadPoolExecutor(1) as readers:
            async with httpx.AsyncClient(trust_env=False) as client:
                return await scrape(job, address, client, readers, threading.Event())

    return asyncio.run(run())


def metrics_of(exposition: Exposition) -> dict[str, Any]:
    """Metric name → metric; a name that stands twice is a mistake."""
    metrics = exposition.request.resource_metrics[0].scope_metrics[0].metrics
    named = {metric.name: metric for metric in metrics}
    assert len(named) == len(metrics)
    return named


def read(target: Target, **changes: Any) -> dict[str, Any]:
    """The metrics of one scrape."""
    exposition = once(target.address, **changes)
    resource = {a.key: a.value.string_value for a in exposition.request.resource_metrics[0].resource.attributes}
    assert resource == {"service.name": "shop", "service.instance.id": target.address, "team": "blue"}
    return metrics_of(exposition)


def values(metric: Any) -> list[float]:
    """A gauge's or counter's values."""
    return [point.as_double for point in (metric.gauge.data_points or metric.sum.data_points)]
