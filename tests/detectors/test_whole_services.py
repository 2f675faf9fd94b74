"""Services judged as a whole: failures and slowness under names that have no past."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from detectors.detector import Setup
from detectors.live import Live
from detectors.simulated import ARRIVES_S, START, Requests, Simulated
from watchkeeper.vocabulary import Finding, utc

Of = Callable[[float], Requests]
FAULT_S = 900.0


def steady(per_s: float, mean_ms: float = 20.0) -> Of:
    return lambda _: Requests(per_s=per_s, mean_ms=mean_ms)


def from_then(after: Requests, before: Requests | None = None, *, since_s: float = FAULT_S) -> Of:
    return lambda t: after if t >= since_s else before or Requests(per_s=0.0)


def watch(telemetry: Simulated, times: Iterable[float]) -> dict[str, tuple[float, Finding]]:
    """When each finding was first reported with the severity it has then, by key and severity."""
    live, first = Live(history_s=1800, setup=Setup(clear_s=20)), dict[str, tuple[float, Finding]]()
    for at in times:
        seen = telemetry if telemetry.now_s < float("inf") else replace(telemetry, now_s=at)
        for finding in live.tick(seen, utc(START + at + ARRIVES_S)):
            first.setdefault(f"{finding.severity} {finding.key}", (at, finding))
    return first


def ticks(until_s: float, since_s: float = 800.0) -> range:
    return range(int(since_s), int(until_s), 5)


def test_failures_under_a_new_name_page() -> None:
    """Requests that fail before they are routed have another operation's name: two fifths of the service fail."""
    found = watch(
        Simulated(
            seconds=1200,
            requests={
                ("maps", "GET /nearby"): from_then(Requests(per_s=6), Requests(per_s=10)),
                ("maps", "GET"): from_then(Requests(per_s=4, failing=1.0)),
            },
        ),
        ticks(960),
    )
    at, finding = found["page red:errors:maps"]
    assert at <= FAULT_S + 15
    assert finding.value is not None
    assert finding.value >= 0.3


def test_a_deploy_that_renames_everything_hides_no_failure_and_no_slowness() -> None:
    """Where no operation has a past, the service has one; and as long as it is as before, nothing is found."""
    old, requests = ("GET /a", "GET /b"), dict[tuple[str, str], Of]()
    for service in ("calm", "failing", "slow"):
        for number, operation in enumerate(old):
            requests[service, operation] = from_then(Requests(per_s=0), Requests(per_s=5, mean_ms=40.0 + 30 * number))
            after = Requests(
                per_s=5,
                mean_ms=(40.0 + 30 * number) * (9 if service == "slow" else 1),
                failing=0.4 if service == "failing" else 0.0,
            )
            requests[service, f"{operation} v2"] = from_then(after)
    found = watch(Simulated(seconds=1200, requests=requests), ticks(1000))
    assert {key for key in found if key.startswith("page")} == {"page red:errors:failing", "page red:latency:slow"}
    assert all(found[key][0] <= FAULT_S + 25 for key in found if key.startswith("page"))
    assert not [finding.summary for _, finding in found.values() if finding.service == "calm"]


def test_another_mix_of_requests_is_no_slowdown() -> None:
    """Ten times as many of a service's slow requests, each as fast as ever."""
    found = watch(
        Simulated(
            seconds=1300,
            requests={
                ("orders", "GET /"): steady(10, 10.0),
                ("orders", "GET /report"): from_then(Requests(per_s=10, mean_ms=900), Requests(per_s=1, mean_ms=900)),
            },
        ),
        ticks(1100),
    )
    assert not [finding.summary for _, finding in found.values() if finding.kind == "latency"]


def test_many_rare_operations_are_judged_together() -> None:
    """Forty operations of one request in ten seconds each: none has enough, all of them have."""
    requests = {
        ("wiki", f"GET /{i}"): from_then(Requests(per_s=0.2, mean_ms=400), Requests(per_s=0.2)) for i in range(40)
    }
    found = watch(Simulated(seconds=1200, requests=requests), ticks(960))
    assert found["page red:latency:wiki"][0] <= FAULT_S + 15


@pytest.mark.parametrize("per_s", [0.2, 0.4])
@pytest.mark.parametrize("kind", ["errors", "latency"])
def test_rare_requests_page_once_there_are_enough(per_s: float, kind: str) -> None:
    """One request in five seconds: some of them suffice, however long that takes."""
    bad = Requests(per_s=per_s, failing=1.0) if kind == "errors" else Requests(per_s=per_s, mean_ms=900)
    found = watch(
        Simulated(seconds=1400, requests={("night", "GET /"): from_then(bad, Requests(per_s=per_s))}), ticks(1100)
    )
    assert found[f"page red:{kind}:night"][0] <= FAULT_S + 12 / per_s


def test_a_service_that_stops_is_silent_though_requests_are_rare() -> None:
    """Two requests in five seconds: after as many as forty seconds without one, it is no chance."""
    requests = {("night", "GET /"): from_then(Requests(per_s=0), Requests(per_s=0.4)), ("day", "GET /"): steady(9)}
    found = watch(Simulated(seconds=1400, requests=requests), ticks(1000))
    at, finding = found["page red:silence:night"]
    assert FAULT_S + 20 <= at <= FAULT_S + 60
    assert abs(finding.onset.timestamp() - START - FAULT_S) <= 5


def test_what_comes_by_the_clock_is_silent_only_after_longer_than_its_gaps() -> None:
    """A job of a burst a minute is not silent between two."""
    job: Of = lambda t: Requests(per_s=20 if t % 60 < 5 else 0)  # noqa: E731
    found = watch(Simulated(seconds=1400, requests={("job", "POST /"): job, ("web", "GET /"): steady(9)}), ticks(1300))
    assert found == {}


def test_errors_that_creep_up_page_once_users_feel_them() -> None:
    """From none to a third of the requests within ten minutes."""
    creeping: Of = lambda t: Requests(per_s=20, failing=max(0.0, min(1.0, (t - FAULT_S) / 600)) / 3)  # noqa: E731
    found = watch(Simulated(seconds=1800, requests={("web", "GET /"): creeping}), ticks(1500))
    assert FAULT_S + 60 <= found["page red:errors:web"][0] <= FAULT_S + 240


def test_a_silence_is_over_when_rare_requests_come_again() -> None:
    """Most buckets hold none of them, as ever."""

    def rare(at: float) -> Requests:
        return Requests(per_s=0.2 if at % 20 == 0 and not 900 <= at < 1450 else 0)

    requests = {("web", "GET /"): steady(10, 30), ("web", "GET /rare"): rare}
    telemetry = Simulated(seconds=1800, requests=requests)
    live = Live(history_s=1800, setup=Setup(clear_s=20))
    fires = {
        at: bool(live.tick(replace(telemetry, now_s=float(at)), utc(START + at + ARRIVES_S)))
        for at in range(800, 1600, 5)
    }
    assert fires[1440]
    assert not fires[1500]
