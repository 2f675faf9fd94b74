"""The two outputs of a simulated system agree: its arrays, and its OTLP through the receivers and the store."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench.own_roles import OwnRoles, loader_of
from bench.worlds.replay import Replay
from chaos.worlds import otlp
from chaos.worlds.recording import SHAPE_STEP_S, Recording
from chaos.worlds.world import World, world
from detectors.live import Live
from watchkeeper.store import edges
from watchkeeper.vocabulary import utc

SECONDS = 1500
EVERY_S = 10
SEED = 36  # few services, two requests a second, a fault that users feel
LOADED_WITHIN_S = 300.0
Pages = set[tuple[str, str]]


def shifted(of: World, start: int) -> World:
    """The same world at another time."""
    return replace(of, start=start)


def pages(tick: Callable[[Live, float], Pages], recording: Recording, begins_s: float) -> Pages:
    """What pages until two minutes into the fault, by kind and service, with detectors that know nothing before."""
    live = Live(history_s=1800)
    found: Pages = set()
    for at in range(int(begins_s) - 60, min(int(begins_s) + 120, SECONDS), EVERY_S):
        found |= tick(live, float(recording.start + at))
    return found


def send(roles: OwnRoles, of: World, recording: Recording, until_s: int) -> int:
    """Post everything; returns the number of requests."""
    sent = 0
    for signal, body in otlp.export(of, recording, until_s):
        request = urllib.request.Request(
            f"{roles.otlp_url}/v1/{signal}", data=body, headers={"content-type": "application/x-protobuf"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 200
        sent += 1
    return sent


@pytest.mark.slow
def test_arrays_and_otlp_give_the_same_pages(tmp_path: Path) -> None:
    """The same services page for the same kinds of trouble, whether the numbers come as arrays or over the wire."""
    start = (int(time.time()) - SECONDS) // SHAPE_STEP_S * SHAPE_STEP_S - SHAPE_STEP_S
    of = shifted(world(SEED, seconds=SECONDS, faults=1), start)
    recording = of.record()
    fault = next(event for event in recording.events if event.harmful)

    replay = Replay(recording)

    def by_arrays(live: Live, now: float) -> Pages:
        replay.now = now
        return {(one.kind, one.service) for one in live.tick(replay, utc(now)) if one.severity == "page"}

    expected = pages(by_arrays, recording, fault.begins_s)
    assert expected, fault
    with OwnRoles(tmp_path, {}) as roles:
        roles.start("store", "ingest")
        sent = send(roles, of, recording, int(fault.begins_s) + 130)
        assert sent > 100
        telemetry = roles.telemetry
        folder = roles.config.ingest_log_dir
        until = time.monotonic() + LOADED_WITHIN_S
        while list(folder.glob("*.open")) + list(folder.glob("*.ready")):
            assert time.monotonic() < until, "the loader does not keep up"
            time.sleep(0.2)
        roles.stop("ingest")
        loader = loader_of(roles.config)
        for begin in range(start, start + SECONDS, 5):
            for statement in edges.statements(roles.config.store.database, begin, f"test{begin}"):
                loader.run(statement)
        measured = pages(
            lambda live, now: {
                (one.kind, one.service) for one in live.tick(telemetry, utc(now)) if one.severity == "page"
            },
            recording,
            fault.begins_s,
        )
    assert measured & expected
    assert {service for _, service in measured} == {service for _, service in expected}
