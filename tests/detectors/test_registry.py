"""Detectors come in by entry point: Watchkeeper's own, and those of other packages."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from shop_of_numbers import Shop

from alerting.incidents.commands import Incidents
from detectors.detector import DetectorPart, Seen, Setup
from detectors.learning.examples import examples
from detectors.learning.track_record import track_record
from detectors.live import Live
from detectors.registry import detectors, in_order, read_detectors
from watchkeeper.clock import FrozenClock
from watchkeeper.config import Config
from watchkeeper.parts import Registry
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database
from watchkeeper.state.labels import record_label
from watchkeeper.vocabulary import Finding, Label, utc


class TooMany:
    """More than so many requests a second."""

    version = "3"
    needs = ("red",)
    name = "stranger"

    def __init__(self, setup: Setup) -> None: ...

    def judge(self, seen: Seen) -> list[Finding]:
        red = seen["red"]
        complete = seen.complete["red"]
        calls = red["calls"][:, complete - 12 : complete].mean(axis=1) / red.step_s
        return [
            Finding(
                detector=self.name,
                detector_version=self.version,
                kind="traffic",
                service=service,
                summary=f"{service} {operation} serves {rate:.0f} requests/s",
                onset=seen.now,
                seen_at=seen.now,
                score=0.9,
                key=f"stranger:{service}:{operation}",
            )
            for (service, operation), rate in zip(red.names(), calls.tolist(), strict=True)
            if rate > 7.4
        ]


class OtherName(TooMany):
    """Reports findings in another detector's name."""

    name = "red"


class NoFindings(TooMany):
    """Returns something else."""

    def judge(self, seen: Seen) -> list[Finding]:
        return [str(seen.now)]  # type: ignore[list-item]


class Unwilling(TooMany):
    """Cannot be made."""

    def __init__(self, setup: Setup) -> None:
        raise RuntimeError(f"no {setup.clear_s:.0f}")


class Without:
    """Is no detector."""

    needs = ("red",)


class Needy(TooMany):
    """Needs what nobody reads."""

    needs = ("red", "stars")  # type: ignore[assignment]


def declared(**classes: str) -> Registry[DetectorPart]:
    """Entry points of this module."""
    group = "watchkeeper.detectors"
    return read_detectors(EntryPoint(name, f"{__name__}:{value}", group) for name, value in classes.items())


def test_the_built_in_detectors_come_in_by_entry_point() -> None:
    """None is missing, none is broken, and each says in a line what it finds."""
    registry = detectors()
    assert registry.broken == ()
    assert {"clock", "drift.service", "latency.shape", "logs", "logs.errors", "metrics", "red", "slo"} < set(
        registry.parts
    )
    assert all(part.summary.endswith(".") and part.version for part in registry.parts.values())


def test_a_detector_comes_after_those_that_it_names() -> None:
    """Whatever their names are; a circle ends."""

    def part(name: str, *after: str) -> DetectorPart:
        return DetectorPart(name=name, make=TooMany, needs=(), after=after)

    assert [one.name for one in in_order([part("a", "c"), part("b"), part("c")])] == ["b", "c", "a"]
    assert {one.name for one in in_order([part("a", "b"), part("b", "a")])} == {"a", "b"}
    order = [one.name for one in in_order(detectors().values().values())]
    assert order.index("red") < order.index("latency.shape")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("Without", "a class with a method `judge"),
        ("Needy", "`needs` names 'stars'; there are: red, latency"),
        ("missing", "no attribute 'missing'"),
    ],
)
def test_what_is_no_detector_is_named_and_stops_nothing(value: str, reason: str) -> None:
    """The reason is a problem that an operator sees; the others judge."""
    problems = Problems(None)
    registry = declared(stranger="TooMany", broken=value)
    assert reason in registry.broken[0].reason
    live = Live(history_s=600, registry=registry, problems=problems)
    assert {finding.service for finding in Shop(seed=1, seconds=300).tick(live, 200)} == {"goods"}
    ((subject, said),) = [(one.subject, one.reason) for one in problems.current()]
    assert subject == "detector broken"
    assert reason in said


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("OtherName", "a finding's detector is 'red'; it must be 'broken' or begin with it"),
        ("NoFindings", "`judge` must return findings, not str"),
        ("Unwilling", "RuntimeError: no 15"),
    ],
)
def test_a_detector_that_misbehaves_is_named_and_takes_nothing_away(value: str, reason: str) -> None:
    """Nothing that it found before clears, and the others' findings come."""
    problems = Problems(None)
    live = Live(history_s=600, registry=declared(stranger="TooMany", broken=value), problems=problems)
    (found,) = Shop(seed=1, seconds=300).tick(live, 200)
    assert found.detector == "stranger"
    assert [reason in one.reason for one in problems.current()] == [True]
    assert live.judged(found)


def test_a_finding_of_a_foreign_detector_reaches_an_incident_and_labels_reach_the_detector(tmp_path: Path) -> None:
    """The whole way: telemetry, finding, incident, label, and the record that stands on the next page."""
    shop, clock = Shop(seed=1, seconds=300), FrozenClock(utc(1_800_000_200))
    live = Live(history_s=600, registry=declared(stranger="TooMany"))
    db = Database.open(f"sqlite:///{tmp_path / 'state.db'}")
    incidents = Incidents(db, clock, Config().oncall)
    found = shop.tick(live, 200)
    (incident_id,) = incidents.observe(found, now=clock.now())
    assert [one.detector for one in incidents.get(incident_id).findings] == ["stranger"]
    label = Label(
        id="l1", incident_id=incident_id, source="human", author="Ana", at=clock.now(), warranted=False, cause=None
    )
    record_label(db, label)
    assert track_record(examples(db), found[0]).sentence().endswith("version 3, was right 0 of 1 time here")
    db.close()
