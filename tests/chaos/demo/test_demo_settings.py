"""The demo chooses its places and its faults by itself."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest
import yaml

from chaos.demo import settings
from chaos.demo.settings import prepare
from chaos.demo.story import FAULTS, choose
from chaos.shop.topology import BY_NAME, PLANS
from runbooks.library import load_runbooks


@pytest.fixture(autouse=True)
def _token_stays_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """`prepare` puts the target's token into the environment: take it out again."""
    monkeypatch.setenv(settings.TARGET_TOKEN_ENV, "")


def test_a_port_that_is_taken_is_replaced(tmp_path: Path) -> None:
    """A foreign listener on a default port does not stop the demo."""
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # somebody else may hold it already, which is the case in question
            stranger.bind(("127.0.0.1", 8065))
            stranger.listen()
        config = prepare(tmp_path).config
    ports = [config.store.port, config.ingest.otlp_http_port, config.ingest.otlp_grpc_port, config.web.port]
    assert config.slack.stand_in.port not in (0, 8065)
    assert 0 not in ports
    assert len({*ports, config.slack.stand_in.port}) == 5


def test_runbooks_may_touch_the_shop_and_nothing_else(tmp_path: Path) -> None:
    """The policy names the shop's services, and the target's token is written nowhere."""
    run = prepare(tmp_path)
    policy = load_runbooks(run.config.runbooks.dir).policy
    assert set(policy.services) == {plan.name for plan in PLANS}
    assert run.config.target_token("shop") == run.shop_token
    assert run.shop_token not in run.config_path.read_text()


def test_only_the_newest_runs_are_kept(tmp_path: Path) -> None:
    """Old runs make room; what is not a run is left alone."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notes.txt").write_text("keep")
    for number in range(settings.KEPT_RUNS + 2):
        old = tmp_path / f"2020010{number}T000000-aaaa"
        old.mkdir()
        (old / "watchkeeper.yaml").write_text(yaml.safe_dump({}))
    prepare(tmp_path)
    assert (tmp_path / "notes" / "notes.txt").exists()
    assert len(list(tmp_path.glob("*/watchkeeper.yaml"))) == settings.KEPT_RUNS


def test_every_fault_has_another_target() -> None:
    """All six faults, each once, in services that opted in; another seed gives other targets."""
    plans = {seed: choose(seed) for seed in (1, 2, 3)}
    for course in plans.values():
        assert sorted(plan.fault.name for plan in course) == sorted(FAULTS)
        assert len({plan.service for plan in course}) == len(course)
        assert all(BY_NAME[plan.service].may_break for plan in course)
    for name in FAULTS:
        targets = [plan.service for course in plans.values() for plan in course if plan.fault.name == name]
        assert len(set(targets)) == 3, name
    assert choose(1) == plans[1]
