"""The demo on a busy machine: it breaks nothing before the baselines are ready, and reports what it waits for."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from chaos.demo import story as stories
from chaos.demo.loop import Loop
from chaos.demo.processes import Patience
from chaos.demo.story import Stage, Story
from detectors.recorded_readiness import record_readiness
from watchkeeper.config import Config
from watchkeeper.target import NoTarget
from watchkeeper.vocabulary import Readiness


def readiness(**stages: Any) -> dict[str, Readiness]:
    return {name: Readiness(service=name, stage=stage, reason="why") for name, stage in stages.items()}


def stage(loop: Loop) -> Stage:
    return Stage(loop=loop, target=NoTarget("nothing is broken yet"), records_dir=Path(), patience=Patience())


def test_it_waits_until_every_service_has_a_level(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However late its telemetry comes; roles of Watchkeeper's own are not waited for."""
    monkeypatch.setattr(stories, "REPORT_EVERY_S", 0.0)
    loop = Loop(Config(data_dir=tmp_path))
    messages: list[str] = []
    story = Story(stage(loop), messages.append, began=time.time())
    waiting = threading.Thread(target=story.warm_up, args=(0.0,), daemon=True)
    waiting.start()

    def hears(words: str) -> None:
        deadline = time.monotonic() + 60
        while not any(words in line for line in messages):
            assert time.monotonic() < deadline, messages
            assert waiting.is_alive()
            time.sleep(0.05)

    hears("no service has reported")
    record_readiness(loop.db, readiness(cart="learning", orders="level"))
    hears("cart")
    record_readiness(loop.db, readiness(**{"cart": "level", "orders": "ready", "watchkeeper-web": "learning"}))
    waiting.join(60)
    assert not waiting.is_alive()
    loop.close()


def test_it_goes_on_where_nothing_moves_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that is never called must not hold the demo for ever."""
    monkeypatch.setattr(stories, "STILL_S", 1.0)
    loop = Loop(Config(data_dir=tmp_path))
    record_readiness(loop.db, readiness(cart="learning"))
    messages: list[str] = []
    Story(stage(loop), messages.append, began=time.time()).warm_up(0.0)
    assert "going on without" in messages[-1]
    loop.close()
