"""The loop over scrape targets: a bad one costs no neighbour, each problem is reported, and a stop is quick."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from collectors.ingest_log.attributes import MESSAGES
from collectors.ingest_log.segments import IngestLog
from collectors.receivers.otlp import Intake, Taken
from collectors.receivers.otlp_limits import Limits
from collectors.scrape.exposition import LONGEST_LINE
from collectors.scrape.prometheus import Scraper
from tests.collectors.pages import Target, drip
from tests.collectors.scrapes import FINE
from tests.waiting import until
from watchkeeper.config import ScrapeConfig
from watchkeeper.problems import Problems


class Log:
    """An ingest log and what the scrapes put into it."""

    def __init__(self, folder: Path) -> None:
        self.log = IngestLog(folder, segment_bytes=1 << 20, max_backlog_bytes=1 << 30, load_scale=1e6)
        self.kept: list[tuple[str, int, list[str]]] = []
        log = self

        class Kept(Intake):
            def take(self, signal: str, body: bytes, *, is_json: bool = False, sender: str = "") -> Taken:
                taken = super().take(signal, body, is_json=is_json, sender=sender)
                (resource,) = MESSAGES["metrics"].FromString(body).resource_metrics
                named = {a.key: a.value.string_value for a in resource.resource.attributes}
                metrics = resource.scope_metrics[0].metrics
                up = [metric.gauge.data_points[0].as_int for metric in metrics if metric.name == "up"]
                log.kept += [(named["service.instance.id"], one, [metric.name for metric in metrics]) for one in up]
                return taken

        self.intake = Kept(self.log, Limits())

    def up(self, target: Target) -> list[int]:
        """The target's `up`, scrape by scrape."""
        return [up for address, up, _ in self.kept if address == target.address]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    made = Log(tmp_path)
    yield made
    made.log.close()


def test_one_bad_target_starves_no_neighbour(log: Log, target: Target) -> None:
    """Dead, dripping, silent or of HTML: each is `up` 0 with its reason, and the good one is read at its pace."""
    bad = {name: Target() for name in ("dead", "drip", "head", "silent", "html", "loop", "zip", "long")}
    bad["dead"].close()
    bad["drip"].answer = drip(b"#")
    bad["head"].answer = drip(b"X: y\r\n", headers=True)
    bad["silent"].answer = lambda _: time.sleep(300)
    bad["html"].page, bad["html"].kind = "<html>", "text/html"
    bad["loop"].status, bad["loop"].headers = 302, {"Location": "/"}
    bad["zip"].page, bad["zip"].headers = b"x", {"Content-Encoding": "gzip"}
    bad["long"].page = "x" * (LONGEST_LINE + 1)
    target.page = FINE
    problems = Problems(None)
    addresses = (*(one.address for one in bad.values()), target.address)
    scraper = Scraper([ScrapeConfig(job="all", targets=addresses, interval_s=0.05, timeout_s=1)], log.intake, problems)
    scraper.start()
    until(lambda: len(log.up(target)) >= 20 and all(len(log.up(one)) >= 2 for one in bad.values()))
    scraper.stop()
    assert set(log.up(target)) == {1}
    assert all(set(log.up(one)) == {0} for one in bad.values())
    assert {problem.subject: problem.loop for problem in problems.current()} == {
        f"all: {one.address}": "scrape" for one in bad.values()
    }
    for one in (*bad.values(), target):
        if one is not bad["dead"]:
            one.close()


def test_a_sample_left_out_is_reported_until_it_comes_right(log: Log, target: Target) -> None:
    """Among the problems, with an example; as is a page without samples, and a target that comes back."""
    problems = Problems(None)
    target.page = "neg 1 -62135596800000\nfine 7\n"
    scraper = Scraper([ScrapeConfig(job="shop", targets=(target.address,), interval_s=0.05)], log.intake, problems)
    scraper.start()

    def reasons() -> list[str]:
        return [problem.reason for problem in problems.current()]

    until(lambda: any("such as neg" in reason for reason in reasons()))
    target.page = "old 1 1395066363000\nfine 7\n"
    until(lambda: any("samples left out" in reason and "neg" not in reason for reason in reasons()))
    target.page = ""
    until(lambda: reasons() == ["the page has no samples"])
    target.status = 503
    until(lambda: any("HTTP 503" in reason for reason in reasons()))
    target.status, target.page = 200, FINE
    until(lambda: reasons() == [])
    scraper.stop()


def test_it_stops_while_targets_hang(log: Log) -> None:
    """Whatever they do; twice is harmless, and so is never having started."""
    hung = Target()
    hung.answer = drip(b"#")
    scraper = Scraper([ScrapeConfig(job="a", targets=(hung.address,), timeout_s=3600)], log.intake, Problems(None))
    scraper.start()
    until(lambda: bool(hung.asked))
    scraper.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "scrapes"]
    scraper.stop()
    Scraper([], log.intake, Problems(None)).stop()
    hung.close()


def test_credentials_of_an_address_stand_nowhere(log: Log, target: Target, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in logs, problems nor attributes; they are sent."""
    problems = Problems(None)
    caplog.set_level("DEBUG")
    target.status = 500
    job = ScrapeConfig.model_construct(
        job="shop",
        targets=(f"http://ana:hunter2@{target.address}",),
        path="/metrics?key=hunter2",
        interval_s=0.05,
        timeout_s=5.0,
        max_mib=1,
        redirect_hosts=(),
        labels={},
    )
    scraper = Scraper([job], log.intake, problems)
    with capture_logs() as logs:
        scraper.start()
        until(lambda: bool(problems.current()))
        target.status = 200
        until(lambda: any(up for _, up, _ in log.kept))
        scraper.stop()
    assert target.asked[0][1]["authorization"].startswith("Basic ")
    output = f"{problems.current()}{logs}{log.kept}" + "".join(
        record.getMessage() for record in caplog.records if not record.name.startswith("httpcore")
    )
    assert "hunter2" not in output
