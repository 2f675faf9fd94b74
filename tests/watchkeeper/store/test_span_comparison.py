"""Two groups of spans in a real store: what is slow, what fails and what is new is named, and chance is not."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime, timedelta

import pytest

from bench.own_roles import OwnRoles
from dashboard.reads.differences import differences
from watchkeeper.store import span_comparison
from watchkeeper.store.span_comparison import SpanComparison, compare_spans
from watchkeeper.store.span_search import SpanSearch
from watchkeeper.store.statements import Statements
from watchkeeper.vocabulary import Window

pytestmark = pytest.mark.xdist_group("store")
START = datetime.now(UTC).replace(microsecond=0, second=0) - timedelta(minutes=30)
WINDOW = Window(start=START + timedelta(minutes=10), end=START + timedelta(minutes=20))


def shop(loader: Statements, spans: int = 1200) -> str:
    """Requests over twenty minutes: version 2 is slow, host h3 fails, and region `eu` came ten minutes ago."""
    service = f"shop-{secrets.token_hex(3)}"
    rows = [
        {
            "Timestamp": f"{(START + timedelta(seconds=i * 1200 / spans)).timestamp():.6f}",
            "TraceId": secrets.token_hex(16),
            "SpanId": secrets.token_hex(8),
            "SpanName": "POST /pay",
            "SpanKind": "Server",
            "ServiceName": service,
            "Duration": (900 if i % 10 == 0 else 20 + i % 7) * 1_000_000,
            "StatusCode": "Error" if i % 5 == 3 and i % 2 == 0 else "Unset",
            "SpanAttributes": {
                "user.id": secrets.token_hex(4),
                "colour": ["red", "blue", "green"][i % 3],
                "region": "eu" if i >= spans / 2 else "us",
            },
            "ResourceAttributes": {"service.version": "2" if i % 10 == 0 else "1", "host.name": f"h{i % 5}"},
        }
        for i in range(spans)
    ]
    body = "\n".join(json.dumps(row) for row in rows).encode()
    loader.run(f"INSERT INTO otel.otel_traces ({', '.join(rows[0])}) FORMAT JSONEachRow", body)
    return service


def named(comparison: SpanComparison) -> list[tuple[str, str]]:
    """The keys and values that the selected spans have more often, the most different first."""
    return [(one.value.key, one.value.value) for one in differences(comparison) if one.difference > 0]


def test_the_slow_version_is_named_and_chance_is_not(roles: OwnRoles, loader: Statements) -> None:
    """With and without a bound; ids and what is spread evenly are no discovery."""
    service = shop(loader)
    for search in (SpanSearch(service=service), SpanSearch(service=service, least_ms=500)):
        result = compare_spans(roles.telemetry, WINDOW, search, "slow")
        assert (result.selected.spans, result.others.spans) == (60, 540)
        assert named(result)[0] == ("service.version", "2")
        assert {key for key, _ in named(result)} <= {"service.version", "host.name"}
        assert result.selected.p50_ms > 500 > result.others.p95_ms


def test_the_failing_host_is_named(roles: OwnRoles, loader: Statements) -> None:
    """Whatever result the search is for: the other group are those that went well."""
    service = shop(loader)
    result = compare_spans(roles.telemetry, WINDOW, SpanSearch(service=service, failed=True), "failed")
    assert result.selected.failed == result.selected.spans == 60
    assert result.others.failed == 0
    assert named(result)[0] == ("host.name", "h3")


def test_what_is_new_is_named_against_the_time_before(roles: OwnRoles, loader: Statements) -> None:
    """The ten minutes before are compared with the window."""
    service = shop(loader)
    result = compare_spans(roles.telemetry, WINDOW, SpanSearch(service=service), "before")
    assert (result.selected.spans, result.others.spans) == (600, 600)
    assert named(result) == [("region", "eu")]


def test_two_of_two_are_no_discovery(roles: OwnRoles, loader: Statements) -> None:
    """Of twelve spans nothing can be said; of none nothing is."""
    service = shop(loader, spans=24)
    result = compare_spans(roles.telemetry, WINDOW, SpanSearch(service=service), "slow")
    assert result.selected.spans == 2 or result.selected.spans == 1
    assert named(result) == []
    empty = compare_spans(roles.telemetry, WINDOW, SpanSearch(service="nothing"), "failed")
    assert (empty.selected.spans, empty.others.spans, empty.values) == (0, 0, ())


def test_large_groups_are_sampled_and_wide_windows_cut(
    roles: OwnRoles, loader: Statements, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer stays; what was sampled and which time was read are said."""
    service = shop(loader, spans=4000)
    monkeypatch.setattr(span_comparison, "MOST_SAMPLED", 500)
    sampled = compare_spans(roles.telemetry, WINDOW, SpanSearch(service=service), "slow")
    assert sampled.others.spans == 1800
    assert 350 <= sampled.sampled_others <= 550
    assert named(sampled)[0] == ("service.version", "2")
    monkeypatch.setattr(span_comparison, "MOST_READ", 1000)
    cut = compare_spans(roles.telemetry, WINDOW, SpanSearch(service=service), "slow")
    assert cut.window.end == WINDOW.end
    assert cut.window.seconds == 300
