"""`wait-for` an objective by its name: met or not, without requests, and names that are not configured."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from runbooks.bound import bind
from runbooks.recorded_target import RecordedTarget
from runbooks.registry import steps
from runbooks.step import Burn, Call, Done, Surroundings, Wait
from watchkeeper.cli.runbook import app
from watchkeeper.clock import FrozenClock
from watchkeeper.config import Config
from watchkeeper.config import read as read_config
from watchkeeper.errors import ConfigError, RunbookError
from watchkeeper.roles.objectives import burn_rates, runbook_objective_mistakes

SLO = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: checkout}
spec:
  service: web
  budgetingMethod: Occurrences
  timeWindow: [{duration: 4w, isRolling: true}]
  indicator:
    metadata: {name: checkout-that-succeeds}
    spec:
      ratioMetric:
        good: {metricSource: {type: watchkeeper, spec: {service: web, signal: successes}}}
        total: {metricSource: {type: watchkeeper, spec: {service: web, signal: calls}}}
  objectives: [{target: 0.99}]
"""
BOOK = """
id: wait
title: Wait
why: w
mechanisms: [errors]
steps:
  - restart
  - wait-for: {slo: SLO_NAME, window_s: 60}
blast_radius: b
undo: u
"""


class Served:
    """What a store answers: requests and how many of them were bad."""

    def __init__(self, total: float, bad: float) -> None:
        self._columns = {"total": [total], "bad": [bad]}

    def served(self, service: str, operation: str, window: Any) -> Any:
        return {name: Column(values) for name, values in self._columns.items()}


class Column(list[float]):
    def to_pylist(self) -> list[float]:
        return self


def wait(inputs: dict[str, Any], burn: Burn | None, clock: FrozenClock) -> Any:
    bound = bind("wait-for", inputs, steps())
    call: Call[Any] = Call(
        target=RecordedTarget(()),
        service="web",
        given=bound.given,
        key="k",
        around=Surroundings(burn=lambda name, window_s: burn),
        began=clock.now(),
    )
    return bound.run(call)


@pytest.mark.parametrize(
    ("burn", "inputs", "done"),
    [
        (Burn(requests=100, rate=0.4), {}, True),
        (Burn(requests=100, rate=1.0), {}, False),
        (Burn(requests=100, rate=3.0), {"burn_below": 6}, True),
        (None, {}, False),
    ],
)
def test_it_waits_until_the_budget_lasts(
    clock: FrozenClock, burn: Burn | None, inputs: dict[str, Any], done: bool
) -> None:
    """No requests are no answer."""
    answer = wait({"slo": "checkout", **inputs}, burn, clock)
    assert isinstance(answer, Done if done else Wait)
    if isinstance(answer, Done):
        assert answer.outputs["requests"] == 100


@pytest.mark.parametrize("inputs", [{"slo": "a", "seconds": 3}, {"seconds": 3, "burn_below": 2}])
def test_one_thing_is_waited_for(inputs: dict[str, Any]) -> None:
    """Two would leave open which counts."""
    with pytest.raises(RunbookError, match=r"wait for one thing|burn_below: stands beside slo only"):
        bind("wait-for", inputs, steps())


def test_the_rate_is_that_of_the_objective(tmp_path: Path) -> None:
    """3 % bad where 1 % may be; none without requests; an unknown name is refused with those that are near."""
    (tmp_path / "slo.yaml").write_text(SLO)
    config = Config.model_validate({"slo": [str(tmp_path / "slo.yaml")]})
    store: Any = Served(200, 6)
    burn = burn_rates(config, store)("checkout", 60)
    assert burn is not None
    assert (burn.requests, burn.rate) == (200, pytest.approx(3.0))
    idle: Any = Served(0, 0)
    assert burn_rates(config, idle)("checkout", 60) is None
    with pytest.raises(RunbookError, match="no objective 'chekout' under `slo`; did you mean checkout"):
        burn_rates(config, store)("chekout", 60)


def test_an_unknown_name_is_refused_at_validate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By `runbook validate`, and by the check of the whole configuration; a folder by itself is not checked for it."""
    (tmp_path / "slo.yaml").write_text(SLO)
    books = tmp_path / "books"
    books.mkdir()
    config = tmp_path / "watchkeeper.yaml"
    config.write_text(f"data_dir: {tmp_path / 'data'}\nslo: [slo.yaml]\nrunbooks: {{dir: books}}\n")
    (books / "wait.yaml").write_text(BOOK.replace("SLO_NAME", "chekout"))
    says = "wait: steps.1.wait-for.slo: no objective 'chekout' under `slo` of the configuration; did you mean checkout?"
    with pytest.raises(ConfigError, match=re.escape(says)):
        app(["validate", "--config", str(config)], standalone_mode=False)
    (line,) = runbook_objective_mistakes(read_config(config))
    assert line.endswith(says)
    app(["validate", str(books)], standalone_mode=False)
    (books / "wait.yaml").write_text(BOOK.replace("SLO_NAME", "checkout"))
    app(["validate", "--config", str(config)], standalone_mode=False)
    assert capsys.readouterr().out.count("1 runbooks are valid") == 2
