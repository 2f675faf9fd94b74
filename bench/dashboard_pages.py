"""`watchkeeper bench dashboard`: how long every page takes over a full store, and what the web role needs for it.

1. Starts a store and a web role of its own, on free ports, and fills the store (`dashboard_fill`).
2. For every page of the navigation, and for searches on it: the first content (the page's frame and its first answer,
   nothing in a cache), and a filter change (an answer for other choices), as a browser asks for them.
3. Beside them the same questions put to the store directly: every SELECT that the page asks, one after the other.
4. Twenty readers keep a page open each; then the first content of the overview for one more, and the web role's memory.

Times are the server's and the network's on loopback; what a browser needs to draw comes on top.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import psutil

from alerting.incidents.commands import Incidents
from bench.dashboard_fill import Size, fill
from bench.own_roles import OwnRoles, loader_of
from dashboard.page import Page, PageRequest
from dashboard.reads.sources import Sources
from dashboard.registry import page_registry
from dashboard.urls import parse
from dashboard.viewer import viewer
from watchkeeper.clock import SystemClock
from watchkeeper.ports import free_port
from watchkeeper.roles import ready
from watchkeeper.state.database import Database
from watchkeeper.store.telemetry import Telemetry

READERS: Final = 20
REFRESH_S: Final = 5.0
CACHED_S: Final = 2.2  # longer than an answer is shared
GOAL_FIRST_MS: Final = 1000
GOAL_CHANGE_MS: Final = 300
VIEWER: Final = {"scheme": "light", "zone": "UTC", "choice": "light"}
# Searches that people make, beside the plain pages: a name, and addresses of which each changes a filter.
SEARCHES: Final[Mapping[str, Sequence[str]]] = {
    "Services, one chosen": ("/services?service=service-0040", "/services?service=service-0050"),
    "Traces, one service": ("/traces?service=service-0040", "/traces?service=service-0050&status=failed"),
    "Logs, one word": ("/logs?q=shard&service=service-0003", "/logs?q=shard&service=service-0004"),
    "Metrics, a gauge by label": ("/explore?metric=bench.gauge.3&by=pool", "/explore?metric=bench.gauge.4&by=pool"),
    "Metrics, a counter": ("/explore?metric=bench.counter.3", "/explore?metric=bench.counter.4&by=route"),
    "Metrics, quantiles": ("/explore?metric=bench.duration.3", "/explore?metric=bench.duration.4&by=http.route"),
    "Data, one service": ("/data?service=service-0003", "/data?q=python"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PageTimes:
    """One page or search. Milliseconds; `store_ms` is what its questions take when put to the store directly."""

    name: str
    first_ms: float
    change_ms: float
    change_max_ms: float
    store_ms: float
    queries: int
    kib: float
    failed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One run. Memory in MB: with all that is shared (`rss`), and with its part of that (`pss`)."""

    spans: int
    log_lines: int
    services: int
    series: int
    fill_s: float
    disk_gib: float
    pages: tuple[PageTimes, ...]
    readers: int
    web_rss_mb: float
    web_pss_mb: float
    one_more_ms: float
    readers_p95_ms: float


class RecordingTelemetry(Telemetry):
    """A reader of the store that keeps what it is asked."""

    def __init__(self, **settings: str) -> None:
        super().__init__(**settings)
        self.asked: list[tuple[str, Mapping[str, Any]]] = []

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """As `Telemetry.query`."""
        self.asked.append((sql, dict(parameters or {})))
        return super().query(sql, parameters)


class Reader:
    """Somebody with a page open: asks as the browser's side of the dashboard does."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=60)
        dependencies = self._client.get("/_dash-dependencies").raise_for_status().json()
        self._page = next(one for one in dependencies if "live.children" in one["output"])

    def frame(self) -> None:
        """What a browser loads before the page's own content."""
        for path in ("/", "/_dash-layout", "/_dash-dependencies"):
            self._client.get(path).raise_for_status()

    def content(self, address: str, *, changed: Sequence[str] = ("url.pathname", "url.search")) -> bytes:
        """The page's content at an address."""
        path, _, search = address.partition("?")
        values = {
            "pathname": path,
            "search": f"?{search}" if search else "",
            "viewer": VIEWER,
            "tick": 0,
            "pulse": None,
        }

        def filled(places: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
            return [
                {**place, "value": values[place["property"] if place["id"] == "url" else place["id"]]}
                for place in places
            ]

        outputs = [
            dict(zip(("id", "property"), name.rsplit(".", 1), strict=True))
            for name in self._page["output"].strip(".").split("...")
        ]
        body = {
            "output": self._page["output"],
            "outputs": outputs,
            "inputs": filled(self._page["inputs"]),
            "state": filled(self._page["state"]),
            "changedPropIds": list(changed),
        }
        return self._client.post("/_dash-update-component", json=body).raise_for_status().content

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def measure(folder: Path, *, scale: float, rounds: int, most_gib: float, readers_s: float) -> Result:
    """Fill a store in `folder`, and measure every page over it.

    Raises:
        WatchkeeperError: a role did not start, or the disk would not suffice.
    """
    size = Size.of(scale)
    changes: dict[str, dict[str, Any]] = {"web": {"port": free_port()}, "slack": {"stand_in": {"enabled": False}}}
    with OwnRoles(folder, changes) as own:
        own.start("store")
        store = loader_of(own.config)
        fill_s = fill(store, folder, size, int(time.time()), most_gib=most_gib)
        ready.announce(own.config, "watch", {})  # pages judge only while somebody watches; this process stands in
        own.start("web")
        url = f"http://127.0.0.1:{own.config.web.port}"
        database = Database.open(own.config)
        try:
            pages = tuple(
                _times(own, database, url, name, addresses, rounds) for name, addresses in _searches().items()
            )
        finally:
            database.close()
        rss, pss, one_more, p95 = _crowd(own, url, readers_s)
        disk = sum(file.stat().st_size for file in (folder / "data").rglob("*") if file.is_file())
    return Result(
        spans=size.spans,
        log_lines=size.log_lines,
        services=size.services,
        series=size.series,
        fill_s=round(fill_s, 1),
        disk_gib=round(disk / 2**30, 2),
        pages=pages,
        readers=READERS,
        web_rss_mb=rss,
        web_pss_mb=pss,
        one_more_ms=one_more,
        readers_p95_ms=p95,
    )


def _searches() -> dict[str, Sequence[str]]:
    """Every page of the navigation with another time range as its filter, and the searches of those that there are."""
    pages = {page.path: page for page in page_registry().values().values() if page.order is not None}

    def order(page: Page) -> tuple[int, str]:
        return page.order or 0, page.title

    plain: dict[str, Sequence[str]] = {
        page.title: (page.path, f"{page.path}?range=15m") for page in sorted(pages.values(), key=order)
    }
    return plain | {name: urls for name, urls in SEARCHES.items() if urls[0].partition("?")[0] in pages}


def _times(own: OwnRoles, database: Database, url: str, name: str, addresses: Sequence[str], rounds: int) -> PageTimes:
    reader = Reader(url)
    failed, first, changes, length = False, [], [], 0
    for _ in range(rounds):
        time.sleep(CACHED_S)
        began = time.perf_counter()
        reader.frame()
        content = reader.content(addresses[0])
        first.append((time.perf_counter() - began) * 1000)
        failed, length = failed or b"empty trouble" in content, len(content)
        for address in addresses[1:]:
            began = time.perf_counter()
            content = reader.content(address, changed=("url.search",))
            changes.append((time.perf_counter() - began) * 1000)
            failed = failed or b"empty trouble" in content
    reader.close()
    store_ms, queries = _directly(own, database, addresses[-1], rounds)
    times = PageTimes(
        name=name,
        first_ms=round(statistics.median(first)),
        change_ms=round(statistics.median(changes)),
        change_max_ms=round(max(changes)),
        store_ms=round(store_ms),
        queries=queries,
        kib=round(length / 1024),
        failed=failed,
    )
    print(_row(times), file=sys.stderr, flush=True)
    return times


def _directly(own: OwnRoles, database: Database, address: str, rounds: int) -> tuple[float, int]:
    """The median time of a page's SELECTs, one after the other, and how many there are."""
    config, clock = own.config, SystemClock()
    telemetry = RecordingTelemetry.connect(config)
    sources = Sources(
        telemetry=telemetry,
        incidents=Incidents(database, clock, config.oncall),
        db=database,
        config=config,
        clock=clock,
    )
    path, _, search = address.partition("?")
    page = next(page for page in page_registry().values().values() if page.path == path)
    page.render(PageRequest(sources=sources, view=parse(path, search), viewer=viewer(VIEWER, clock.now())))
    asked = list(telemetry.asked)
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        for sql, parameters in asked:
            telemetry.query(sql, parameters)
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times), len(asked)


def _crowd(own: OwnRoles, url: str, seconds: float) -> tuple[float, float, float, float]:
    """Twenty readers, each with a page that refreshes: memory (RSS, PSS in MB), one more reader's wait, their p95."""
    addresses = [address for urls in _searches().values() for address in urls[:1]]
    until = time.monotonic() + seconds
    waits: list[float] = []

    def read(number: int) -> None:
        reader = Reader(url)
        while time.monotonic() < until:
            began = time.perf_counter()
            reader.content(addresses[number % len(addresses)], changed=("tick.data",))
            waits.append((time.perf_counter() - began) * 1000)
            time.sleep(max(0.0, REFRESH_S - (time.perf_counter() - began)))
        reader.close()

    threads = [threading.Thread(target=read, args=(number,), daemon=True) for number in range(READERS)]
    for thread in threads:
        thread.start()
    time.sleep(seconds / 2)
    began = time.perf_counter()
    newcomer = Reader(url)
    newcomer.frame()
    newcomer.content("/")
    one_more = (time.perf_counter() - began) * 1000
    newcomer.close()
    for thread in threads:
        thread.join()
    memory = psutil.Process(own.processes["web"].pid).memory_full_info()
    p95 = sorted(waits)[int(len(waits) * 0.95)] if waits else 0.0
    return round(memory.rss / 1e6, 1), round(memory.pss / 1e6, 1), round(one_more), round(p95)


HEAD: Final = f"{'page':<28} {'first':>7} {'change':>7} {'max':>7} {'store':>7} {'SELECTs':>7} {'KiB':>6}"


def _row(times: PageTimes) -> str:
    slow = times.first_ms > GOAL_FIRST_MS or times.change_ms > GOAL_CHANGE_MS
    note = "  failed" if times.failed else "  over the goal" if slow else ""
    return (
        f"{times.name:<28} {times.first_ms:>7.0f} {times.change_ms:>7.0f} {times.change_max_ms:>7.0f} "
        f"{times.store_ms:>7.0f} {times.queries:>7} {times.kib:>6.0f}{note}"
    )


def run(*, scale: float, rounds: int, most_gib: float, readers_s: float, keep: Path | None, as_json: bool) -> None:
    """Measure, and print a table or JSON."""
    if not as_json:
        print("milliseconds; `store` is the page's SELECTs put to the store directly, one after the other")
        print(HEAD, flush=True)
    with tempfile.TemporaryDirectory(prefix="watchkeeper-bench-") as temporary:
        folder = (keep or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        result = measure(folder, scale=scale, rounds=rounds, most_gib=most_gib, readers_s=readers_s)
    if as_json:
        print(json.dumps(asdict(result), indent=1))
        return
    print(
        f"\n{result.spans:,} spans, {result.log_lines:,} log lines, {result.services:,} services, {result.series:,} "
        f"series; filled in {result.fill_s:.0f} s; {result.disk_gib} GiB on disk"
    )
    print(
        f"web with {result.readers} readers: {result.web_rss_mb:.0f} MB RSS, {result.web_pss_mb:.0f} MB PSS; a refresh "
        f"takes {result.readers_p95_ms:.0f} ms (p95); one more reader's first page {result.one_more_ms:.0f} ms"
    )
    print(f"goals: first content {GOAL_FIRST_MS} ms, filter change {GOAL_CHANGE_MS} ms, web 350 MB")
