"""Prometheus scrapes: read a target's /metrics and hand it on as OTLP, like any other telemetry.

One thread runs a loop with a task for every target, so that none waits for another; pages are read by a few workers
beside it. Each scrape ends within its time, each failure is that target's alone, is stored as `up` = 0, and is
reported with its reason among the role's problems.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Final

import httpx
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client import Counter

from collectors.receivers.otlp import Intake
from collectors.scrape.exposition import Exposition, empty_request, parts, read_page
from collectors.scrape.page import address, fetch, shown
from collectors.source import SourceContext
from watchkeeper.config import ScrapeConfig
from watchkeeper.errors import CollectorError
from watchkeeper.problems import Problems

SCRAPES = Counter("watchkeeper_scrapes_total", "Scrapes, by job and outcome.", ["job", "outcome"])
SET_ASIDE = Counter("watchkeeper_scrape_samples_set_aside_total", "Samples of scraped pages left out, by job.", ["job"])

LOOP: Final = "scrape"
AT_ONCE: Final = 128  # targets that are read at one moment; with more, some begin a little later
READERS: Final = 4  # threads that parse pages, which is CPU work under one lock
READ_WITHIN_S: Final = 120.0  # of the largest page, on a slow machine
STOP_WITHIN_S: Final = 5.0  # for the loop to cancel its tasks


async def scrape(
    job: ScrapeConfig, target: str, client: httpx.AsyncClient, readers: Executor, stopping: threading.Event
) -> Exposition:
    """Read one target once; `readers` are for the page's text.

    Raises:
        CollectorError: unreachable, not 200, or not in a Prometheus format; says which target.
    """
    page = await fetch(
        client,
        address(target, job.path),
        timeout_s=job.timeout_s,
        most_bytes=job.max_mib << 20,
        redirect_hosts=job.redirect_hosts,
    )
    resource = _resource(job, target)

    def read() -> Exposition:
        until = time.monotonic() + READ_WITHIN_S
        go_on = lambda: not stopping.is_set() and time.monotonic() < until  # noqa: E731 - plain where it stands
        return read_page(page.body, page.content_type, resource, time.time_ns(), go_on)

    try:
        exposition = await asyncio.get_running_loop().run_in_executor(readers, read)
    except CollectorError as error:
        raise CollectorError(f"{shown(address(target, job.path))} is {error.message}", retry=error.retry) from error
    _up(exposition.request, 1)
    return exposition


def down(job: ScrapeConfig, target: str) -> ExportMetricsServiceRequest:
    """What is stored of a target that could not be read: `up` is 0, as in Prometheus."""
    request = empty_request(_resource(job, target))
    _up(request, 0)
    return request


def _resource(job: ScrapeConfig, target: str) -> dict[str, str]:
    return {"service.name": job.job, "service.instance.id": shown(target), **job.labels}


def _up(request: ExportMetricsServiceRequest, value: int) -> None:
    metric = request.resource_metrics[0].scope_metrics[0].metrics.add(name="up", description="The target answered.")
    metric.gauge.data_points.add(as_int=value, time_unix_nano=time.time_ns())


class PrometheusScrape:
    """Prometheus endpoints, scraped at an interval."""

    section = "ingest.scrape"

    def __init__(self, context: SourceContext) -> None:
        self._stop = context.stop
        self._scraper = Scraper(context.config.ingest.scrape, context.intake, context.problems)

    def run(self) -> None:
        """Scrape until the role stops."""
        self._scraper.start()
        self._stop.wait()
        self._scraper.stop()


class Scraper:
    """Scrapes every target of every job at its interval; no target waits for another, and none ends the loop."""

    def __init__(self, jobs: Iterable[ScrapeConfig], intake: Intake, problems: Problems) -> None:
        self._jobs = tuple(jobs)
        self._intake = intake
        self._problems = problems
        self._stopping = threading.Event()
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="scrape-reader")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="scrapes", daemon=True)
        # A client's log of its requests would show the credentials of their addresses.
        logging.getLogger("httpx").setLevel(logging.WARNING)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End within seconds, whatever the targets do."""
        self._stopping.set()
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in asyncio.all_tasks(self._loop)])
            self._thread.join(STOP_WITHIN_S)
        if not self._thread.is_alive():
            self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        # Looking up names has threads of its own: a name server that hangs must not keep pages from being read.
        names = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="scrape-names")
        self._loop.set_default_executor(names)
        try:
            self._loop.run_until_complete(self._follow_all())
        except asyncio.CancelledError:
            pass
        finally:
            for pool in (names, self._readers):
                pool.shutdown(wait=False, cancel_futures=True)

    async def _follow_all(self) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=AT_ONCE)
        at_once = asyncio.Semaphore(AT_ONCE)
        pairs = [(job, target) for job in self._jobs for target in job.targets]
        if not pairs or self._stopping.is_set():
            return
        # The time of a whole scrape is bounded in one place; a bound for each read would only be another.
        async with httpx.AsyncClient(trust_env=False, timeout=httpx.Timeout(None), limits=limits) as client:
            await asyncio.gather(*(self._follow(job, target, client, at_once) for job, target in pairs))

    async def _follow(
        self, job: ScrapeConfig, target: str, client: httpx.AsyncClient, at_once: asyncio.Semaphore
    ) -> None:
        """One target, for as long as the role runs."""
        due = time.monotonic()
        subject = f"{job.job}: {shown(target)}"
        while not self._stopping.is_set():
            async with at_once:
                try:
                    await self._once(job, target, client, subject)
                except Exception as error:  # noqa: BLE001 - one target's trouble, of whatever kind, is its own
                    SCRAPES.labels(job.job, "failed").inc()
                    self._problems.report(LOOP, subject, error)
            due = max(due + job.interval_s, time.monotonic())  # a slow target skips turns, it does not queue them
            await asyncio.sleep(due - time.monotonic())

    async def _once(self, job: ScrapeConfig, target: str, client: httpx.AsyncClient, subject: str) -> None:
        try:
            exposition = await scrape(job, target, client, self._readers, self._stopping)
            rejected = await self._keep(exposition.request, subject)
        except Exception:
            await self._keep(down(job, target), subject)
            raise
        SCRAPES.labels(job.job, "ok").inc()
        self._report(job, subject, exposition, rejected)

    async def _keep(self, request: ExportMetricsServiceRequest, sender: str) -> str:
        """Put a request into the ingest log; what of it was left out or changed there, in words."""

        def keep() -> str:
            taken = [self._intake.take("metrics", part.SerializeToString(), sender=sender) for part in parts(request)]
            return "; ".join(dict.fromkeys(each.message for each in taken if each.message))

        return await asyncio.get_running_loop().run_in_executor(self._readers, keep)

    def _report(self, job: ScrapeConfig, subject: str, exposition: Exposition, rejected: str) -> None:
        self._problems.solved(LOOP, subject)
        partly = f"{subject}, in part"
        SET_ASIDE.labels(job.job).inc(sum(exposition.set_aside.values()))
        left_out = "; ".join(filter(None, (exposition.summary(), rejected)))
        if left_out:
            self._problems.report(LOOP, partly, f"samples left out: {left_out}")
        elif not exposition.samples:
            self._problems.report(LOOP, partly, "the page has no samples")
        else:
            self._problems.solved(LOOP, partly)
