"""What every detector must do, as a suite of tests: for built-in ones and for those of other packages.

A detector shows what it is for by an example: a static method `example()` that returns telemetry with trouble in it.
The checks run it alone, over the scheduler that runs it live.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any

from detectors.detector import DetectorPart, Setup
from detectors.live import LOOP, Live
from detectors.registry import accept
from detectors.simulated import ARRIVES_S, START, Example, Requests, Simulated
from watchkeeper.parts import Part, Registry
from watchkeeper.problems import Problems
from watchkeeper.vocabulary import Finding, utc

Check = Callable[[DetectorPart], None]
TICK_S = 10
QUIET_S = 1500  # of input in which nothing happens: longer than every detector's first minutes


def detector_suite(parts: Mapping[str, Any] | None = None) -> type:
    """The tests that every detector must pass: over classes by name, or over all that are registered."""
    import pytest

    from detectors.registry import detectors

    known = detectors().values() if parts is None else {name: accept(name, made) for name, made in parts.items()}

    class DetectorSuite:
        @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
        @pytest.mark.parametrize("name", sorted(known))
        def test_detector(self, name: str, check: Check) -> None:
            check(known[name])

    return DetectorSuite


def it_is_described_and_has_an_example(part: DetectorPart) -> None:
    """Its class has a docstring, whose first line lists and pages show, and shows what it finds."""
    assert (inspect.getdoc(part.make) or "").strip(), "its class has no docstring"
    example = _example(part)
    assert 0 < example.begins_s < example.ends_s < example.telemetry.seconds, "its example's times are out of order"


def constant_input_is_quiet(part: DetectorPart) -> None:
    """Nothing changes, so nothing is found."""
    _is_quiet(part, _calm(lambda _: 1.0))


def wavy_input_is_quiet(part: DetectorPart) -> None:
    """Traffic, and what follows from it, goes up and down by a tenth in five minutes."""
    _is_quiet(part, _calm(lambda t: 1.0 + 0.1 * math.sin(2 * math.pi * t / 300)))


def gaps_are_quiet(part: DetectorPart) -> None:
    """A pipeline that stood still for a minute, twice, is no trouble of a service."""
    _is_quiet(part, replace(_calm(lambda _: 1.0), blind=((700, 760), (1100, 1160))))


def its_example_is_found_in_time_and_only_then(part: DetectorPart) -> None:
    """Quiet before; found while it lasts, with an onset near its begin."""
    example, ticks = _example(part), _played(part)
    before = [finding for at, found in ticks for finding in found if at < example.begins_s]
    assert not before, f"it finds trouble before there is any: {before[0].summary}"
    during = [finding for at, found in ticks for finding in found if example.begins_s <= at <= example.ends_s]
    assert during, "it does not find its own example"
    early, late = example.begins_s - 120, example.ends_s
    onset_s = (during[0].onset - utc(START)).total_seconds()
    assert early <= onset_s <= late, f"the onset is {onset_s:.0f} s, the trouble began at {example.begins_s:.0f} s"


def the_same_trouble_keeps_its_key(part: DetectorPart) -> None:
    """From when it was first found until it clears."""
    example = _example(part)
    keys = [{finding.key for finding in found} for at, found in _played(part) if at <= example.ends_s]
    fired = [at for at, found in enumerate(keys) if found]
    assert fired, "it does not find its own example"
    first = keys[fired[0]]
    lasting = [number for number, found in enumerate(keys) if found & first]
    assert lasting == list(range(lasting[0], lasting[-1] + 1)), "its finding comes and goes while the trouble lasts"


def what_ended_clears(part: DetectorPart) -> None:
    """Its finding ends soon after its trouble did."""
    example = _example(part)
    last_at, last = _played(part)[-1]
    assert last_at >= example.ends_s + example.clears_within_s - TICK_S, "its example ends before it could clear"
    assert not last, f"it still finds, {example.clears_within_s:.0f} s after the end: {last[0].summary}"


def findings_are_of_this_tick(part: DetectorPart) -> None:
    """Seen now, begun earlier, under the detector's name; nothing is reported as a problem."""
    example = _example(part)
    for at, found in _played(part):
        now = utc(START + at + ARRIVES_S)
        for finding in found:
            assert part.owns(finding.detector), f"a finding is named {finding.detector!r}"
            assert finding.onset <= now, f"an onset lies {finding.onset - now} in the future"
            assert timedelta() <= now - finding.seen_at <= timedelta(seconds=example.telemetry.seconds)


def the_same_input_gives_the_same_findings(part: DetectorPart) -> None:
    """No clock but the tick's, no chance, no state that two detectors share."""
    assert _played(part) == _played.__wrapped__(part), "a second run finds something else"


def what_is_not_complete_changes_nothing(part: DetectorPart) -> None:
    """Findings are the same whether the bucket that has begun is there or not: nothing looks beyond `complete`."""
    assert _played(part) == _played(part, runs=True), "its findings depend on a bucket that is not complete"


def hostile_input_breaks_nothing(part: DetectorPart) -> None:
    """NaN, infinities and huge numbers; a tick that comes twice, one hours later, and a clock that steps back."""
    values = (math.nan, math.inf, -math.inf, 1e300, -1.0, 0.0)

    def odd(t: float) -> float:
        return values[int(t) // 10 % len(values)]

    calm = _calm(lambda _: 1.0)
    telemetry = replace(
        calm,
        requests={
            key: lambda t: Requests(per_s=20, failing=1.0, mean_ms=odd(t) if t > 600 else 20.0) for key in calm.requests
        },
        metrics={key: lambda t: odd(t) if t > 600 else 5.0 for key in calm.metrics},
    )
    times = [*range(10, 900, TICK_S), 890, 890, 300, 310, 8000, 8010, 900]
    run(part, telemetry, times, _example(part).setup)


def run(part: DetectorPart, telemetry: Simulated, at_s: Iterable[float], setup: Setup) -> list[list[Finding]]:
    """What a detector finds at each of these seconds from `START`, alone, as it would be run live.

    Raises:
        AssertionError: it died of something, or returned what is no finding of its own.
    """
    problems = Problems(None)
    loaded = Part(kind="detector", name=part.name, version="", origin="", summary="", value=part)
    registry = Registry(kind="detector", parts={part.name: loaded}, broken=())
    live = Live(history_s=1800, setup=setup, registry=registry, problems=problems)
    ticks = []
    for at in at_s:
        ticks.append(live.tick(replace(telemetry, now_s=at), utc(START + at + ARRIVES_S)))
        failed = [problem.reason for problem in problems.current() if problem.loop == LOOP]
        assert not failed, f"it failed at {at:.0f} s: {failed[0]}"
    return ticks


def _example(part: DetectorPart) -> Example:
    make: Any = part.make
    assert callable(getattr(make, "example", None)), "it has no static method `example()`; see docs/extending.md"
    example = make.example()
    assert isinstance(example, Example), "`example()` must return a detectors.simulated.Example"
    return example


@cache
def _played(part: DetectorPart, *, runs: bool = False) -> list[tuple[float, list[Finding]]]:
    """What it finds in its example, tick by tick, until it should have cleared."""
    example = _example(part)
    telemetry = replace(example.telemetry, runs=runs)
    end = min(telemetry.seconds, int(example.ends_s + example.clears_within_s))
    times = [float(at) for at in range(TICK_S, end + 1, TICK_S)]
    return list(zip(times, run(part, telemetry, times, example.setup), strict=True))


def _is_quiet(part: DetectorPart, telemetry: Simulated) -> None:
    for found in run(part, telemetry, range(TICK_S, QUIET_S, TICK_S), _example(part).setup):
        assert not found, f"it finds trouble where there is none: {found[0].summary}"


def _calm(wave: Callable[[float], float]) -> Simulated:
    """Three services of every signal, whose traffic goes by a wave; nothing else happens."""
    services = {"front": 20.0, "goods": 40.0, "money": 12.0}
    return Simulated(
        seconds=QUIET_S,
        requests={
            (name, "GET /"): lambda t, rate=rate: Requests(per_s=rate * wave(t), mean_ms=20.0 + rate)  # type: ignore[misc]
            for name, rate in services.items()
        },
        metrics={(name, "queue"): lambda t: 100.0 * wave(t) for name in services},
        lines={
            (name, "INFO", f"request # served by {name} in # ms"): lambda t, rate=rate: rate * wave(t)  # type: ignore[misc]
            for name, rate in services.items()
        },
        calls={("front", "goods"): lambda t: 40.0 * wave(t), ("front", "money"): lambda t: 12.0 * wave(t)},
        offsets={("front", "goods"): lambda _: 0.0, ("front", "money"): lambda _: 0.0},
    )


CHECKS: tuple[Check, ...] = (
    it_is_described_and_has_an_example,
    constant_input_is_quiet,
    wavy_input_is_quiet,
    gaps_are_quiet,
    its_example_is_found_in_time_and_only_then,
    the_same_trouble_keeps_its_key,
    what_ended_clears,
    findings_are_of_this_tick,
    the_same_input_gives_the_same_findings,
    what_is_not_complete_changes_nothing,
    hostile_input_breaks_nothing,
)
