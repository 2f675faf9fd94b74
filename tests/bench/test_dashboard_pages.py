"""The dashboard's benchmark fills what it says, no more than the disk may hold, and asks as a browser does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.dashboard_fill import Size, fill
from bench.dashboard_pages import Reader
from bench.own_roles import OwnRoles, loader_of
from watchkeeper.errors import WatchkeeperError
from watchkeeper.ports import free_port
from watchkeeper.store.statements import Statements


@pytest.fixture(scope="module")
def roles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRoles]:
    """A store, and a web role over it."""
    changes = {"web": {"port": free_port()}, "slack": {"stand_in": {"enabled": False}}}
    with OwnRoles(tmp_path_factory.mktemp("bench"), changes) as own:
        own.start("store", "web")
        yield own


def test_what_is_filled_in_is_found_on_a_page(roles: OwnRoles, tmp_path: Path) -> None:
    """Spans, lines and series in the numbers that were asked for, with their roll-ups, and a page that shows them."""
    config, size = roles.config, Size.of(0.0001)
    store = loader_of(config)
    fill(store, tmp_path, size, int(time.time()), most_gib=1)
    (counted,) = roles.telemetry.query(
        "SELECT (SELECT count() FROM otel_traces) AS spans, (SELECT count() FROM otel_logs) AS log_lines, "
        "(SELECT uniqExact(ServiceName) FROM otel_traces) AS services, (SELECT sum(calls) FROM red) AS calls, "
        "(SELECT uniqExact(MetricName, ServiceName) FROM otel_metrics_gauge) AS gauges"
    ).to_pylist()
    expected = {"spans": size.spans, "log_lines": size.log_lines, "services": 10, "calls": size.spans, "gauges": 750}
    assert counted == expected
    reader = Reader(f"http://127.0.0.1:{config.web.port}")
    reader.frame()
    content = reader.content("/explore?metric=bench.duration.3&by=http.route")
    reader.close()
    assert b"bench.duration.3" in content
    assert b"Lines of the plot" in content
    assert b"empty trouble" not in content


def test_a_disk_that_is_too_small_is_named_before_anything_is_written(roles: OwnRoles, tmp_path: Path) -> None:
    """The message says what it takes, what is allowed and what to choose."""
    store = Statements(url=roles.config.store_url, user="loader", password="")
    with pytest.raises(WatchkeeperError, match=r"rows may take .* GiB; allowed are 0\.01 GiB"):
        fill(store, tmp_path, Size.of(1), int(time.time()), most_gib=0.01)
